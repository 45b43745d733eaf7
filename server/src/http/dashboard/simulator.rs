//! The two-device simulator: its page, its next steps, its begin and its end.

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::Value as Json;
use syncline_web::{
    pages::{
        simulator::{Exchange, Shelf, ShelfRow, Simulation, SimulationSteps, SimulatorPage, Step, StepKind},
        values::Value,
    },
    shell::{Area, Notice},
};

use super::show;
use crate::{
    app::Syncline,
    control::simulations::Simulation as Kept,
    http::{
        extract::{
            form::{Button, Posted},
            input::{ApiQuery, Input},
            member::{AppDeveloper, AppViewer},
        },
        page_error::PageError,
    },
    simulator::{self, StartError, plan, story},
};

/// From which step on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StepsQuery {
    from: usize,
}

impl Input for StepsQuery {}

pub async fn page(viewer: AppViewer, State(server): State<Syncline>) -> Result<Response, PageError> {
    let simulation = server.control.simulation(viewer.app().app_id).await?.map(shown);
    let table = plan::make(&viewer.live().catalog)
        .map(|plan| plan.rows.last().map(|row| row.table.clone()).unwrap_or_default())
        .map_err(|reason| reason.to_string());
    show(&SimulatorPage { shell: viewer.shell(Area::Simulator), table, simulation })
}

/// What the page fetches while the devices go on: nothing when the simulation is gone.
pub async fn steps(
    viewer: AppViewer,
    State(server): State<Syncline>,
    ApiQuery(query): ApiQuery<StepsQuery>,
) -> Result<Response, PageError> {
    match server.control.simulation(viewer.app().app_id).await? {
        Some(kept) => show(&SimulationSteps {
            shell: viewer.shell(Area::Simulator),
            simulation: shown(kept),
            first: query.from,
        }),
        None => Ok(().into_response()),
    }
}

/// Begin a simulation.
pub async fn start(
    developer: AppDeveloper,
    State(server): State<Syncline>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let begun = simulator::start(&server, developer.live(), &developer.actor()).await;
    let said = match begun {
        Ok(()) | Err(StartError::Running) => None,
        Err(StartError::Database(error)) => return Err(error.into()),
        Err(StartError::Removal(error)) => {
            tracing::warn!(app.id = %developer.app().app_id, error.cause = %error, "a simulation could not be removed");
            Some(StartError::StillRemoving.to_string())
        }
        Err(other) => Some(other.to_string()),
    };
    back(&developer, said.map(Notice::Failed)).await
}

/// Remove the simulation that is there.
pub async fn remove(
    developer: AppDeveloper,
    State(server): State<Syncline>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let said = match server.control.simulation(developer.app().app_id).await? {
        None => Notice::Done("There is no simulation any more.".to_owned()),
        Some(kept) if kept.is_running => Notice::Failed(
            "The devices are still at it. Remove the simulation when they are done.".to_owned(),
        ),
        Some(kept) => match simulator::remove(&server, developer.app(), kept).await {
            Ok(true) => {
                Notice::Done("The simulation is removed, with everything that the devices did.".to_owned())
            }
            Ok(false) => Notice::Done("The simulation is being removed.".to_owned()),
            Err(error) => {
                tracing::warn!(app.id = %developer.app().app_id, error.cause = %error, "a simulation could not be removed");
                Notice::Failed(
                    "The simulation could not be removed just now; it goes by itself in a few minutes."
                        .to_owned(),
                )
            }
        },
    };
    back(&developer, Some(said)).await
}

async fn back(developer: &AppDeveloper, said: Option<Notice>) -> Result<Response, PageError> {
    if let Some(notice) = said {
        developer.notify(notice).await?;
    }
    Ok(Redirect::to(&developer.shell(Area::Simulator).links().simulator()).into_response())
}

/// A simulation as it was kept. A story that is not told yet has no steps.
fn shown(kept: Kept) -> Simulation {
    let story: story::Story = serde_json::from_value(kept.story).unwrap_or_default();
    Simulation {
        user: kept.scope_id.to_string(),
        table: story.table,
        parents: story.parents,
        started_at: kept.started_at,
        started_by: kept.started_by,
        removed_at: kept.due_at,
        steps: story.steps.into_iter().map(step).collect(),
        is_running: kept.is_running,
        conflict: story.conflict,
        failure: story.failure,
    }
}

fn step(step: story::Step) -> Step {
    Step {
        title: step.title,
        sentence: step.sentence,
        kind: match step.kind {
            story::StepKind::Plain => StepKind::Plain,
            story::StepKind::Offline => StepKind::Offline,
            story::StepKind::Conflict => StepKind::Conflict,
            story::StepKind::Converged => StepKind::Converged,
        },
        exchanges: step.exchanges.into_iter().map(exchange).collect(),
        phone: shelf(step.phone),
        tablet: shelf(step.tablet),
    }
}

fn exchange(exchange: story::Exchange) -> Exchange {
    Exchange {
        device: exchange.device,
        method: exchange.method,
        path: exchange.path,
        sent: exchange.sent,
        status: exchange.status,
        answered: exchange.answered,
        request: exchange.request,
        response: exchange.response,
    }
}

fn shelf(shelf: story::Shelf) -> Shelf {
    let value = |(name, value)| {
        let value = match value {
            Json::Null => Value::Null,
            Json::String(text) => Value::text(&text),
            other => Value::text(&other.to_string()),
        };
        (name, value)
    };
    let row = |row: story::ShelfRow| ShelfRow {
        table: row.table,
        values: row.values.into_iter().map(value).collect(),
        version: row.version,
        is_pending: row.is_pending,
        is_deleted: row.is_deleted,
    };
    Shelf {
        is_online: shelf.is_online,
        checkpoint: shelf.checkpoint,
        rows: shelf.rows.into_iter().map(row).collect(),
    }
}
