//! An app's devices: the list, and one with its verdict and timeline.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use syncline_web::{
    links::with_query,
    pages::{
        devices::{
            Cause, DeviceEvent, DeviceFacts, DevicePage, DeviceRow, DeviceRows, DevicesPage, LastError,
            OpenPush, OpenSnapshot, Trouble, Verdict,
        },
        values::Tone,
    },
    shell::{Area, Notice, Shell},
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
            detail::{DeviceDetail, DeviceEvent as Event},
            list::{Device, Page, TroubleCounts},
            retire::RetireOutcome,
            search::{DeviceFilter, FoundAt},
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
    /// The devices of exactly this scope.
    scope: String,
    /// How a scope or a source begins.
    q: String,
    verdict: String,
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
    let after: Option<FoundAt> = read_cursor(&query.after);
    let is_continued = after.is_some();
    let page = match query.filter() {
        Some((scope, begins_with, kind)) => {
            let filter = DeviceFilter { scope: scope.as_ref(), begins_with, kind };
            engine.find_devices(catalog, &filter, after, PAGE).await?
        }
        None => Page { items: Vec::new(), next: None },
    };
    let rows = DeviceRows {
        looked_in_vain: page.next.is_some() && (page.items.len() as i64) < PAGE,
        next: page.next.map(|cursor| query.continued(&shell, &cursor)),
        devices: page.items.into_iter().map(row).collect(),
        shell: shell.clone(),
    };
    if is_htmx(&headers) {
        return show(&rows);
    }
    show(&DevicesPage {
        shell,
        trouble: trouble(engine.count_trouble(catalog).await?),
        kinds: VerdictKind::ALL.map(|kind| (kind.as_str(), label(kind))).to_vec(),
        scope: query.scope,
        begins_with: query.q,
        verdict: query.verdict,
        rows,
        is_continued,
    })
}

impl DevicesQuery {
    /// Scope, beginning and verdict that are looked for; None if no device can be like that.
    fn filter(&self) -> Option<(Option<ScopeId>, Option<&str>, Option<VerdictKind>)> {
        let scope = match self.scope.as_str() {
            "" => None,
            text => Some(ScopeId::parse(text).ok()?),
        };
        let begins_with = match self.q.trim() {
            "" => None,
            text if text.contains('\0') => return None,
            // A scope names devices exactly; there is nothing more to look for.
            _ if scope.is_some() => None,
            text => Some(text),
        };
        let kind = match self.verdict.as_str() {
            "" => None,
            word => Some(VerdictKind::parse(word)?),
        };
        Some((scope, begins_with, kind))
    }

    /// Where the list goes on.
    fn continued(&self, shell: &Shell, cursor: &FoundAt) -> String {
        let (scope, q, verdict) = (self.scope.as_str(), self.q.as_str(), self.verdict.as_str());
        let after = cursor_text(cursor);
        let values = [("scope", scope), ("q", q), ("verdict", verdict), ("after", &after)];
        with_query(&shell.links().devices(), &values)
    }
}

fn trouble(counts: TroubleCounts) -> Vec<Trouble> {
    let at_least = counts.is_capped;
    let kinds = counts.kinds.into_iter();
    kinds
        .map(|(kind, count)| Trouble {
            tone: tone(kind),
            word: kind.as_str(),
            label: label(kind),
            count,
            at_least,
        })
        .collect()
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<DevicePath>,
) -> Result<Response, PageError> {
    let (scope, source) = (scope_in_path(&path.scope)?, source_in_path(&path.source)?);
    let found = engine.device(&viewer.live().catalog, &scope, &source).await?.ok_or(PageError::NotFound)?;
    let DeviceDetail { device, events, .. } = &found;
    let holders = match device.user.as_deref().map(UserId::parse) {
        Some(Ok(user)) => {
            vec![end_user_tokens::part(&viewer, &control, &user, &device.scope, &device.source).await?]
        }
        _ => Vec::new(),
    };
    let is_retired = device.verdict.kind == VerdictKind::Retired;
    let last_error = device.last_error.as_ref().map(|error| LastError {
        at: error.at,
        verb: spoken(&error.verb),
        code: error.code.clone(),
        message: error.message.clone(),
        count: error.count,
        since: Some(error.since),
    });
    let shell = viewer.shell(Area::Devices);
    show(&DevicePage {
        cause: cause(&shell, &found),
        facts: facts(&found),
        device: row(device.clone()),
        last_error,
        holders,
        is_retired,
        events: events.iter().cloned().map(event).collect(),
        shell,
    })
}

fn facts(found: &DeviceDetail) -> DeviceFacts {
    let device = &found.device;
    let pushes = found.open_pushes.iter().map(|push| OpenPush {
        began_at: push.created_at,
        staged: push.staged_row_count,
        planned: push.planned_row_count,
    });
    let snapshots = found.open_snapshots.iter().map(|snapshot| OpenSnapshot {
        began_at: snapshot.created_at,
        rows: snapshot.row_count,
        bundle_seq: snapshot.bundle_seq.0,
    });
    DeviceFacts {
        user: device.user.clone(),
        address: device.address.clone(),
        first_seen_at: device.first_seen_at,
        last_push: device.last_push_at.map(|at| (at, device.last_push_seq.map(|seq| seq.0))),
        last_pull: device.last_pull_at.map(|at| (at, device.last_pull_seq.map(|seq| seq.0))),
        last_sent: device.last_served_seq.map(|seq| seq.0),
        latest: device.latest_seq.0,
        behind: device.behind,
        last_snapshot_at: device.last_snapshot_at,
        is_watching: device.is_watching,
        open_pushes: pushes.collect(),
        open_snapshots: snapshots.collect(),
        bundles: found.source_bundle_id,
        replaces: found.replaces.clone(),
        replaced_by: found.replaced_by.clone(),
        successor_called: found.successor_called,
    }
}

/// Where to look at what the verdict is about.
fn cause(shell: &Shell, found: &DeviceDetail) -> Option<Cause> {
    match found.device.verdict.kind {
        VerdictKind::PushRejected => found.rejected_write.as_ref().map(|write| Cause {
            label: "See the refused write",
            href: shell.links().rejected_write(&write.rejected_id.to_string()),
            about: write.table_name.as_ref().map(|table| match &write.key {
                Some(key) => format!("table {table}, key {}", key_in(key)),
                None => format!("table {table}"),
            }),
        }),
        VerdictKind::Conflicting => found.conflict.map(|conflict| Cause {
            label: "See the conflict",
            href: shell.links().conflict(&conflict.to_string()),
            about: found.device.last_error.as_ref().and_then(|error| error.subject.clone()),
        }),
        VerdictKind::Retired => {
            found.replaced_by.as_ref().filter(|_| found.successor_called).map(|new| Cause {
                label: "See the device that replaces it",
                href: shell.links().device(&found.device.scope, new),
                about: Some(new.clone()),
            })
        }
        _ => None,
    }
}

/// The value in a key that is JSON with one member.
fn key_in(json: &str) -> String {
    let members: Option<Map<String, Json>> = serde_json::from_str(json).ok();
    match members.and_then(|members| members.into_iter().next()) {
        Some((_, Json::String(text))) => text,
        Some((_, value)) => value.to_string(),
        None => json.to_owned(),
    }
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
        VerdictKind::MustRebuild
        | VerdictKind::SnapshotStalled
        | VerdictKind::Conflicting
        | VerdictKind::Refused => Tone::Warn,
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
        VerdictKind::SnapshotStalled => "snapshot stalled",
        VerdictKind::Conflicting => "in conflict",
        VerdictKind::Refused => "request refused",
        VerdictKind::PushRejected => "push rejected",
        VerdictKind::AuthenticationFailing => "token refused",
    }
}
