//! An app's first page, and its live part.

use axum::{extract::State, response::Response};
use syncline_web::{
    pages::{
        overview::{Figures, OverviewPage, QuickStart, Setup, Status},
        values::Tone,
    },
    shell::Area,
};

use super::{place::base_url_of, show};
use crate::{
    control::{
        ControlPlane,
        api_keys::{ApiKey, KeyKind},
    },
    http::{PublicUrl, extract::member::AppViewer, page_error::PageError},
    sync::{Engine, history::AppCounts},
    tables::spec::WireProfile,
};

/// Tables that the quick start names.
const NAMED_TABLES: usize = 8;

pub async fn page(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(engine): State<Engine>,
    State(public_url): State<PublicUrl>,
) -> Result<Response, PageError> {
    let base_url = base_url_of(&viewer, &public_url);
    let catalog = &viewer.live().catalog;
    let named = catalog.tables().iter().take(NAMED_TABLES);
    let quick_start = QuickStart {
        base_url: base_url.clone(),
        logical_schema: viewer.app().logical_schema.clone(),
        tables: named.map(|table| (table.name().to_string(), table.key().column.to_string())).collect(),
        numbers_profile: viewer.app().profile == WireProfile::Numbers,
    };
    let figures = figures_of(&viewer, &control, &engine).await?;
    show(&OverviewPage { shell: viewer.shell(Area::Overview), base_url, figures, quick_start })
}

/// What the page fetches again every few seconds.
pub async fn figures(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(engine): State<Engine>,
) -> Result<Response, PageError> {
    show(&figures_of(&viewer, &control, &engine).await?)
}

async fn figures_of(
    viewer: &AppViewer,
    control: &ControlPlane,
    engine: &Engine,
) -> Result<Figures, PageError> {
    let catalog = &viewer.live().catalog;
    let counts = engine.counts(catalog).await?;
    let now = control.now();
    let works = |key: &ApiKey| {
        key.kind == KeyKind::Secret && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now)
    };
    let has_key = control.api_keys(viewer.app()).await?.iter().any(works);
    Ok(Figures {
        shell: viewer.shell(Area::Overview),
        setup: Setup { has_tables: catalog.schema_version > 0, has_key, has_device: counts.devices > 0 },
        status: status(&counts),
        users: counts.scopes,
        devices: counts.devices,
        devices_today: counts.active_devices,
        tables: catalog.tables().len() as i64,
        open_conflicts: counts.open_conflicts,
        open_rejections: counts.open_rejected_writes,
        last_commit_at: counts.last_commit_at,
    })
}

/// The worst thing that is the matter, in a sentence.
fn status(counts: &AppCounts) -> Status {
    let number = |count: i64, one: &str, many: &str| {
        if count == 1 { format!("One {one}") } else { format!("{count} {many}") }
    };
    let (tone, label, sentence) = if counts.open_rejected_writes > 0 {
        let what = number(
            counts.open_rejected_writes,
            "refused write blocks its device",
            "refused writes block their devices",
        );
        (Tone::Bad, "Needs attention", format!("{what}: they download nothing until it is settled."))
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
