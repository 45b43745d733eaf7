//! What holds for every table of the control plane, whatever is added.

use crate::support::database;

/// Tables of the control plane with a column `column` that is no cascading foreign key to `parent`.
async fn without_cascading_key(column: &str, parent: &str) -> Vec<String> {
    let database = database::fresh().await;
    let pool = database.pool().await;
    sqlx::query_scalar(
        "select c.relname::text
         from pg_attribute a
         join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
         join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'platform'
         where a.attname = $1 and c.relname <> $2 and not exists (
             select from pg_constraint f
             where f.conrelid = c.oid and f.contype = 'f' and f.confdeltype = 'c'
                 and f.confrelid = ('platform.' || $2)::regclass and f.conkey = array[a.attnum]
         )",
    )
    .bind(column)
    .bind(parent)
    .fetch_all(&pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_app_id_column_has_a_cascading_foreign_key() {
    assert_eq!(without_cascading_key("app_id", "app").await, Vec::<String>::new());
}

#[tokio::test]
async fn every_tenant_id_column_has_a_cascading_foreign_key() {
    assert_eq!(without_cascading_key("tenant_id", "tenant").await, Vec::<String>::new());
}

/// Deleting a parent looks for its children: without an index that is a scan of the whole table.
#[tokio::test]
async fn every_foreign_key_is_served_by_an_index() {
    let database = database::fresh().await;
    let pool = database.pool().await;
    let without: Vec<String> = sqlx::query_scalar(
        "select f.conrelid::regclass::text || ' ' || f.conname
         from pg_constraint f
         join pg_namespace n on n.oid = f.connamespace and n.nspname = 'platform'
         where f.contype = 'f' and not exists (
             select from pg_index i where i.indrelid = f.conrelid and i.indkey[0] = f.conkey[1]
         )
         order by 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(without, Vec::<String>::new());
}
