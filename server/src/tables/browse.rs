//! A table's rows for people and their files: by scope and key, filtered, in pages that know what stands before and behind.
//!
//! Nothing here can hold the server up: transactions are read-only, act as the app's role, and end after a time.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{
    catalog::{AppCatalog, CatalogTable},
    filter::Filter,
    ident::SCOPE_COLUMN,
    inspect::{self, BrowsedRow, RowCursor},
    payload_sql,
};
use crate::{ids::ScopeId, ops::database::AppPool};

/// How long the rows of one page may be looked for: longer, and nobody waits for them.
pub const PAGE_PATIENCE: Duration = Duration::from_secs(3);
/// How long the rows of one part of a file may be looked for.
const FILE_PATIENCE: Duration = Duration::from_secs(60);
/// Rows, and bytes of them, that are held at once while a file is written.
const FILE_ROWS: i64 = 1_000;
const FILE_BYTES: i64 = 4 * 1024 * 1024;

/// Which rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Those of one scope; None: all.
    pub scope: Option<&'a ScopeId>,
    /// That satisfy all of these.
    pub filters: &'a [Filter],
}

/// Where a page lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Beginning,
    After(RowCursor),
    Before(RowCursor),
}

/// Rows in order of scope and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowPage {
    pub rows: Vec<BrowsedRow>,
    /// There may be rows before the first.
    pub has_previous: bool,
    /// There are rows behind the last.
    pub has_next: bool,
}

/// A row as a file has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct FileRow {
    pub scope: ScopeId,
    pub key: String,
    pub row_version: Option<i64>,
    /// The JSON object that clients get.
    pub payload: String,
}

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// Too many rows had to be looked at.
    #[error("the rows were not found in time")]
    TooSlow,
    /// PostgreSQL does not take a filter's value.
    #[error("a filter's value is none of its column's type")]
    Value,
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for BrowseError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        match code.as_deref() {
            Some("57014") => Self::TooSlow,
            Some(code) if code.starts_with("22") => Self::Value,
            _ => Self::Database(error),
        }
    }
}

/// A page of at most `limit` rows.
pub async fn page(
    apps: &AppPool,
    app: &AppCatalog,
    table: &CatalogTable,
    wanted: Wanted<'_>,
    place: &Place,
    limit: i64,
    patience: Duration,
) -> Result<RowPage, BrowseError> {
    // The cursor may come from a link that somebody has edited.
    let cursor = match place {
        Place::Beginning => None,
        Place::After(cursor) | Place::Before(cursor) => {
            Some(cursor).filter(|cursor| inspect::is_key(table, &cursor.key))
        }
    };
    let backwards = cursor.is_some() && matches!(place, Place::Before(_));
    let selection = Selection::new(table, wanted, cursor, backwards);
    let sql = inspect::rows_sql(app, table, &selection.conditions, &selection.tail);
    let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).bind(limit + 1);
    for text in &selection.texts {
        query = query.bind(*text);
    }
    let mut tx = apps.begin_reading(&app.schema, patience).await?;
    let mut rows: Vec<BrowsedRow> = query.fetch_all(&mut *tx).await?;
    tx.commit().await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if backwards {
        rows.reverse();
    }
    Ok(RowPage {
        rows,
        has_previous: if backwards { more } else { cursor.is_some() },
        has_next: backwards || more,
    })
}

/// The rows behind `after` for a file: as many as may be held at once, none at the end.
pub async fn file_rows(
    apps: &AppPool,
    app: &AppCatalog,
    table: &CatalogTable,
    wanted: Wanted<'_>,
    after: Option<&RowCursor>,
) -> Result<Vec<FileRow>, BrowseError> {
    let selection = Selection::new(table, wanted, after, false);
    let sql = file_sql(app, table, &selection);
    let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).bind(FILE_ROWS);
    for text in &selection.texts {
        query = query.bind(*text);
    }
    let mut tx = apps.begin_reading(&app.schema, FILE_PATIENCE).await?;
    let rows = query.fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(rows)
}

fn file_sql(app: &AppCatalog, table: &CatalogTable, selection: &Selection<'_>) -> String {
    format!(
        "select n.scope, n.key, v.row_version, n.payload \
         from ( \
             select p.*, sum(octet_length(p.payload)) over (order by p.position) as bytes \
             from ( \
                 select {scope} as scope, {key} as key, {payload} as payload, row_number() over () as position \
                 from (select r.* from {schema}.{name} r{condition} {tail}) r \
             ) p \
         ) n \
         left join {schema}._sync_row v on v.scope_id = n.scope and v.table_no = {no} and v.key = n.key \
         where n.bytes <= {FILE_BYTES} or n.position = 1 \
         order by n.position",
        scope = payload_sql::scope_expression("r"),
        key = payload_sql::key_expression("r", table.key()),
        payload = app.payload_sql(table, "r"),
        schema = app.schema,
        name = table.name().quoted(),
        condition = inspect::where_clause(&selection.conditions),
        tail = selection.tail,
        no = table.table_no(),
    )
}

/// The parts of a statement that say which rows. `$1` is the limit, `texts` are bound from `$2` on.
struct Selection<'a> {
    conditions: Vec<String>,
    tail: String,
    texts: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    fn new(table: &CatalogTable, wanted: Wanted<'a>, cursor: Option<&'a RowCursor>, backwards: bool) -> Self {
        let key = format!("r.{}", table.key().column.quoted());
        let key_type = inspect::key_cast(table);
        let (beyond, order) = if backwards { ("<", " desc") } else { (">", "") };
        let tail = format!("order by r.{SCOPE_COLUMN}{order}, {key}{order} limit $1");
        let mut selection = Self { conditions: Vec::new(), tail, texts: Vec::new() };
        if let Some(scope) = wanted.scope {
            let parameter = selection.bind(scope.as_str());
            selection.conditions.push(format!("r.{SCOPE_COLUMN} = ${parameter}"));
        }
        match (wanted.scope, cursor) {
            (_, None) => {}
            (Some(_), Some(cursor)) => {
                let name = selection.bind(&cursor.key);
                selection.conditions.push(format!("{key} {beyond} ${name}{key_type}"));
            }
            (None, Some(cursor)) => {
                let (scope, name) = (selection.bind(cursor.scope.as_str()), selection.bind(&cursor.key));
                let place = format!("(r.{SCOPE_COLUMN}, {key}) {beyond} (${scope}, ${name}{key_type})");
                selection.conditions.push(place);
            }
        }
        for filter in wanted.filters {
            let parameter = match filter.value() {
                Some(value) => selection.bind(value),
                None => 0,
            };
            selection.conditions.push(filter.sql(parameter));
        }
        selection
    }

    /// Answers the parameter's number.
    fn bind(&mut self, text: &'a str) -> usize {
        self.texts.push(text);
        self.texts.len() + 1
    }
}
