//! An app's first page: how it is doing, what happened lately, how to begin.

mod charts;
pub mod live;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use syncline_web::{
    filters::capped,
    pages::{
        overview::{
            Activity, Devices, Figures, FirstDevice, LastHour, OverviewPage, QuickStart, Range, Setup,
            Status, Steps,
        },
        values::Tone,
    },
    shell::{Area, Shell},
};

use super::{conflicts, devices, place::base_url_of, rejected_writes, show};
use crate::{
    control::{
        ControlPlane,
        api_keys::{ApiKey, KeyKind},
        apps::App,
    },
    http::{
        PublicUrl,
        extract::{
            input::{ApiQuery, Input},
            member::AppViewer,
        },
        page_error::PageError,
    },
    sync::{Engine, history::AppCounts, overview::AppFigures, rollup::read},
    tables::{catalog::AppCatalog, spec::WireProfile},
};

/// Tables that the quick start names.
const NAMED_TABLES: usize = 8;

/// How far back the charts look.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RangeQuery {
    range: String,
}

impl Input for RangeQuery {}

pub async fn page(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(engine): State<Engine>,
    State(public_url): State<PublicUrl>,
    ApiQuery(query): ApiQuery<RangeQuery>,
) -> Result<Response, PageError> {
    let (range, catalog) = (Range::read(&query.range), &viewer.live().catalog);
    let base_url = base_url_of(&viewer, &public_url);
    let now = engine.figures(catalog).await?;
    let has_key = has_key(&control, viewer.app(), &now.counts).await?;
    let shell = viewer.shell(Area::Overview);
    let charts = match now.counts.devices {
        0 => Vec::new(),
        _ => charts::of(&engine.rollups(catalog, range_to_read(range)).await?),
    };
    let setup = setup(catalog, has_key, &now);
    show(&OverviewPage {
        steps: (!setup.is_complete()).then(|| Steps { shell: shell.clone(), setup }),
        figures: figures(shell.clone(), catalog, now),
        activity: Activity { shell: shell.clone(), range, charts },
        quick_start: quick_start(&viewer, &base_url),
        shell,
        base_url,
    })
}

fn quick_start(viewer: &AppViewer, base_url: &str) -> QuickStart {
    let named = viewer.live().catalog.tables().iter().take(NAMED_TABLES);
    QuickStart {
        base_url: base_url.to_owned(),
        logical_schema: viewer.app().logical_schema.clone(),
        tables: named.map(|table| (table.name().to_string(), table.key().column.to_string())).collect(),
        numbers_profile: viewer.app().profile == WireProfile::Numbers,
    }
}

/// Whether the app has a key that gets tokens. Nobody is asked once a device has called: it had a token.
async fn has_key(control: &ControlPlane, app: &App, counts: &AppCounts) -> Result<bool, PageError> {
    if counts.devices > 0 {
        return Ok(true);
    }
    let now = control.now();
    let works = |key: &ApiKey| {
        key.kind == KeyKind::Secret && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now)
    };
    Ok(control.api_keys(app).await?.iter().any(works))
}

fn setup(catalog: &AppCatalog, has_key: bool, now: &AppFigures) -> Setup {
    let has_bundle = now.counts.last_commit_at.is_some();
    Setup {
        has_tables: catalog.schema_version > 0,
        has_key,
        // What was committed without a device came from the API: whoever does that needs no quick start.
        has_device: now.counts.devices > 0 || has_bundle,
        has_bundle,
        newcomer: now.newcomer.as_ref().map(|device| FirstDevice {
            scope: device.scope.clone(),
            source: device.source.clone(),
            last_seen_at: device.last_seen_at,
        }),
    }
}

fn figures(shell: Shell, catalog: &AppCatalog, now: AppFigures) -> Figures {
    let AppFigures { counts, last_hour, trouble, conflicts, rejections, newcomer: _ } = now;
    Figures {
        shell,
        status: status(&counts),
        counted: AppCounts::COUNTED,
        users: counts.scopes,
        devices: Devices {
            all: counts.devices,
            today: counts.active_devices,
            refused: counts.refused_devices,
            silent: counts.silent_devices,
        },
        tables: catalog.tables().len() as i64,
        open_conflicts: counts.open_conflicts,
        open_rejections: counts.open_rejected_writes,
        last_commit_at: counts.last_commit_at,
        last_hour: LastHour {
            commits: last_hour.commits,
            rows_pushed: last_hour.rows_pushed,
            pulls: last_hour.pulls,
            rows_served: last_hour.rows_served,
        },
        trouble: trouble.into_iter().map(devices::row).collect(),
        conflicts: conflicts.into_iter().map(conflicts::row).collect(),
        rejections: rejections.into_iter().map(rejected_writes::row).collect(),
    }
}

fn range_to_read(range: Range) -> read::Range {
    match range {
        Range::Hour => read::Range::Hour,
        Range::Day => read::Range::Day,
        Range::Week => read::Range::Week,
        Range::Month => read::Range::Month,
    }
}

/// The worst thing that is the matter, in a sentence.
fn status(counts: &AppCounts) -> Status {
    let number = |count: i64, one: &str, many: &str| {
        if count == 1 {
            format!("One {one}")
        } else {
            format!("{} {many}", capped(count, AppCounts::COUNTED))
        }
    };
    let (tone, label, sentence) = if counts.open_rejected_writes > 0 {
        let what = number(
            counts.open_rejected_writes,
            "refused write blocks its device",
            "refused writes block their devices",
        );
        let how = match counts.open_rejected_writes {
            1 => "it downloads nothing until the write is settled",
            _ => "they download nothing until these are settled",
        };
        (Tone::Bad, "Needs attention", format!("{what}: {how}."))
    } else if counts.open_conflicts > 0 {
        let what = number(counts.open_conflicts, "conflict is open", "conflicts are open");
        (Tone::Warn, "Syncing", format!("{what}; devices settle theirs when they sync next."))
    } else if counts.active_devices > 0 {
        let what = number(counts.active_devices, "device", "devices");
        (
            Tone::Good,
            "Syncing",
            format!("{what} called within the last day. Nothing is refused or in conflict."),
        )
    } else {
        (
            Tone::Plain,
            "Quiet",
            "No device has called within the last day. Nothing is refused or in conflict.".to_owned(),
        )
    };
    Status { tone, label: label.to_owned(), sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_thing_is_told() {
        let quiet = AppCounts {
            scopes: 1,
            devices: 2,
            active_devices: 0,
            refused_devices: 0,
            silent_devices: 0,
            open_conflicts: 0,
            open_rejected_writes: 0,
            last_commit_at: None,
        };
        let said = |counts| status(&counts).sentence;
        assert!(said(quiet).starts_with("No device has called"));
        assert!(said(AppCounts { active_devices: 2, ..quiet }).starts_with("2 devices called"));
        assert!(said(AppCounts { open_conflicts: 1, ..quiet }).starts_with("One conflict is open"));
        assert!(
            said(AppCounts { open_conflicts: 1, open_rejected_writes: 3, ..quiet })
                .starts_with("3 refused writes")
        );
    }
}
