//! How much room tables take. Cheap whatever is in them: PostgreSQL looks at its files, not at the rows.

use sqlx::AssertSqlSafe;

use super::{
    catalog::{AppCatalog, CatalogTable},
    ident::quote_literal,
};
use crate::ops::database::AppPool;

/// The room that a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct TableSize {
    pub table_no: i32,
    /// Bytes of the rows, the long values that are kept apart, and the indexes.
    pub bytes: i64,
    /// Of these, of the indexes.
    pub index_bytes: i64,
}

/// The size of every table of the app, in the order of their numbers.
pub async fn table_sizes(apps: &AppPool, app: &AppCatalog) -> Result<Vec<TableSize>, sqlx::Error> {
    if app.tables().is_empty() {
        return Ok(Vec::new());
    }
    let sizes: Vec<String> = app.tables().iter().map(|table| size_sql(app, table)).collect();
    let query = sqlx::query_as(AssertSqlSafe(sizes.join("\nunion all\n"))).persistent(false);
    apps.all(&app.schema, query).await
}

fn size_sql(app: &AppCatalog, table: &CatalogTable) -> String {
    let relation = quote_literal(&format!("{}.{}", app.schema, table.name().quoted()));
    format!(
        "select {no}::integer as table_no, pg_total_relation_size({relation}::regclass) as bytes, \
         pg_indexes_size({relation}::regclass) as index_bytes",
        no = table.table_no()
    )
}
