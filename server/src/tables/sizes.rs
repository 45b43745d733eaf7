//! How much there is of an app: the room that its tables take, and what one scope has in them and in its history. For
//! people: what is counted is bounded, so about right where there is much.

use sqlx::AssertSqlSafe;

use super::{
    catalog::{AppCatalog, CatalogTable},
    ident::{SCOPE_COLUMN, quote_literal},
};
use crate::{
    ids::ScopeId,
    ops::database::{AppPool, in_schema},
};

/// Rows of one table are counted up to this number.
const COUNTED_ROWS: i64 = 10_000;
/// Rows of one table, and bundles, that are measured; the others are taken to be like them.
const MEASURED: i64 = 200;

/// The room that a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct TableRoom {
    pub table_no: i32,
    /// Bytes of the rows, the long values that are kept apart, and the indexes.
    pub bytes: i64,
    /// Of these, of the indexes.
    pub index_bytes: i64,
}

/// What a scope has in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct TableSize {
    pub table_no: i32,
    /// At most 10 000 are counted.
    pub rows: i64,
    /// Whether `rows` are all.
    pub exact: bool,
    /// As PostgreSQL stores the counted rows, about.
    pub bytes: i64,
}

/// What a scope's retained history takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct HistorySize {
    pub bundles: i64,
    /// About, if there are more than 200.
    pub bytes: i64,
    /// All conflicts that are on record.
    pub conflicts: i64,
}

const HISTORY: &str = "select s.bundles,
        coalesce(m.bytes * s.bundles / nullif(m.bundles, 0), 0)::bigint as bytes,
        (select count(*) from {schema}._sync_conflict c where c.scope_id = $1) as conflicts
    from (
        select s.bundle_seq - s.floor_seq as bundles
        from {schema}._sync_scope s
        where s.scope_id = $1
    ) s
    cross join (
        select sum(b.byte_count) as bytes, count(*) as bundles
        from (
            select b.byte_count
            from {schema}._sync_bundle b
            where b.scope_id = $1
            order by b.bundle_seq desc
            limit $2
        ) b
    ) m";

/// The room of every table of the app, in the order of their numbers. Cheap whatever is in them: PostgreSQL looks at its
/// files, not at the rows.
pub async fn rooms(apps: &AppPool, app: &AppCatalog) -> Result<Vec<TableRoom>, sqlx::Error> {
    if app.tables().is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<String> = app.tables().iter().map(|table| room_sql(app, table)).collect();
    let query = sqlx::query_as(AssertSqlSafe(parts.join("\nunion all\n"))).persistent(false);
    apps.all(&app.schema, query).await
}

/// What the scope has in every table of the app, in the order of their numbers, in one statement.
pub async fn tables(
    apps: &AppPool,
    app: &AppCatalog,
    scope: &ScopeId,
) -> Result<Vec<TableSize>, sqlx::Error> {
    if app.tables().is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<String> = app.tables().iter().map(|table| table_sql(app, table)).collect();
    let query = sqlx::query_as(AssertSqlSafe(parts.join("\nunion all\n")))
        .persistent(false)
        .bind(scope)
        .bind(COUNTED_ROWS)
        .bind(MEASURED);
    apps.all(&app.schema, query).await
}

/// None: there is no such scope.
pub async fn history(
    apps: &AppPool,
    app: &AppCatalog,
    scope: &ScopeId,
) -> Result<Option<HistorySize>, sqlx::Error> {
    let query = sqlx::query_as(in_schema(&app.schema, HISTORY)).bind(scope).bind(MEASURED);
    apps.optional(&app.schema, query).await
}

fn room_sql(app: &AppCatalog, table: &CatalogTable) -> String {
    let relation = quote_literal(&format!("{}.{}", app.schema, table.name().quoted()));
    format!(
        "select {no}::integer as table_no, pg_total_relation_size({relation}::regclass) as bytes, \
         pg_indexes_size({relation}::regclass) as index_bytes",
        no = table.table_no()
    )
}

fn table_sql(app: &AppCatalog, table: &CatalogTable) -> String {
    let of_scope = format!("{}.{} r where r.{SCOPE_COLUMN} = $1", app.schema, table.name().quoted());
    format!(
        "select {no}::integer as table_no, least(n.rows, $2) as rows, n.rows <= $2 as exact, \
             (least(n.rows, $2) * m.bytes)::bigint as bytes \
         from (select count(*) as rows from (select from {of_scope} limit $2 + 1) r) n, \
             (select coalesce(avg(pg_column_size(r.*)), 0) as bytes from (select r.* from {of_scope} limit $3) r) m",
        no = table.table_no()
    )
}
