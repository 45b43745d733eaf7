//! An app's devices: the list, and one with its verdict and timeline.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;
use syncline_web::{
    links::with_query,
    pages::{
        devices::{
            DeviceEvent, DeviceFacts, DevicePage, DeviceRow, DeviceRows, DevicesPage, LastError, Verdict,
        },
        values::Tone,
    },
    shell::{Area, Notice},
};

use super::{
    end_user_tokens,
    place::{DevicePath, cursor_text, read_cursor, scope_in_path, source_in_path},
    show,
};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, AppAction},
    },
    http::{
        extract::{
            form::{Button, Posted},
            input::{ApiPath, ApiQuery, Input},
            member::{AppDeveloper, AppViewer},
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::{ScopeId, UserId},
    sync::{
        Engine,
        device::{
            list::{Device, DeviceCursor, DeviceDetail, DeviceEvent as Event, Page},
            retire::RetireOutcome,
            verdict::VerdictKind,
        },
    },
};

/// Devices of one page.
const PAGE: i64 = 50;

/// Which devices, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DevicesQuery {
    scope: String,
    after: String,
}

impl Input for DevicesQuery {}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<DevicesQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::Devices);
    let catalog = &viewer.live().catalog;
    let after: Option<DeviceCursor> = read_cursor(&query.after);
    let page = match (query.scope.as_str(), ScopeId::parse(&query.scope)) {
        ("", _) => engine.devices(catalog, None, after.as_ref(), PAGE).await?,
        (_, Ok(scope)) => engine.devices(catalog, Some(&scope), after.as_ref(), PAGE).await?,
        (_, Err(_)) => Page { items: Vec::new(), next: None },
    };
    let next = page.next.map(|cursor| {
        with_query(&shell.links().devices(), &[("scope", &query.scope), ("after", &cursor_text(&cursor))])
    });
    let devices = page.items.into_iter().map(row).collect();
    let rows = DeviceRows { shell: shell.clone(), devices, next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    show(&DevicesPage { shell, scope: query.scope, rows, is_continued: after.is_some() })
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<DevicePath>,
) -> Result<Response, PageError> {
    let (scope, source) = (scope_in_path(&path.scope)?, source_in_path(&path.source)?);
    let found = engine.device(&viewer.live().catalog, &scope, &source).await?.ok_or(PageError::NotFound)?;
    let DeviceDetail {
        device,
        source_bundle_id,
        replaces,
        replaced_by,
        open_pushes,
        open_snapshots,
        events,
        ..
    } = found;
    let tokens = match device.user.as_deref().map(UserId::parse) {
        Some(Ok(user)) => {
            Some(end_user_tokens::part(&viewer, &control, &user, &device.scope, &device.source).await?)
        }
        _ => None,
    };
    let is_retired = device.verdict.kind == VerdictKind::Retired;
    let facts = DeviceFacts {
        user: device.user.clone(),
        address: device.address.clone(),
        first_seen_at: device.first_seen_at,
        last_push: device.last_push_at.map(|at| (at, device.last_push_seq.map(|seq| seq.0))),
        last_pull: device.last_pull_at.map(|at| (at, device.last_pull_seq.map(|seq| seq.0))),
        last_snapshot_at: device.last_snapshot_at,
        is_watching: device.is_watching,
        open_pushes,
        open_snapshots,
        bundles: source_bundle_id,
        replaces,
        replaced_by,
    };
    let last_error = device.last_error.as_ref().map(|error| LastError {
        at: error.at,
        verb: spoken(&error.verb),
        code: error.code.clone(),
        message: error.message.clone(),
        count: error.count,
        since: Some(error.since),
    });
    show(&DevicePage {
        shell: viewer.shell(Area::Devices),
        device: row(device),
        facts,
        last_error,
        tokens,
        is_retired,
        events: events.into_iter().map(event).collect(),
    })
}

/// Let the device write no more, and end its streams.
pub async fn retire(
    developer: AppDeveloper,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<DevicePath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let (scope, source) = (scope_in_path(&path.scope)?, source_in_path(&path.source)?);
    let notice = match engine.retire_device(&developer.live().catalog, &scope, &source).await? {
        RetireOutcome::NotFound => return Err(PageError::NotFound),
        RetireOutcome::Already => {
            Notice::Failed("The device was retired before; nothing was changed.".to_owned())
        }
        RetireOutcome::Retired => {
            let done = AppAction {
                action: Action::DeviceRetired,
                subject: source.to_string(),
                subject_label: source.as_str(),
                detail: json!({ "scope": scope }),
            };
            control.record_app_action(&developer.actor(), developer.app(), done).await?;
            Notice::Done("The device is retired. Its next upload is refused.".to_owned())
        }
    };
    developer.notify(notice).await?;
    let shell = developer.shell(Area::Devices);
    Ok(Redirect::to(&shell.links().device(scope.as_str(), source.as_str())).into_response())
}

/// A device as lists show it.
pub(super) fn row(device: Device) -> DeviceRow {
    DeviceRow {
        verdict: Verdict {
            tone: tone(device.verdict.kind),
            label: label(device.verdict.kind).to_owned(),
            sentence: device.verdict.sentence,
            advice: Some(device.verdict.advice).filter(|advice| !advice.is_empty()),
            since: device.verdict.since,
        },
        scope: device.scope,
        source: device.source,
        client: device.client,
        last_seen_at: device.last_seen_at,
        behind: device.behind,
    }
}

fn event(event: Event) -> DeviceEvent {
    DeviceEvent {
        at: event.at,
        verb: spoken(&event.verb),
        status: event.status.into(),
        code: event.code,
        message: event.message,
        bundle_seq: event.bundle_seq.map(|seq| seq.0),
    }
}

fn spoken(verb: &str) -> String {
    verb.replace('_', " ")
}

fn tone(kind: VerdictKind) -> Tone {
    match kind {
        VerdictKind::Healthy => Tone::Good,
        VerdictKind::Behind => Tone::Info,
        VerdictKind::Silent | VerdictKind::Retired => Tone::Plain,
        VerdictKind::MustRebuild | VerdictKind::Conflicting | VerdictKind::Refused => Tone::Warn,
        VerdictKind::PushRejected | VerdictKind::AuthenticationFailing => Tone::Bad,
    }
}

fn label(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Healthy => "healthy",
        VerdictKind::Behind => "behind",
        VerdictKind::Silent => "silent",
        VerdictKind::Retired => "retired",
        VerdictKind::MustRebuild => "must rebuild",
        VerdictKind::Conflicting => "in conflict",
        VerdictKind::Refused => "request refused",
        VerdictKind::PushRejected => "push rejected",
        VerdictKind::AuthenticationFailing => "token refused",
    }
}
