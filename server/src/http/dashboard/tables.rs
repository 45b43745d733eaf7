//! An app's tables: the list with counts and sizes, and one with its columns and rows.

mod csv_cell;
pub mod export;
mod filters;
pub mod import;
mod import_file;
mod row_form;
pub mod rows;
mod typed;
mod writes;

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_web::{
    links::read_segment,
    pages::{
        tables::{GridColumn, GridRow, RowGrid, TablePage, TableRow, TablesPage},
        values::Value,
    },
    shell::{Area, Shell},
};

use self::filters::{Reading, RowsQuery};
use super::{history::value, shapes, show, show_as};
use crate::{
    clock::Clock,
    http::{
        error::ApiError,
        extract::{
            input::{ApiPath, ApiQuery},
            member::AppViewer,
        },
        page_error::PageError,
    },
    ops::database::Databases,
    sync::history::Cell,
    tables::{
        activity,
        browse::{self, BrowseError, LOOKED_AT, PAGE_PATIENCE, RowPage, Wanted},
        catalog::CatalogTable,
        inspect::{self, BrowsedRow, RowCount, RowCursor},
        sizes::{self, TableRoom},
        spec::{ColumnSpec, KeyKind},
    },
};

/// Rows of one page.
const PAGE: i64 = 50;
/// A search that finds nothing goes on by itself until it has looked at so many rows.
const GOES_ON_UNTIL: i64 = 1_000_000;

/// The part of the path that names a table.
#[derive(Debug, Deserialize)]
pub struct TablePath {
    table: String,
}

pub async fn list(
    viewer: AppViewer,
    State(databases): State<Databases>,
    State(clock): State<Clock>,
) -> Result<Response, PageError> {
    let (catalog, now) = (&viewer.live().catalog, clock.now());
    let counts = inspect::row_counts(&databases.apps, catalog, None).await?;
    let sizes = sizes::rooms(&databases.apps, catalog).await?;
    let week = activity::since(&databases.apps, catalog, writes::first_day(now, 7), now).await?;
    let rows = catalog.tables().iter().map(|table| TableRow {
        rows_written: writes::sum(table, &week),
        ..row_of(table, count_of(table, &counts), &sizes)
    });
    show(&TablesPage {
        shell: viewer.shell(Area::Tables),
        schema_version: catalog.schema_version.into(),
        tables: rows.collect(),
    })
}

pub async fn detail(
    viewer: AppViewer,
    State(databases): State<Databases>,
    State(clock): State<Clock>,
    ApiPath(path): ApiPath<TablePath>,
    ApiQuery(query): ApiQuery<RowsQuery>,
) -> Result<Response, PageError> {
    let (catalog, now) = (&viewer.live().catalog, clock.now());
    let table = catalog.table(read_segment(&path.table)).ok_or(PageError::NotFound)?;
    let shell = viewer.shell(Area::Tables);
    let address = shell.links().table(table.name().as_str());
    let reading = query.read(table, &address);
    let (status, page, problem) = if reading.is_right {
        let wanted = Wanted { scope: reading.scope.as_ref(), filters: &reading.filters };
        let place = query.place();
        match browse::page(&databases.apps, catalog, table, wanted, &place, PAGE, PAGE_PATIENCE).await {
            Ok(page) => (StatusCode::OK, page, None),
            Err(error) => {
                (StatusCode::UNPROCESSABLE_ENTITY, RowPage::default(), Some(problem(error, &reading)?))
            }
        }
    } else {
        (StatusCode::UNPROCESSABLE_ENTITY, RowPage::default(), None)
    };
    let (rows, rows_exact) = count_of(table, &inspect::row_counts(&databases.apps, catalog, None).await?);
    let bytes = bytes_of(table, &sizes::rooms(&databases.apps, catalog).await?);
    let month = activity::since(&databases.apps, catalog, writes::first_day(now, writes::DAYS), now).await?;
    show_as(
        status,
        &TablePage {
            shape: shapes::table(&table.spec),
            rows,
            rows_exact,
            bytes,
            writes: writes::chart(table, &month, now),
            grid: grid(&shell, table, &query, page)?,
            is_filtered: query.is_filtered(),
            exports: [
                query.address(&shell.links().table_csv(table.name().as_str()), None),
                query.address(&shell.links().table_ndjson(table.name().as_str()), None),
            ],
            is_right: reading.is_right,
            filter: reading.form,
            problem,
            shell,
        },
    )
}

/// A form that is none of ours, or of an older page.
fn stale_form() -> PageError {
    ApiError::invalid_request(
        "The form is not one of this page's. Go back, reload the page and send it again.",
    )
    .into()
}

/// Why there are no rows, and what to do about it.
fn problem(error: BrowseError, reading: &Reading) -> Result<String, PageError> {
    match error {
        BrowseError::TooSlow if reading.scope.is_some() => Ok(format!(
            "The rows were not found within {} seconds, so the search was ended. Compare a column that has an index, or take \
             the condition out.",
            PAGE_PATIENCE.as_secs()
        )),
        BrowseError::TooSlow => Ok(format!(
            "The rows were not found within {} seconds, so the search was ended. Name the user: then only that user’s rows are \
             looked at, and indexes serve.",
            PAGE_PATIENCE.as_secs()
        )),
        BrowseError::Value => {
            Ok("PostgreSQL does not take one of the values. Check them against the columns’ types."
                .to_owned())
        }
        BrowseError::Database(error) => Err(error.into()),
    }
}

fn grid(shell: &Shell, table: &CatalogTable, query: &RowsQuery, page: RowPage) -> Result<RowGrid, PageError> {
    let address = shell.links().table(table.name().as_str());
    let is_backwards = page.looked_until.is_some() && query.is_backwards();
    let cursor = |row: &BrowsedRow| RowCursor { scope: row.scope.clone(), key: row.key.clone() };
    let ends = [page.rows.first(), page.rows.last()].map(|row| row.map(cursor));
    let looked_at = page.looked_until.is_some().then(|| query.looked.saturating_add(LOOKED_AT));
    let found_none = page.rows.is_empty();
    let [before, after] = match (page.looked_until, ends) {
        (Some(until), [_, last]) if is_backwards => [Some(until), last],
        (Some(until), [first, _]) => [first, Some(until)],
        (None, ends) => ends,
    };
    let to =
        |name, place: Option<RowCursor>| place.map(|place| query.address(&address, Some((name, &place))));
    let grid_column = |column: &ColumnSpec| GridColumn { name: column.name.to_string(), ty: column.ty.sql() };
    let is_key = |column: &ColumnSpec| column.name == table.key().column;
    Ok(RowGrid {
        shell: shell.clone(),
        table: table.name().to_string(),
        key: GridColumn { name: table.key().column.to_string(), ty: key_kind(table).to_owned() },
        columns: table.columns().iter().filter(|column| !is_key(column)).map(grid_column).collect(),
        first: page.has_previous.then(|| query.address(&address, None)),
        previous: to("before", before.filter(|_| page.has_previous)),
        next: to("after", after.filter(|_| page.has_next)).map(|next| match looked_at {
            Some(looked_at) if found_none => format!("{next}&looked={looked_at}"),
            _ => next,
        }),
        goes_on: found_none && !is_backwards && looked_at.is_some_and(|looked_at| looked_at < GOES_ON_UNTIL),
        looked_at,
        rows: page.rows.into_iter().map(|row| grid_row(table, row)).collect::<Result<_, _>>()?,
    })
}

fn grid_row(table: &CatalogTable, row: BrowsedRow) -> Result<GridRow, PageError> {
    let values = match &row.payload {
        None => Vec::new(),
        Some(payload) => {
            let cells = cells(payload)?;
            let columns = table.columns().iter().filter(|column| column.name != table.key().column);
            columns
                .map(|column| cells.get(column.name.as_str()).cloned().map_or(Value::Null, value))
                .collect()
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

type Cells = BTreeMap<String, Cell>;

/// The values of a row as it is served, by column.
fn cells(payload: &str) -> Result<Cells, ApiError> {
    let members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(payload).map_err(ApiError::internal)?;
    let cell =
        |(name, raw): (String, Box<RawValue>)| Ok((name, Cell::read(&raw).map_err(ApiError::internal)?));
    members.into_iter().map(cell).collect()
}

fn row_of(table: &CatalogTable, (rows, rows_exact): (i64, bool), sizes: &[TableRoom]) -> TableRow {
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
        bytes: bytes_of(table, sizes),
        rows_written: 0,
    }
}

/// The bytes that the table takes.
fn bytes_of(table: &CatalogTable, sizes: &[TableRoom]) -> i64 {
    sizes.iter().find(|size| size.table_no == table.table_no()).map_or(0, |size| size.bytes)
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
