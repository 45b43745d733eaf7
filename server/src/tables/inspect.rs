//! Looking at an app's rows: how many there are, and which. For people, so every answer is bounded.

use sqlx::AssertSqlSafe;

use super::{
    catalog::{AppCatalog, CatalogTable},
    ident::SCOPE_COLUMN,
    payload_sql,
    spec::KeyKind,
};
use crate::{
    ids::ScopeId,
    ops::database::{AppPool, AppTx},
};

/// How many live rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct RowCount {
    pub table_no: i32,
    pub rows: i64,
    /// False: too many to count for a page; `rows` is what PostgreSQL estimates, or at least [`COUNTED_ROWS`].
    pub exact: bool,
}

/// Rows of one table are counted up to this number.
pub const COUNTED_ROWS: i64 = 10_000;

/// A row is shown with its payload up to this many bytes.
pub const SHOWN_PAYLOAD_BYTES: i64 = 64 * 1024;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct BrowsedRow {
    pub scope: ScopeId,
    /// The sync key as text.
    pub key: String,
    /// The bundle that last touched the row. None: written by a transaction that has not been sealed, which cannot be
    /// seen from outside, or before the engine's triggers were there.
    pub row_version: Option<i64>,
    /// The JSON object that clients get; None when it is longer than [`SHOWN_PAYLOAD_BYTES`].
    pub payload: Option<String>,
    /// Bytes of the whole payload.
    pub payload_bytes: i32,
}

/// Where a page of rows begins: after this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCursor {
    pub scope: ScopeId,
    pub key: String,
}

/// The number of rows of every table, in all scopes or in one, in the order of the tables' numbers.
pub async fn row_counts(
    apps: &AppPool,
    app: &AppCatalog,
    scope: Option<&ScopeId>,
) -> Result<Vec<RowCount>, sqlx::Error> {
    if app.tables().is_empty() {
        return Ok(Vec::new());
    }
    let counts: Vec<String> =
        app.tables().iter().map(|table| count_sql(app, table, scope.is_some())).collect();
    let mut tx = apps.begin(&app.schema).await?;
    let query =
        sqlx::query_as(AssertSqlSafe(counts.join("\nunion all\n"))).persistent(false).bind(COUNTED_ROWS);
    let query = match scope {
        Some(scope) => query.bind(scope),
        None => query,
    };
    query.fetch_all(&mut *tx).await
}

/// `$1` is the bound, `$2` the scope if there is one.
fn count_sql(app: &AppCatalog, table: &CatalogTable, of_scope: bool) -> String {
    let name = format!("{}.{}", app.schema, table.name().quoted());
    // In the order of an index, which is all that has to be read.
    let order = format!("order by r.{SCOPE_COLUMN}, r.{}", table.key().column.quoted());
    let (filter, estimate) = if of_scope {
        (format!(" where r.{SCOPE_COLUMN} = $2"), "$1".to_owned())
    } else {
        let relation = super::ident::quote_literal(&name);
        (
            String::new(),
            format!(
                "(select greatest(c.reltuples::bigint, $1) from pg_class c where c.oid = {relation}::regclass)"
            ),
        )
    };
    format!(
        "select {no}::integer as table_no, case when n.rows > $1 then {estimate} else n.rows end as rows, \
         n.rows <= $1 as exact from (select count(*) as rows from (select from {name} r{filter} {order} limit $1 + 1) l) n",
        no = table.table_no()
    )
}

/// The rows of a scope with these keys, in no order.
pub async fn rows_of_keys(
    tx: &mut AppTx,
    app: &AppCatalog,
    table: &CatalogTable,
    scope: &ScopeId,
    keys: &[&str],
) -> Result<Vec<BrowsedRow>, sqlx::Error> {
    let keys: Vec<&str> = keys.iter().copied().filter(|key| is_key(table, key)).collect();
    let array = match table.key().kind {
        KeyKind::Uuid => "$2::text[]::uuid[]",
        KeyKind::Text => "$2::text[]",
    };
    let column = table.key().column.quoted();
    let condition = format!("r.{SCOPE_COLUMN} = $1 and r.{column} = any ({array})");
    sqlx::query_as(AssertSqlSafe(rows_sql(app, table, &[condition], "")))
        .persistent(false)
        .bind(scope)
        .bind(keys)
        .fetch_all(&mut **tx)
        .await
}

/// One row; None if there is none, or the key is none of this table's.
pub async fn row(
    tx: &mut AppTx,
    app: &AppCatalog,
    table: &CatalogTable,
    scope: &ScopeId,
    key: &str,
) -> Result<Option<BrowsedRow>, sqlx::Error> {
    if !is_key(table, key) {
        return Ok(None);
    }
    let column = table.key().column.quoted();
    let condition = format!("r.{SCOPE_COLUMN} = $1 and r.{column} = $2{}", key_cast(table));
    sqlx::query_as(AssertSqlSafe(rows_sql(app, table, &[condition], "")))
        .persistent(false)
        .bind(scope)
        .bind(key)
        .fetch_optional(&mut **tx)
        .await
}

pub(super) fn rows_sql(app: &AppCatalog, table: &CatalogTable, conditions: &[String], tail: &str) -> String {
    let condition = where_clause(conditions);
    let name = table.name().quoted();
    rows_of_sql(app, table, &format!("select r.* from {}.{name} r{condition} {tail}", app.schema), &[])
}

/// The rows of the table that `rows` selects, as [`BrowsedRow`] has them; `more` are columns that `rows` has beside the
/// table's.
pub(super) fn rows_of_sql(app: &AppCatalog, table: &CatalogTable, rows: &str, more: &[&str]) -> String {
    let more_of = |alias: &str| more.iter().map(|column| format!(", {alias}.{column}")).collect::<String>();
    format!(
        "select n.scope, n.key, v.row_version, \
             case when octet_length(n.payload) <= {SHOWN_PAYLOAD_BYTES} then n.payload end as payload, \
             octet_length(n.payload) as payload_bytes{found} \
         from ( \
             select {scope} as scope, {key} as key, {payload} as payload, row_number() over () as position{selected} \
             from ({rows}) r \
         ) n \
         left join {schema}._sync_row v on v.scope_id = n.scope and v.table_no = {no} and v.key = n.key \
         order by n.position",
        scope = payload_sql::scope_expression("r"),
        key = payload_sql::key_expression("r", table.key()),
        payload = app.payload_sql(table, "r"),
        schema = app.schema,
        no = table.table_no(),
        found = more_of("n"),
        selected = more_of("r"),
    )
}

pub(super) fn where_clause(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        conditions => format!(" where {}", conditions.join(" and ")),
    }
}

pub(super) fn key_cast(table: &CatalogTable) -> &'static str {
    match table.key().kind {
        KeyKind::Uuid => "::uuid",
        KeyKind::Text => "",
    }
}

pub(super) fn is_key(table: &CatalogTable, key: &str) -> bool {
    match table.key().kind {
        KeyKind::Uuid => uuid::Uuid::try_parse(key).is_ok(),
        KeyKind::Text => !key.contains('\0'),
    }
}
