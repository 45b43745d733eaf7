//! Who did what in a tenant.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::Value;
use syncline_web::{
    links::with_query,
    pages::audit::{ActorKind, AuditEntry as ShownEntry, AuditPage, AuditRows},
    shell::Area,
};

use super::show;
use crate::{
    control::{ControlPlane, audit::AuditEntry},
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

/// Where a page of the log begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    /// The last entry of the page before (`aud_…`); empty: from the newest.
    before: String,
}

impl Input for AuditQuery {}

pub async fn page(
    member: TenantMember,
    State(control): State<ControlPlane>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, PageError> {
    // What is no entry's id begins at the newest, like nothing at all.
    let before: Option<AuditId> = query.before.parse().ok();
    let mut entries = control.audit_entries(member.tenant().tenant_id, before, PAGE as i64 + 1).await?;
    let more = entries.len() > PAGE;
    entries.truncate(PAGE);
    let shell = member.shell(Area::Audit);
    let next = entries
        .last()
        .filter(|_| more)
        .map(|last| with_query(&shell.tenant_links().audit(), &[("before", &last.audit_id.to_string())]));
    let rows = AuditRows { now: control.now(), entries: entries.into_iter().map(shown).collect(), next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    show(&AuditPage { shell, rows, is_continued: before.is_some() })
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
        action: entry.action,
        subject: entry.subject_label,
        details,
    }
}
