//! Who did what in a tenant: filtered, page by page, and as a file.

mod export;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::Value;
use syncline_web::{
    forms::Field,
    links::with_query,
    pages::audit::{ActorKind, AuditEntry as ShownEntry, AuditFilterForm, AuditPage, AuditRows},
    shell::Area,
};
use time::{Date, Duration, OffsetDateTime, macros::format_description};

pub use self::export::{csv, ndjson};
use super::show;
use crate::{
    control::{
        ControlPlane,
        audit::{Action, AuditEntry, AuditFilter, LOOKED_AT},
    },
    http::{
        extract::{
            input::{ApiQuery, Input},
            member::TenantMember,
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::AuditId,
};

/// Entries of one page.
const PAGE: usize = 50;

/// What a person asks of the log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    /// An e-mail address or the name of a key.
    actor: String,
    action: String,
    /// An app's id.
    app: String,
    /// A day, `2026-07-15`: from its beginning, UTC.
    since: String,
    /// A day: to its end.
    until: String,
    /// The last entry of the page before (`aud_…`); empty: from the newest.
    before: String,
}

impl Input for AuditQuery {}

impl AuditQuery {
    /// The filter, and a sentence at each field that says nothing a filter could be.
    fn read(&self) -> (AuditFilter, AuditFilterForm) {
        let mut form = AuditFilterForm {
            actor: self.actor.trim().to_owned(),
            action: self.action.clone(),
            app: self.app.clone(),
            since: Field::new(&self.since),
            until: Field::new(&self.until),
            ..AuditFilterForm::default()
        };
        let filter = AuditFilter {
            actor: Some(form.actor.clone()).filter(|actor| !actor.is_empty()),
            action: Action::parse(&self.action),
            app: self.app.parse().ok(),
            since: day(&mut form.since),
            until: day(&mut form.until).and_then(|day| day.checked_add(Duration::DAY)),
        };
        (filter, form)
    }

    /// The query string that asks for the same, after `before`.
    fn address(&self, path: &str, before: &str) -> String {
        let asked = [
            ("actor", self.actor.as_str()),
            ("action", &self.action),
            ("app", &self.app),
            ("since", &self.since),
            ("until", &self.until),
            ("before", before),
        ];
        with_query(path, &asked)
    }
}

pub async fn page(
    member: TenantMember,
    State(control): State<ControlPlane>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, PageError> {
    let tenant = member.tenant().tenant_id;
    let (filter, form) = query.read();
    // What is no entry's id begins at the newest, like nothing at all.
    let before: Option<AuditId> = query.before.parse().ok();
    let part = control.audit_entries(tenant, &filter, before, PAGE).await?;
    let shell = member.shell(Area::Audit);
    let links = shell.tenant_links().clone();
    let rows = AuditRows {
        now: control.now(),
        looked_at: part.is_cut.then_some(LOOKED_AT),
        next: part.next.map(|last| query.address(&links.audit(), &last.to_string())),
        entries: part.entries.into_iter().map(shown).collect(),
    };
    if is_htmx(&headers) {
        return show(&rows);
    }
    let apps = control.apps(tenant).await?;
    show(&AuditPage {
        shell,
        rows,
        is_continued: before.is_some(),
        filter: AuditFilterForm {
            actions: Action::ALL.iter().map(|action| action.as_str()).collect(),
            apps: apps.into_iter().map(|app| (app.app_id.to_string(), app.name)).collect(),
            ..form
        },
        csv: query.address(&links.audit_csv(), ""),
        ndjson: query.address(&links.audit_ndjson(), ""),
    })
}

fn day(field: &mut Field) -> Option<OffsetDateTime> {
    let typed = field.value.trim();
    if typed.is_empty() {
        return None;
    }
    let day = Date::parse(typed, format_description!("[year]-[month]-[day]")).ok();
    if day.is_none() {
        field.reject("Type a day, like 2026-07-15.");
    }
    day.map(|day| day.midnight().assume_utc())
}

fn shown(entry: AuditEntry) -> ShownEntry {
    let details = match entry.detail {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match value {
                Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .collect(),
        _ => Vec::new(),
    };
    ShownEntry {
        at: entry.at,
        actor: entry.actor_label,
        actor_kind: match entry.actor_kind.as_str() {
            "api_key" => ActorKind::ApiKey,
            "command" => ActorKind::Command,
            _ => ActorKind::Account,
        },
        address: entry.address,
        action: entry.action,
        // What is about an app itself need not say so twice.
        app: entry.app_label.filter(|_| entry.app.as_ref() != Some(&entry.subject)),
        subject: entry.subject_label,
        details,
    }
}
