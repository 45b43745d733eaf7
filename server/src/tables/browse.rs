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
/// How long is waited for an index to find the rows of a search, before they are looked for one after the other.
const QUICK: Duration = Duration::from_millis(30);
/// Rows that a search looks at for one page. It then says where to go on.
pub const LOOKED_AT: i64 = 10_000;
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
    /// The search has looked at [`LOOKED_AT`] rows, the last of them this one: there may be more further on, in the
    /// direction of the search.
    pub looked_until: Option<RowCursor>,
}

/// A row that a search has looked at.
#[derive(Debug, sqlx::FromRow)]
struct LookedAt {
    #[sqlx(flatten)]
    row: BrowsedRow,
    #[sqlx(rename = "_sync_place")]
    place: i64,
    #[sqlx(rename = "_sync_found")]
    is_found: bool,
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
///
/// What a search costs is bounded: indexes lead with the scope, so one may find what is looked for in a scope; whatever
/// is not found so is looked for in order of scope and key, among so many rows.
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
    let is_search = !wanted.filters.is_empty();
    let quick = if is_search { QUICK.min(patience) } else { patience };
    let mut found = None;
    if !is_search || wanted.scope.is_some() {
        let sql = inspect::rows_sql(app, table, &selection.all_conditions(), &selection.tail);
        found = match selection.read(apps, app, sql, (limit, quick)).await {
            Err(BrowseError::TooSlow) if is_search => None,
            outcome => Some((outcome?, None)),
        };
    }
    let (mut rows, looked_until) = match found {
        Some(found) => found,
        None => search(apps, app, table, &selection, (limit, patience)).await?,
    };
    let more = rows.len() as i64 > limit || looked_until.is_some();
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if backwards {
        rows.reverse();
    }
    Ok(RowPage {
        rows,
        has_previous: if backwards { more } else { cursor.is_some() },
        has_next: backwards || more,
        looked_until,
    })
}

/// One row more than `limit`, if there are so many among those that are looked at; otherwise the last that was looked at,
/// if there are more.
async fn search(
    apps: &AppPool,
    app: &AppCatalog,
    table: &CatalogTable,
    selection: &Selection<'_>,
    (limit, patience): (i64, Duration),
) -> Result<(Vec<BrowsedRow>, Option<RowCursor>), BrowseError> {
    let rows = format!(
        "select r.* \
         from ( \
             select r.*, ({filters}) is true as _sync_found \
             from ( \
                 select r.*, row_number() over () as _sync_place \
                 from (select r.* from {schema}.{name} r{condition} {order} limit {LOOKED_AT}) r \
             ) r \
         ) r \
         where r._sync_found or r._sync_place = {LOOKED_AT} \
         limit $1",
        filters = selection.filters.join(" and "),
        schema = app.schema,
        name = table.name().quoted(),
        condition = inspect::where_clause(&selection.conditions),
        order = selection.order,
    );
    let sql = inspect::rows_of_sql(app, table, &rows, &["_sync_place", "_sync_found"]);
    let looked_at: Vec<LookedAt> = selection.read(apps, app, sql, (limit, patience)).await?;
    let last = looked_at.last().filter(|last| last.place == LOOKED_AT);
    let until = last.map(|last| RowCursor { scope: last.row.scope.clone(), key: last.row.key.clone() });
    let rows: Vec<_> = looked_at.into_iter().filter(|row| row.is_found).map(|row| row.row).collect();
    let until = until.filter(|_| rows.len() as i64 <= limit);
    Ok((rows, until))
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
        condition = inspect::where_clause(&selection.all_conditions()),
        tail = selection.tail,
        no = table.table_no(),
    )
}

/// The parts of a statement that say which rows. `$1` is the limit, `texts` are bound from `$2` on.
struct Selection<'a> {
    /// Of scope and place.
    conditions: Vec<String>,
    filters: Vec<String>,
    order: String,
    /// The order and the limit.
    tail: String,
    texts: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    fn new(table: &CatalogTable, wanted: Wanted<'a>, cursor: Option<&'a RowCursor>, backwards: bool) -> Self {
        let key = format!("r.{}", table.key().column.quoted());
        let key_type = inspect::key_cast(table);
        let (beyond, order) = if backwards { ("<", " desc") } else { (">", "") };
        let order = format!("order by r.{SCOPE_COLUMN}{order}, {key}{order}");
        let tail = format!("{order} limit $1");
        let (conditions, filters) = (Vec::new(), Vec::new());
        let mut selection = Self { conditions, filters, order, tail, texts: Vec::new() };
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
            selection.filters.push(filter.sql(parameter));
        }
        selection
    }

    fn all_conditions(&self) -> Vec<String> {
        self.conditions.iter().chain(&self.filters).cloned().collect()
    }

    /// The rows of a statement that has these parts in it: at most one more than the limit, within the time.
    async fn read<R>(
        &self,
        apps: &AppPool,
        app: &AppCatalog,
        sql: String,
        (limit, patience): (i64, Duration),
    ) -> Result<Vec<R>, BrowseError>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).bind(limit + 1);
        for text in &self.texts {
            query = query.bind(*text);
        }
        let mut tx = apps.begin_reading(&app.schema, patience).await?;
        let rows = query.fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Answers the parameter's number.
    fn bind(&mut self, text: &'a str) -> usize {
        self.texts.push(text);
        self.texts.len() + 1
    }
}
