//! Rows as they are now, by their keys, in the form that clients get.

use sqlx::AssertSqlSafe;

use crate::{
    ids::ScopeId,
    ops::database::AppTx,
    tables::{
        catalog::{AppCatalog, CatalogTable},
        ident::SCOPE_COLUMN,
        payload_sql::{self, RowSource},
        spec::KeyKind,
    },
};

/// A row that is there.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::sync) struct LiveRow {
    pub(in crate::sync) key: String,
    /// The JSON object; None if it is longer than was asked for.
    pub(in crate::sync) payload: Option<String>,
    pub(in crate::sync) payload_bytes: i64,
}

/// The rows of these keys that are there, in any order, with payloads of up to `max_bytes`.
pub(in crate::sync) async fn by_keys(
    tx: &mut AppTx,
    app: &AppCatalog,
    table: &CatalogTable,
    scope: &ScopeId,
    (keys, max_bytes): (Vec<&str>, i64),
) -> Result<Vec<LiveRow>, sqlx::Error> {
    sqlx::query_as(AssertSqlSafe(rows_sql(app, table)))
        .bind(scope)
        .bind(keys)
        .bind(max_bytes)
        .fetch_all(&mut **tx)
        .await
}

/// `$1` is the scope, `$2` the keys, `$3` the most bytes of a payload.
fn rows_sql(app: &AppCatalog, table: &CatalogTable) -> String {
    let row = RowSource { schema: &app.schema, alias: "r", profile: app.profile };
    let key_type = match table.key().kind {
        KeyKind::Uuid => "uuid",
        KeyKind::Text => "text",
    };
    format!(
        "select q.key, case when octet_length(q.payload) <= $3 then q.payload end as payload, \
             octet_length(q.payload)::bigint as payload_bytes\n\
         from (\n\
             select {key}, {payload}\n\
             from {schema}.{table} as r\n\
             where r.{SCOPE_COLUMN} = $1 and r.{key_column} = any ($2::text[]::{key_type}[])\n\
         ) q (key, payload)",
        key = payload_sql::key_expression("r", table.key()),
        payload = payload_sql::payload_expression(row, table.columns()),
        schema = app.schema,
        table = table.name().quoted(),
        key_column = table.key().column.quoted(),
    )
}
