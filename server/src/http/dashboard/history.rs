//! An app's history: bundles by time, of a user or of a device, and the rows of one.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use syncline_web::{
    links::with_query,
    pages::{
        history::{
            BundleFacts, BundlePage, BundleRow as ShownBundle, BundleRows, Change, ChangeRows, HistoryFilter,
            HistoryPage, Op,
        },
        values::Value,
    },
    shell::{Area, Shell},
};

use super::{
    place::{cursor_text, read_cursor, scope_in_path, writer},
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
    ids::{BundleSeq, ScopeId},
    sync::{
        Engine,
        device::list::Page,
        history::{Bundle, BundleRow, Cell, recent::RecentCursor},
        keys::RowOp,
    },
    tables::catalog::AppCatalog,
};

/// Bundles of one page, and rows of one page of a bundle.
const PAGE: i64 = 50;

/// Which bundles, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HistoryQuery {
    scope: String,
    source: String,
    after: String,
}

impl Input for HistoryQuery {}

/// The parts of the path that name a bundle.
#[derive(Debug, Deserialize)]
pub struct BundlePath {
    scope: String,
    seq: i64,
}

/// From which row on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RowsQuery {
    from: i64,
}

impl Input for RowsQuery {}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<HistoryQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::History);
    let (items, after) = match filter_error(&query) {
        Some(_) => (Vec::new(), None),
        None => bundles(&engine, &viewer.live().catalog, &query).await?,
    };
    let next = after.map(|after| {
        let values = [("scope", query.scope.as_str()), ("source", &query.source), ("after", &after)];
        with_query(&shell.links().history(), &values)
    });
    let rows = BundleRows { shell: shell.clone(), bundles: items, next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    show(&HistoryPage {
        shell,
        rows,
        filter_error: filter_error(&query),
        is_continued: !query.after.is_empty(),
        filter: HistoryFilter { scope: query.scope, source: query.source },
    })
}

/// Source ids are told apart within a user only.
fn filter_error(query: &HistoryQuery) -> Option<String> {
    (query.scope.is_empty() && !query.source.is_empty())
        .then(|| "Name the user as well: devices of two users may have the same id.".to_owned())
}

/// One page of bundles, and the cursor behind it.
async fn bundles(
    engine: &Engine,
    catalog: &AppCatalog,
    query: &HistoryQuery,
) -> Result<(Vec<ShownBundle>, Option<String>), PageError> {
    if query.scope.is_empty() {
        let after: Option<RecentCursor> = read_cursor(&query.after);
        let page = engine.recent_bundles(catalog, after.as_ref(), PAGE).await?;
        let bundles = page.items.into_iter().map(|recent| row(recent.scope_id, recent.bundle)).collect();
        return Ok((bundles, page.next.as_ref().map(cursor_text)));
    }
    let Ok(scope) = ScopeId::parse(&query.scope) else { return Ok((Vec::new(), None)) };
    let after: Option<i64> = read_cursor(&query.after);
    let (items, next) = if query.source.is_empty() {
        let Page { items, next } = engine.bundles(catalog, &scope, after.map(BundleSeq), PAGE).await?;
        (items, next.map(|seq| seq.0))
    } else if query.source.contains('\0') {
        (Vec::new(), None)
    } else {
        let Page { items, next } =
            engine.bundles_of_source(catalog, &scope, &query.source, after, PAGE).await?;
        (items, next)
    };
    let bundles = items.into_iter().map(|bundle| row(scope.as_str().to_owned(), bundle)).collect();
    Ok((bundles, next.as_ref().map(cursor_text)))
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiPath(path): ApiPath<BundlePath>,
    ApiQuery(query): ApiQuery<RowsQuery>,
) -> Result<Response, PageError> {
    let (scope, seq) = (scope_in_path(&path.scope)?, BundleSeq(path.seq));
    let catalog = &viewer.live().catalog;
    let shell = viewer.shell(Area::History);
    let bundle = engine.bundle(catalog, &scope, seq).await?.ok_or(PageError::NotFound)?;
    let from = query.from.clamp(0, i64::from(i32::MAX));
    let page = engine.bundle_rows(catalog, &scope, seq, from, PAGE).await?;
    let next = page.next.map(|from| {
        with_query(&shell.links().bundle(scope.as_str(), &seq.0), &[("from", &from.to_string())])
    });
    let rows = ChangeRows {
        shell: shell.clone(),
        scope: scope.as_str().to_owned(),
        changes: page.items.into_iter().map(change).collect(),
        next,
    };
    if is_htmx(&headers) {
        return show(&rows);
    }
    show(&bundle_page(shell, &engine, catalog, &scope, bundle, rows).await?)
}

async fn bundle_page(
    shell: Shell,
    engine: &Engine,
    catalog: &AppCatalog,
    scope: &ScopeId,
    bundle: Bundle,
    rows: ChangeRows,
) -> Result<BundlePage, PageError> {
    let seq = bundle.bundle_seq.0;
    let (previous, following) = (BundleSeq(seq - 1), BundleSeq(seq + 1));
    let facts = BundleFacts {
        source_bundle_id: bundle.source_bundle_id,
        bundle_hash: bundle.bundle_hash.clone(),
        request_hash: bundle.request_hash.clone(),
        user: bundle.user_id.clone(),
        schema_version: bundle.schema_version.into(),
        previous: engine.bundle(catalog, scope, previous).await?.map(|bundle| bundle.bundle_seq.0),
        next: engine.bundle(catalog, scope, following).await?.map(|bundle| bundle.bundle_seq.0),
    };
    let is_continued = rows.changes.first().is_some_and(|first| first.ordinal > 0);
    Ok(BundlePage { shell, bundle: row(scope.as_str().to_owned(), bundle), facts, rows, is_continued })
}

/// A bundle as lists show it.
pub(super) fn row(scope: String, bundle: Bundle) -> ShownBundle {
    ShownBundle {
        scope,
        seq: bundle.bundle_seq.0,
        committed_at: bundle.committed_at,
        writer: writer(bundle.source_id, bundle.written_by),
        rows: bundle.row_count.into(),
        bytes: bundle.byte_count,
    }
}

fn change(row: BundleRow) -> Change {
    Change {
        ordinal: row.ordinal,
        table: row.table,
        key: row.key,
        op: RowOp::parse(&row.op).map_or(Op::Update, op),
        values: row.payload.into_iter().flatten().map(|(column, cell)| (column, value(cell))).collect(),
        prior_version: row.prior_version,
    }
}

pub(super) fn op(op: RowOp) -> Op {
    match op {
        RowOp::Insert => Op::Insert,
        RowOp::Update => Op::Update,
        RowOp::Delete => Op::Delete,
    }
}

pub(super) fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) | Cell::Literal(text) => Value::text(&text),
    }
}
