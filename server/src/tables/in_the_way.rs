//! Which row has the unique value already that another one wants.

use sqlx::AssertSqlSafe;

use super::{
    apply_sql::cast,
    catalog::{AppCatalog, CatalogTable},
    ident::{Ident, SCOPE_COLUMN},
    payload_sql,
};
use crate::{
    ids::ScopeId,
    ops::database::{AppPool, in_schema},
};

/// A row that wants unique values: its key, and their texts in the order of the columns. None: NULL, which is unique
/// whatever others have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub key: String,
    pub values: Vec<Option<String>>,
}

/// The keys of rows of the scope that have in `columns` what one of `wanted` wants, at most `limit`.
pub async fn holders(
    apps: &AppPool,
    app: &AppCatalog,
    table: &CatalogTable,
    (scope, columns, wanted): (&ScopeId, &[Ident], &[Wanted]),
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let Some(sql) = holders_sql(app, table, columns) else { return Ok(Vec::new()) };
    let keys: Vec<&str> = wanted.iter().map(|row| row.key.as_str()).collect();
    let mut tx = apps.begin(&app.schema).await?;
    sqlx::raw_sql(in_schema(&app.schema, "set local statement_timeout = '2s'")).execute(&mut *tx).await?;
    let mut query =
        sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).bind(scope).bind(limit).bind(keys);
    for place in 0..columns.len() {
        let values: Vec<Option<&str>> =
            wanted.iter().map(|row| row.values.get(place).and_then(Option::as_deref)).collect();
        query = query.bind(values);
    }
    query.fetch_all(&mut *tx).await
}

/// `$1` is the scope, `$2` the limit, `$3` the keys of those who want, `$4`… their values. None for a column that the
/// table does not have.
fn holders_sql(app: &AppCatalog, table: &CatalogTable, columns: &[Ident]) -> Option<String> {
    let mut conditions = Vec::new();
    for (place, name) in columns.iter().enumerate() {
        let column = table.column(name.as_str())?;
        conditions.push(format!(
            " and r.{name} = {value}",
            name = column.name.quoted(),
            value = cast(&format!("u.v{place}"), column.ty)
        ));
    }
    let arrays: String = (0..columns.len()).map(|place| format!(", ${}::text[]", place + 4)).collect();
    let aliases: String = (0..columns.len()).map(|place| format!(", v{place}")).collect();
    let key = payload_sql::key_expression("r", table.key());
    Some(format!(
        "select distinct {key} from unnest($3::text[]{arrays}) as u (key{aliases}) \
         join {schema}.{table} as r on r.{SCOPE_COLUMN} = $1{conditions} \
         where {key} <> u.key limit $2",
        schema = app.schema,
        table = table.name().quoted(),
        conditions = conditions.concat(),
    ))
}
