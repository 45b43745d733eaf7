//! Publishing an app's tables: paste, look, apply.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    pages::{
        schema::{Outcome, Place, Preview, Problem, Published, Remark, SchemaForm, SchemaInput, SchemaPage},
        schema_map::{SchemaMap, SchemaMapPage},
    },
    shell::{Area, Notice},
};

use super::{shapes, show, show_as};
use crate::{
    control::{
        ControlPlane,
        apps::schema::{SchemaDraft, SchemaError},
    },
    directory::Directory,
    http::{
        extract::{
            form::Posted,
            member::{AppDeveloper, AppViewer},
        },
        page_error::PageError,
    },
    ops::database::Databases,
    tables::{
        ddl::{self, Dialect},
        plan::Change,
        published,
    },
};

pub async fn page(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(databases): State<Databases>,
) -> Result<Response, PageError> {
    let page = schema_page(&viewer, &control, &databases, SchemaForm::default(), Outcome::None).await?;
    show(&page)
}

/// The tables and their foreign keys as a picture.
pub async fn map(viewer: AppViewer) -> Result<Response, PageError> {
    let tables: Vec<_> =
        viewer.live().catalog.tables().iter().map(|table| shapes::table(&table.spec)).collect();
    show(&SchemaMapPage { shell: viewer.shell(Area::Schema), map: SchemaMap::of(&tables) })
}

/// Show what the text would do. Changes nothing.
pub async fn preview(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    State(databases): State<Databases>,
    Posted(input): Posted<SchemaInput>,
) -> Result<Response, PageError> {
    let draft = control.draft_schema(developer.app(), &input.ddl, dialect(&input)).await;
    let (status, form, outcome) = match draft {
        Ok(draft) => {
            let preview = Outcome::Preview(Box::new(preview_of(&draft)));
            (StatusCode::OK, SchemaForm::from(&input), preview)
        }
        Err(error) => refused(&input, error)?,
    };
    show_as(status, &schema_page(&developer, &control, &databases, form, outcome).await?)
}

/// Publish the text that was looked at, unless another version came in between.
pub async fn apply(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    State(databases): State<Databases>,
    State(directory): State<Directory>,
    Posted(input): Posted<SchemaInput>,
) -> Result<Response, PageError> {
    // A form without the version that was looked at is none of this page's: no version is -1.
    let seen = Some(input.base_version.parse().unwrap_or(-1));
    let published =
        control.publish_schema(&developer.actor(), developer.app(), &input.ddl, dialect(&input), seen).await;
    match published {
        Ok(published) => {
            directory.refresh().await;
            let said = format!("Version {} is published: devices can sync with it.", published.version);
            developer.notify(Notice::Done(said)).await?;
            Ok(Redirect::to(&developer.shell(Area::Schema).links().schema()).into_response())
        }
        Err(error) => {
            let (status, form, outcome) = refused(&input, error)?;
            show_as(status, &schema_page(&developer, &control, &databases, form, outcome).await?)
        }
    }
}

fn dialect(input: &SchemaInput) -> Option<Dialect> {
    match input.dialect.as_str() {
        "sqlite" => Some(Dialect::Sqlite),
        "postgresql" => Some(Dialect::Postgresql),
        _ => None,
    }
}

/// The page's parts after a text was refused.
fn refused(input: &SchemaInput, error: SchemaError) -> Result<(StatusCode, SchemaForm, Outcome), PageError> {
    let mut form = SchemaForm::from(input);
    let mut outcome = Outcome::None;
    match error {
        SchemaError::Problems(problems) => {
            outcome =
                Outcome::Refused(problems.into_iter().map(|problem| shown(&input.ddl, problem)).collect());
        }
        SchemaError::Refusals(refusals) => {
            let problem = |refusal: crate::tables::plan::Refusal| Problem {
                place: None,
                reason: refusal.reason,
                remedy: refusal.remedy,
            };
            outcome = Outcome::Refused(refusals.into_iter().map(problem).collect());
        }
        SchemaError::Outdated => {
            form.error = Some(
                "Somebody published another version since you looked. Preview the text again.".to_owned(),
            );
        }
        SchemaError::RowsInTheWay { table } => {
            form.error = Some(format!(
                "Rows that {table} has already break a new constraint. Correct them first, or leave the constraint out."
            ));
        }
        SchemaError::Busy => {
            form.error = Some(
                "A table stayed in use for five seconds. Nothing was changed; try again in a moment."
                    .to_owned(),
            );
        }
        SchemaError::Database(error) => return Err(error.into()),
    }
    Ok((StatusCode::UNPROCESSABLE_ENTITY, form, outcome))
}

fn shown(text: &str, problem: ddl::Problem) -> Problem {
    Problem {
        place: Some(Place::new(text, problem.line, problem.column)),
        reason: problem.reason,
        remedy: problem.remedy,
    }
}

fn preview_of(draft: &SchemaDraft) -> Preview {
    let SchemaDraft { current, parsed, plan } = draft;
    let remark = |remark: &ddl::Remark| Remark { line: remark.line, text: remark.text.clone() };
    let shape = |table| shapes::submitted_table(table, &parsed.mappings, &plan.changes);
    Preview {
        dialect: parsed.dialect.name().to_owned(),
        base_version: current.version.into(),
        next_version: plan.next.version.into(),
        changes: plan.changes.iter().map(shapes::change).collect(),
        devices: what_it_means(current.version, &plan.changes),
        tables: parsed.tables.iter().map(shape).collect(),
        warnings: parsed.warnings.iter().map(remark).collect(),
        notes: parsed.notes.iter().map(remark).collect(),
    }
}

/// What publishing means for devices: client libraries compare the server's tables with their own, and take rows with
/// exactly the columns they know (DESIGN.md, "An app's tables").
fn what_it_means(current: i32, changes: &[Change]) -> String {
    let is_table = |change: &Change| matches!(change, Change::CreateTable { .. });
    let is_column = |change: &Change| matches!(change, Change::AddColumn { .. });
    if current == 0 {
        return "Devices can sync as soon as this is published. Later versions can add tables and columns; what is there \
                stays as it is."
            .to_owned();
    }
    if !changes.iter().any(|change| is_table(change) || is_column(change)) {
        return format!(
            "Devices built for version {current} go on syncing: they have the same tables and columns. Writes that break \
             a new rule are refused from now on."
        );
    }
    let what = if changes.iter().any(is_table) { "tables" } else { "columns" };
    format!(
        "A client library syncs only with the {what} it was built for. Devices built for version {current} stop at the \
         base URL, with their unsent changes kept, until their app is updated. Publish together with the app version that \
         knows version {}.",
        current + 1
    )
}

async fn schema_page(
    viewer: &AppViewer,
    control: &ControlPlane,
    databases: &Databases,
    form: SchemaForm,
    outcome: Outcome,
) -> Result<SchemaPage, PageError> {
    let published = match published::latest(&databases.apps, viewer.app().app_id).await? {
        None => None,
        Some(version) => {
            let catalog = control.latest_tables(viewer.app()).await?;
            Some(Published {
                version: version.version.into(),
                at: version.published_at,
                by: version.published_by,
                tables: catalog.tables().iter().map(|table| shapes::table(&table.spec)).collect(),
                ddl: version.ddl,
            })
        }
    };
    Ok(SchemaPage { shell: viewer.shell(Area::Schema), published, form, outcome })
}
