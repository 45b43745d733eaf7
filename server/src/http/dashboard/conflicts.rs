//! An app's conflicts: the list with filters, and one with its three rows.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use syncline_web::{
    links::with_query,
    pages::conflicts::{
        ComparedColumn as ShownColumn, ConflictFacts, ConflictFilter as ShownFilter, ConflictPage,
        ConflictRow, ConflictRows, ConflictsPage, Outcome as ShownOutcome, Side,
    },
    shell::Area,
};

use super::{
    history::{op, value},
    place::{cursor_text, read_cursor, writer},
    show,
};
use crate::{
    http::{
        extract::{
            input::{ApiPath, ApiQuery, Input},
            member::AppViewer,
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::{ConflictId, ScopeId},
    sync::{
        Engine,
        conflict::ledger::{
            ComparedColumn, Conflict, ConflictCursor, ConflictDetail, ConflictFilter, Outcome, OutcomeFilter,
        },
        device::list::Page,
        keys::RowOp,
    },
    tables::catalog::AppCatalog,
};

/// Conflicts of one page.
const PAGE: i64 = 50;

/// Which conflicts, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConflictsQuery {
    table: String,
    scope: String,
    source: String,
    outcome: String,
    after: String,
}

impl Input for ConflictsQuery {}

/// The part of the path that names a conflict.
#[derive(Debug, Deserialize)]
pub struct ConflictPath {
    conflict: String,
}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<ConflictsQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::Conflicts);
    let catalog = &viewer.live().catalog;
    let after: Option<ConflictCursor> = read_cursor(&query.after);
    let page = match filter(catalog, &query) {
        Some(filter) => engine.conflicts(catalog, &filter, after, PAGE).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let next = page.next.map(|cursor| {
        let values = [
            ("table", query.table.as_str()),
            ("scope", &query.scope),
            ("source", &query.source),
            ("outcome", &query.outcome),
            ("after", &cursor_text(&cursor)),
        ];
        with_query(&shell.links().conflicts(), &values)
    });
    let conflicts = page.items.into_iter().map(row).collect();
    let rows = ConflictRows { shell: shell.clone(), conflicts, next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    let ConflictsQuery { table, scope, source, outcome, .. } = query;
    show(&ConflictsPage {
        shell,
        filter: ShownFilter { table, scope, source, outcome },
        tables: catalog.tables().iter().map(|table| table.name().to_string()).collect(),
        rows,
        is_continued: after.is_some(),
    })
}

/// What the query asks for; None when nothing can match it.
fn filter(catalog: &AppCatalog, query: &ConflictsQuery) -> Option<ConflictFilter> {
    let mut filter = ConflictFilter::default();
    if !query.table.is_empty() {
        filter.table_no = Some(catalog.table(&query.table)?.table_no());
    }
    if !query.scope.is_empty() {
        filter.scope = Some(ScopeId::parse(&query.scope).ok()?);
    }
    if !query.source.is_empty() {
        filter.source = Some(query.source.clone()).filter(|source| !source.contains('\0'));
        filter.source.as_ref()?;
    }
    filter.outcome = match query.outcome.as_str() {
        "" => None,
        "open" => Some(OutcomeFilter::Open),
        "kept_local" => Some(OutcomeFilter::Settled(Outcome::KeptLocal)),
        "accepted_server" => Some(OutcomeFilter::Settled(Outcome::AcceptedServer)),
        "merged" => Some(OutcomeFilter::Settled(Outcome::Merged)),
        "gave_up" => Some(OutcomeFilter::Settled(Outcome::GaveUp)),
        _ => return None,
    };
    Some(filter)
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<ConflictPath>,
) -> Result<Response, PageError> {
    let id: ConflictId = path.conflict.parse().map_err(|_| PageError::NotFound)?;
    let detail = engine.conflict(&viewer.live().catalog, id).await?.ok_or(PageError::NotFound)?;
    let [base, device, server] = sides(&detail);
    let facts = ConflictFacts {
        user: detail.user,
        last_at: detail.conflict.last_at,
        server_writer: detail.server_source.map(|source| writer(source, None)),
        settled_at: detail.settled_at,
        settled_seq: detail.settled_seq.map(|seq| seq.0),
    };
    show(&ConflictPage {
        shell: viewer.shell(Area::Conflicts),
        conflict: row(detail.conflict),
        facts,
        base,
        device,
        server,
        columns: detail.columns.into_iter().map(column).collect(),
    })
}

/// What base, device and server had: a row, none, or something that is not kept.
fn sides(detail: &ConflictDetail) -> [Side; 3] {
    let version = detail.base_row_version;
    let base = match detail.conflict.op {
        _ if version == 0 => Side::Absent,
        // An INSERT starts from a row that was deleted.
        RowOp::Insert => Side::Deleted { version: Some(version) },
        _ if detail.base_known => Side::Row { version: Some(version) },
        _ => Side::Unknown { version },
    };
    let device = match detail.conflict.op {
        RowOp::Delete => Side::Deleted { version: None },
        RowOp::Insert | RowOp::Update => Side::Row { version: None },
    };
    let version = detail.server_row_version;
    let server = match (version, detail.server_row_deleted) {
        (0, _) => Side::Absent,
        (_, true) => Side::Deleted { version: Some(version) },
        (_, false) => Side::Row { version: Some(version) },
    };
    [base, device, server]
}

/// A conflict as lists show it.
pub(super) fn row(conflict: Conflict) -> ConflictRow {
    ConflictRow {
        id: conflict.id.to_string(),
        first_at: conflict.first_at,
        table: conflict.table_name,
        key: conflict.key,
        op: op(conflict.op),
        scope: conflict.scope,
        source: conflict.source,
        attempts: conflict.attempts,
        outcome: match conflict.outcome {
            None => ShownOutcome::Open,
            Some(Outcome::KeptLocal) => ShownOutcome::KeptLocal,
            Some(Outcome::AcceptedServer) => ShownOutcome::AcceptedServer,
            Some(Outcome::Merged) => ShownOutcome::Merged,
            Some(Outcome::GaveUp) => ShownOutcome::GaveUp,
        },
    }
}

fn column(column: ComparedColumn) -> ShownColumn {
    ShownColumn {
        name: column.name,
        is_key: column.is_key,
        base: column.base.map(value),
        device: column.device.map(value),
        server: column.server.map(value),
        device_changed: column.device_changed,
        server_changed: column.server_changed,
    }
}
