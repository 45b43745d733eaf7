//! How often PostgreSQL read a table from end to end, and how often by an index.
//!
//! It counts that a table, also inside functions, triggers and foreign keys. A backend tells what it counted when it ends at
//! the latest, so what is under test has its own connections, which are closed before the counters are read.

use std::{collections::BTreeMap, time::Duration};

use sqlx::PgPool;

/// Connections to the database.
pub(crate) async fn backends(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from pg_stat_activity where datname = current_database()")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Until the backends of closed pools have ended, which takes moments; other pools may have opened more meanwhile.
pub(crate) async fn wait_for_backends(pool: &PgPool, count: i64) {
    for _ in 0..80 {
        if backends(pool).await <= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Scans from end to end and by index of every table of a schema.
pub(crate) async fn scans(pool: &PgPool, schema: &str) -> BTreeMap<String, (i64, i64)> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select relname::text, seq_scan, coalesce(idx_scan, 0) from pg_stat_user_tables where schemaname = $1",
    )
    .bind(schema)
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().map(|(table, sequential, by_index)| (table, (sequential, by_index))).collect()
}

/// None of the tables was read from end to end between the two, and all were read.
pub(crate) fn assert_read_by_index(
    tables: &[&str],
    before: &BTreeMap<String, (i64, i64)>,
    after: &BTreeMap<String, (i64, i64)>,
) {
    for table in tables {
        assert!(after[*table].1 > before[*table].1, "{table} was not looked at: {after:?}");
        assert_eq!(after[*table].0, before[*table].0, "{table} was read from end to end");
    }
}
