//! The audit log as a file: CSV for people's spreadsheets, NDJSON for programs. Streamed page by page: neither its length
//! nor a slow reader takes memory or a connection.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::AuditQuery;
use crate::{
    control::{
        ControlPlane,
        audit::{AuditEntry, AuditFilter},
    },
    http::{
        extract::{input::ApiQuery, member::TenantMember},
        page_error::PageError,
    },
    ids::{AuditId, TenantId},
};

/// Entries that are read and sent at a time.
const PIECE: usize = 1_000;

const CSV_HEAD: &str =
    "id,at,actor_kind,actor,actor_label,address,action,app,app_label,subject,subject_label,detail\r\n";

type Line = fn(&AuditEntry) -> String;

pub async fn csv(
    member: TenantMember,
    State(control): State<ControlPlane>,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, PageError> {
    let body = body(control, member.tenant().tenant_id, query.read().0, CSV_HEAD, csv_line);
    download(&member, body, "text/csv; charset=utf-8", "csv")
}

pub async fn ndjson(
    member: TenantMember,
    State(control): State<ControlPlane>,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, PageError> {
    let body = body(control, member.tenant().tenant_id, query.read().0, "", json_line);
    download(&member, body, "application/x-ndjson", "ndjson")
}

fn download(
    member: &TenantMember,
    body: Body,
    content_type: &'static str,
    ending: &str,
) -> Result<Response, PageError> {
    // A slug is made of letters, digits and dashes.
    let name = format!("attachment; filename=\"{}-audit.{ending}\"", member.tenant().slug);
    let name = HeaderValue::from_str(&name).map_err(crate::http::error::ApiError::internal)?;
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

/// Where the next piece begins.
enum Place {
    After(Option<AuditId>),
    End,
}

/// `head`, then a line an entry. An error in the middle breaks the connection off, so that half a file is not taken for
/// a whole one.
fn body(
    control: ControlPlane,
    tenant: TenantId,
    filter: AuditFilter,
    head: &'static str,
    line: Line,
) -> Body {
    let pieces = stream::try_unfold(Place::After(None), move |place| {
        let (control, filter) = (control.clone(), filter.clone());
        async move {
            let Place::After(after) = place else { return Ok::<_, sqlx::Error>(None) };
            let part = control.audit_entries(tenant, &filter, after, PIECE).await?;
            let mut text = if after.is_none() { head.to_owned() } else { String::new() };
            text.extend(part.entries.iter().map(line));
            let next = part.next.map_or(Place::End, |last| Place::After(Some(last)));
            Ok(Some((Bytes::from(text), next)))
        }
    });
    Body::from_stream(pieces)
}

fn json_line(entry: &AuditEntry) -> String {
    let line = json!({
        "id": entry.audit_id,
        "at": at(entry),
        "actor_kind": entry.actor_kind,
        "actor": entry.actor,
        "actor_label": entry.actor_label,
        "address": entry.address,
        "action": entry.action,
        "app": entry.app,
        "app_label": entry.app_label,
        "subject": entry.subject,
        "subject_label": entry.subject_label,
        "detail": entry.detail,
    });
    format!("{line}\n")
}

fn csv_line(entry: &AuditEntry) -> String {
    let detail = entry.detail.to_string();
    let id = entry.audit_id.to_string();
    let at = at(entry);
    let cells = [
        id.as_str(),
        &at,
        &entry.actor_kind,
        entry.actor.as_deref().unwrap_or_default(),
        &entry.actor_label,
        entry.address.as_deref().unwrap_or_default(),
        &entry.action,
        entry.app.as_deref().unwrap_or_default(),
        entry.app_label.as_deref().unwrap_or_default(),
        &entry.subject,
        &entry.subject_label,
        &detail,
    ];
    format!("{}\r\n", cells.map(csv_cell).join(","))
}

/// A cell as RFC 4180 wants it. What a spreadsheet would take for a formula gets an apostrophe in front: names in the log
/// are typed by anybody.
fn csv_cell(text: &str) -> String {
    let formula = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if formula.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{formula}{}\"", text.replace('"', "\"\""))
}

fn at(entry: &AuditEntry) -> String {
    entry.at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula_gets_through() {
        assert_eq!(csv_cell("plain é"), "plain é");
        assert_eq!(csv_cell("a,b"), "\"a,b\"");
        assert_eq!(csv_cell("say \"hi\"\n"), "\"say \"\"hi\"\"\n\"");
        assert_eq!(csv_cell("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
    }
}
