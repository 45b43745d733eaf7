//! The inbox of refused writes: the list, and one failure with its rows.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use syncline_web::{
    links::with_query,
    pages::rejected_writes::{
        RefusedRow as ShownRow, RejectedWriteFacts, RejectedWriteFilter as ShownFilter, RejectedWritePage,
        RejectedWriteRow, RejectedWriteRows, RejectedWritesPage, WriteState,
    },
    shell::Area,
};

use super::{
    history::{op, value},
    place::{cursor_text, read_cursor},
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
    ids::{RejectedWriteId, ScopeId},
    sync::{
        Engine,
        device::list::Page,
        rejected_write::inbox::{
            RefusedRow, RejectedWrite, RejectedWriteCursor, RejectedWriteFilter, RejectedWriteState,
        },
    },
};

/// Failures of one page.
const PAGE: i64 = 50;

/// Which failures, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RejectedQuery {
    state: String,
    scope: String,
    after: String,
}

impl Input for RejectedQuery {}

/// The part of the path that names a failure.
#[derive(Debug, Deserialize)]
pub struct RejectedPath {
    write: String,
}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<RejectedQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::RejectedWrites);
    let after: Option<RejectedWriteCursor> = read_cursor(&query.after);
    let page = match filter(&query) {
        Some(filter) => engine.rejected_writes(&viewer.live().catalog, &filter, after, PAGE).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let next = page.next.map(|cursor| {
        let values =
            [("state", query.state.as_str()), ("scope", &query.scope), ("after", &cursor_text(&cursor))];
        with_query(&shell.links().rejected_writes(), &values)
    });
    let rows =
        RejectedWriteRows { shell: shell.clone(), writes: page.items.into_iter().map(row).collect(), next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    let filter = ShownFilter { state: query.state, scope: query.scope };
    show(&RejectedWritesPage { shell, filter, rows, is_continued: after.is_some() })
}

/// What the query asks for; None when nothing can match it.
fn filter(query: &RejectedQuery) -> Option<RejectedWriteFilter> {
    let scope = match query.scope.as_str() {
        "" => None,
        scope => Some(ScopeId::parse(scope).ok()?),
    };
    let state = match query.state.as_str() {
        "" => None,
        "open" => Some(RejectedWriteState::Open),
        "resolved" => Some(RejectedWriteState::Resolved),
        "ignored" => Some(RejectedWriteState::Ignored),
        _ => return None,
    };
    Some(RejectedWriteFilter { scope, state })
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<RejectedPath>,
) -> Result<Response, PageError> {
    let id: RejectedWriteId = path.write.parse().map_err(|_| PageError::NotFound)?;
    let detail = engine.rejected_write(&viewer.live().catalog, id).await?.ok_or(PageError::NotFound)?;
    let write = &detail.write;
    let facts = RejectedWriteFacts {
        user: write.user.clone(),
        first_at: write.first_at,
        constraint: write.constraint_name.clone(),
        column: write.column_name.clone(),
        source_bundle_id: write.source_bundle_id,
        row_count: write.row_count,
        state_at: write.state_at,
    };
    show(&RejectedWritePage {
        shell: viewer.shell(Area::RejectedWrites),
        facts,
        advice: advice(write).to_owned(),
        rows: detail.rows.into_iter().map(refused_row).collect(),
        write: row(detail.write),
    })
}

/// What helps.
fn advice(write: &RejectedWrite) -> &'static str {
    match write.state {
        RejectedWriteState::Resolved => "The device has got on since. Nothing is to be done.",
        RejectedWriteState::Ignored => "Somebody chose to ignore it. The device may still be blocked.",
        RejectedWriteState::Open if write.constraint_name.is_some() => {
            "Change or delete the row that is in the way, or let the user change theirs. The device tries again when it \
             syncs next; until it gets through, it downloads nothing."
        }
        RejectedWriteState::Open => {
            "Ship an app version that sends what the table accepts, or let the user change the row. The device tries \
             again when it syncs next; until it gets through, it downloads nothing."
        }
    }
}

/// A failure as lists show it.
pub(super) fn row(write: RejectedWrite) -> RejectedWriteRow {
    RejectedWriteRow {
        id: write.id.to_string(),
        last_at: write.last_at,
        code: write.code,
        message: write.message,
        table: write.table_name,
        scope: write.scope,
        source: write.source,
        attempts: write.attempts,
        state: match write.state {
            RejectedWriteState::Open => WriteState::Open,
            RejectedWriteState::Resolved => WriteState::Resolved,
            RejectedWriteState::Ignored => WriteState::Ignored,
        },
    }
}

fn refused_row(row: RefusedRow) -> ShownRow {
    ShownRow {
        table: row.table,
        key: row.key,
        op: row.op.map(op),
        values: row.payload.into_iter().map(|(column, cell)| (column, value(cell))).collect(),
    }
}
