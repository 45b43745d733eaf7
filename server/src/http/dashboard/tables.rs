//! An app's tables: the list with counts, and one with its columns and rows.

use std::collections::BTreeMap;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use syncline_web::{
    links::{read_segment, with_query},
    pages::{
        tables::{GridColumn, GridRow, RowGrid, TablePage, TableRow, TablesPage},
        values::Value,
    },
    shell::{Area, Shell},
};

use super::{
    history::value,
    place::{cursor_text, read_cursor},
    shapes, show,
};
use crate::{
    http::{
        error::ApiError,
        extract::{
            input::{ApiPath, ApiQuery, Input},
            member::AppViewer,
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::ScopeId,
    ops::database::Databases,
    sync::history::Cell,
    tables::{
        catalog::{AppCatalog, CatalogTable},
        inspect::{self, BrowsedRow, RowCount, RowCursor},
        spec::KeyKind,
    },
};

/// Rows of one page.
const PAGE: usize = 50;

/// The part of the path that names a table.
#[derive(Debug, Deserialize)]
pub struct TablePath {
    table: String,
}

/// Whose rows, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RowsQuery {
    scope: String,
    after: String,
}

impl Input for RowsQuery {}

/// A row's place as the value of a query.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    scope: String,
    key: String,
}

pub async fn list(viewer: AppViewer, State(databases): State<Databases>) -> Result<Response, PageError> {
    let catalog = &viewer.live().catalog;
    let counts = inspect::row_counts(&databases.apps, catalog, None).await?;
    show(&TablesPage {
        shell: viewer.shell(Area::Tables),
        schema_version: catalog.schema_version.into(),
        tables: catalog.tables().iter().map(|table| row_of(table, count_of(table, &counts))).collect(),
    })
}

pub async fn detail(
    viewer: AppViewer,
    State(databases): State<Databases>,
    headers: HeaderMap,
    ApiPath(path): ApiPath<TablePath>,
    ApiQuery(query): ApiQuery<RowsQuery>,
) -> Result<Response, PageError> {
    let catalog = &viewer.live().catalog;
    let table = catalog.table(read_segment(&path.table)).ok_or(PageError::NotFound)?;
    let shell = viewer.shell(Area::Tables);
    let grid = browse(&shell, &databases, catalog, table, &query).await?;
    if is_htmx(&headers) {
        return show(&grid);
    }
    let counts = inspect::row_counts(&databases.apps, catalog, None).await?;
    let (rows, rows_exact) = count_of(table, &counts);
    show(&TablePage {
        shell,
        shape: shapes::table(&table.spec),
        rows,
        rows_exact,
        grid,
        is_continued: !query.after.is_empty(),
        scope: query.scope,
    })
}

async fn browse(
    shell: &Shell,
    databases: &Databases,
    catalog: &AppCatalog,
    table: &CatalogTable,
    query: &RowsQuery,
) -> Result<RowGrid, PageError> {
    let after = read_cursor::<Cursor>(&query.after)
        .and_then(|cursor| Some(RowCursor { scope: ScopeId::parse(&cursor.scope).ok()?, key: cursor.key }));
    let mut rows = match (query.scope.as_str(), ScopeId::parse(&query.scope)) {
        ("", _) => {
            inspect::rows(&databases.apps, catalog, table, None, after.as_ref(), PAGE as i64 + 1).await?
        }
        (_, Ok(scope)) => {
            inspect::rows(&databases.apps, catalog, table, Some(&scope), after.as_ref(), PAGE as i64 + 1)
                .await?
        }
        (_, Err(_)) => Vec::new(),
    };
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|last| {
        let cursor = Cursor { scope: last.scope.as_str().to_owned(), key: last.key.clone() };
        let values = [("scope", query.scope.as_str()), ("after", &cursor_text(&cursor))];
        with_query(&shell.links().table(table.name().as_str()), &values)
    });
    let grid_column = |column: &crate::tables::spec::ColumnSpec| GridColumn {
        name: column.name.to_string(),
        ty: column.ty.sql(),
    };
    let is_key = |column: &crate::tables::spec::ColumnSpec| column.name == table.key().column;
    Ok(RowGrid {
        shell: shell.clone(),
        key: GridColumn { name: table.key().column.to_string(), ty: key_kind(table).to_owned() },
        columns: table.columns().iter().filter(|column| !is_key(column)).map(grid_column).collect(),
        rows: rows.into_iter().map(|row| grid_row(table, row)).collect::<Result<_, _>>()?,
        next,
    })
}

fn grid_row(table: &CatalogTable, row: BrowsedRow) -> Result<GridRow, PageError> {
    let values = match &row.payload {
        None => Vec::new(),
        Some(payload) => {
            let members: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(payload).map_err(ApiError::internal)?;
            let columns = table.columns().iter().filter(|column| column.name != table.key().column);
            columns
                .map(|column| match members.get(column.name.as_str()).map(|raw| Cell::read(raw)) {
                    Some(cell) => Ok(value(cell.map_err(ApiError::internal)?)),
                    None => Ok(Value::Null),
                })
                .collect::<Result<_, ApiError>>()?
        }
    };
    Ok(GridRow {
        scope: row.scope.as_str().to_owned(),
        key: row.key,
        version: row.row_version,
        values,
        too_large: row.payload.is_none().then_some(row.payload_bytes.into()),
    })
}

fn row_of(table: &CatalogTable, (rows, rows_exact): (i64, bool)) -> TableRow {
    let mut parents: Vec<String> = table.spec.foreign_keys.iter().map(|key| key.parent.to_string()).collect();
    parents.sort();
    parents.dedup();
    TableRow {
        name: table.name().to_string(),
        key_column: table.key().column.to_string(),
        key_kind: key_kind(table).to_owned(),
        columns: table.columns().len() as i64,
        parents,
        rows,
        rows_exact,
    }
}

/// How many rows the table has, and whether that is exact.
fn count_of(table: &CatalogTable, counts: &[RowCount]) -> (i64, bool) {
    counts
        .iter()
        .find(|count| count.table_no == table.table_no())
        .map_or((0, true), |count| (count.rows, count.exact))
}

fn key_kind(table: &CatalogTable) -> &'static str {
    match table.key().kind {
        KeyKind::Uuid => "uuid",
        KeyKind::Text => "text",
    }
}
