//! The SQL that fills a snapshot's pages: one statement a page, made for a table and a number of rows.
//!
//! Names enter as `Ident`s, values are bound: `$1` the scope, `$2` the build, `$3` the ordinal of the page's first row,
//! `$4`, where the page is not the table's first, the key of the last row before it.

use crate::tables::{
    catalog::{AppCatalog, CatalogTable},
    ident::{SCOPE_COLUMN, quote_literal},
    payload_sql::{self, RowSource},
    spec::KeyKind,
};

/// About how many bytes of rows a page holds.
pub(super) const PAGE_BYTES: i64 = crate::sync::capabilities::SNAPSHOT_BATCH_BYTES;

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageShape {
    /// At most so many rows.
    pub(super) rows: i64,
    /// Whether it goes on after a row.
    pub(super) goes_on: bool,
    /// Whether rows may be so big that the page must be cut by bytes too. Costs a quarter of the time.
    pub(super) by_bytes: bool,
}

/// Write a page; answers `row_count, last_key, byte_count, max_row_bytes`.
pub(super) fn page(app: &AppCatalog, table: &CatalogTable, shape: PageShape) -> String {
    let lines = lines(app, table, shape);
    let lines = if shape.by_bytes { cut_by_bytes(&lines) } else { lines };
    format!(
        "with piece as materialized (
    select string_agg(l.line, E',\\n') as rows, count(*) as row_count, max(l.key collate \"C\") as last_key,
        coalesce(sum(octet_length(l.line)), 0) as byte_count,
        coalesce(max(octet_length(l.line)), 0) as max_row_bytes
    from (
{lines}
    ) l
),
stored as (
    insert into {schema}._sync_snapshot_page (scope_id, build_id, first_ordinal, row_count, byte_count, rows)
    select $1, $2, $3, p.row_count, p.byte_count, p.rows
    from piece p
    where p.row_count > 0
)
select p.row_count, p.last_key, p.byte_count::bigint, p.max_row_bytes::bigint from piece p",
        schema = app.schema,
    )
}

/// The next rows of the table as they are sent, in the order of their keys.
fn lines(app: &AppCatalog, table: &CatalogTable, shape: PageShape) -> String {
    let key = payload_sql::key_expression("r", table.key());
    let (key_type, key_json) = match table.key().kind {
        // A UUID's text needs no escapes.
        KeyKind::Uuid => ("uuid", format!("'\"' || {key} || '\"'")),
        KeyKind::Text => ("text", format!("to_json({key})::text")),
    };
    let key_column = table.key().column.quoted();
    let goes_on = if shape.goes_on {
        // Said of both tables, because PostgreSQL does not conclude the one from the other. UUIDs sort as their texts do.
        format!(" and r.{key_column} > $4::text::{key_type} and v.key > $4")
    } else {
        String::new()
    };
    let head = payload_sql::row_head(&app.logical_schema, table.name(), &table.key().column);
    format!(
        "select {key} as key,
    {head} || {key_json} || '}},\"row_version\":' || v.row_version || ',\"payload\":' || {payload} || '}}' as line
from {schema}.{table} as r
join {schema}._sync_row as v on v.scope_id = $1 and v.table_no = {table_no} and v.key = {key}
where r.{SCOPE_COLUMN} = $1{goes_on}
order by r.{key_column}
limit {rows}",
        head = quote_literal(&head),
        payload = payload_sql::payload_expression(
            RowSource { schema: &app.schema, alias: "r", profile: app.profile },
            table.columns()
        ),
        schema = app.schema,
        table = table.name().quoted(),
        table_no = table.table_no(),
        rows = shape.rows,
    )
}

/// Of `lines`, those that begin within the first [`PAGE_BYTES`].
fn cut_by_bytes(lines: &str) -> String {
    format!(
        "select w.key, w.line
from (
    select l.key, l.line,
        sum(octet_length(l.line)) over (order by l.key collate \"C\" rows unbounded preceding)
            - octet_length(l.line) as before
    from (
{lines}
    ) l
) w
where w.before < {PAGE_BYTES}
order by w.key collate \"C\""
    )
}
