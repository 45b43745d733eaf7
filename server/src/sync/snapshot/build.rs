//! Building a snapshot: pages of rows as they are sent, written by PostgreSQL to itself.
//!
//! One REPEATABLE READ transaction, whose first statement reads the scope: everything after it sees the scope at exactly
//! that bundle. Rows never come here. Tables go by their names and rows by their keys, both compared byte by byte, and
//! pages are found by key, so that building needs no sorting and no memory that grows with the scope.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;
use time::Duration;
use uuid::Uuid;

use super::{
    page_sql::{self, PAGE_BYTES, PageShape},
    session::SnapshotError,
};
use crate::{
    ids::BundleSeq,
    ops::{
        config::LimitsConfig,
        database::{AppTx, in_schema},
    },
    sync::{
        Engine, SyncCaller,
        gate::{self, ScopeNotReady, state_at},
    },
    tables::catalog::CatalogTable,
};

/// How long a snapshot that nobody has a session on yet is kept.
const KEPT_WITHOUT_SESSION: Duration = Duration::minutes(1);

/// Rows of a table's first page, before anything is known of their size; and of any page.
const FIRST_PAGE_ROWS: i64 = 256;
const MAX_PAGE_ROWS: i64 = 2_048;

/// What counts towards the limits.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    rows: i64,
    bytes: i64,
}

/// Rows that one scope has in one table.
#[derive(Debug, Clone, Copy)]
struct TableSize {
    rows: i64,
    /// Whether some row of the table, of whatever scope, is so big that PostgreSQL keeps it apart.
    has_big_rows: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct WrittenPage {
    row_count: i64,
    last_key: Option<String>,
    byte_count: i64,
    max_row_bytes: i64,
}

const SCOPE: &str = concat!(
    "select ",
    state_at!("$2"),
    " as state, s.bundle_seq from {schema}._sync_scope s where s.scope_id = $1"
);

/// Every page is found along an index; plans that read a whole table to sort it are out of the question, whatever the
/// statistics say. And nothing here needs to survive a crash.
const SETTINGS: &str = "set local enable_seqscan = off; set local enable_bitmapscan = off;
    set local enable_hashjoin = off; set local enable_sort = off; set local synchronous_commit = off";

const SIZES: &str = "select n.table_no, n.live_rows,
        coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)) > 0, false) as has_big_rows
    from (
        select r.table_no, count(*) as live_rows
        from {schema}._sync_row r
        where r.scope_id = $1 and not r.deleted
        group by r.table_no
    ) n
    join {schema}._sync_table t on t.table_no = n.table_no
    left join pg_class c on c.oid = to_regclass(format('{schema}.%I', t.table_name))";

const FINISH: &str = "insert into {schema}._sync_snapshot (
        scope_id, build_id, bundle_seq, schema_version, row_count, byte_count, created_at, expires_at, is_ending
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, false)";

impl Engine {
    /// Build the snapshot of the scope's latest bundle. That another node has built it meanwhile is fine too.
    pub(super) async fn build_snapshot(&self, caller: &SyncCaller) -> Result<(), SnapshotError> {
        let schema = &caller.app.schema;
        let now = self.clock.now();
        let mut tx = self.apps.begin_snapshot(schema).await?;
        let (state, bundle_seq): (String, BundleSeq) = sqlx::query_as(in_schema(schema, SCOPE))
            .bind(&caller.scope)
            .bind(now)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(ScopeNotReady::Uninitialized)?;
        gate::check(Some(&state))?;
        sqlx::raw_sql(SETTINGS).execute(&mut *tx).await?;

        let build_id = Uuid::new_v4();
        let totals = self.write_pages(&mut tx, caller, build_id).await?;
        let finished = sqlx::query(in_schema(schema, FINISH))
            .bind(&caller.scope)
            .bind(build_id)
            .bind(bundle_seq)
            .bind(caller.app.schema_version)
            .bind(totals.rows)
            .bind(totals.bytes)
            .bind(now)
            .bind(now + KEPT_WITHOUT_SESSION)
            .execute(&mut *tx)
            .await;
        match finished {
            Ok(_) => tx.commit().await?,
            // Of `snapshot_in_use`: there is one already. Ours goes with the transaction.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => tx.rollback().await?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn write_pages(
        &self,
        tx: &mut AppTx,
        caller: &SyncCaller,
        build_id: Uuid,
    ) -> Result<Totals, SnapshotError> {
        let sizes: Vec<(i32, i64, bool)> = sqlx::query_as(in_schema(&caller.app.schema, SIZES))
            .bind(&caller.scope)
            .fetch_all(&mut **tx)
            .await?;
        let sizes: HashMap<i32, TableSize> = sizes
            .into_iter()
            .map(|(table_no, rows, has_big_rows)| (table_no, TableSize { rows, has_big_rows }))
            .collect();
        let mut tables: Vec<&CatalogTable> =
            caller.app.tables().iter().filter(|table| sizes.contains_key(&table.table_no())).collect();
        tables.sort_by(|a, b| a.name().as_str().as_bytes().cmp(b.name().as_str().as_bytes()));
        let rows: i64 = tables.iter().map(|table| sizes[&table.table_no()].rows).sum();
        SnapshotError::check_limit("row_count", rows, self.limits.max_rows_per_snapshot_session)?;

        let mut totals = Totals::default();
        for table in tables {
            let size = sizes[&table.table_no()];
            let before = totals.rows;
            write_table(tx, caller, build_id, table, size, &self.limits, &mut totals).await?;
            // Rows without a version, or versions without a row: better no snapshot than a wrong one.
            if totals.rows - before != size.rows {
                return Err(SnapshotError::Inconsistent { table: table.name().to_string() });
            }
        }
        Ok(totals)
    }
}

/// Write the pages of one table.
async fn write_table(
    tx: &mut AppTx,
    caller: &SyncCaller,
    build_id: Uuid,
    table: &CatalogTable,
    size: TableSize,
    limits: &LimitsConfig,
    totals: &mut Totals,
) -> Result<(), SnapshotError> {
    let mut shape = PageShape { rows: FIRST_PAGE_ROWS, goes_on: false, by_bytes: size.has_big_rows };
    let mut last_key: Option<String> = None;
    let mut written = 0;
    while written < size.rows {
        let sql = AssertSqlSafe(page_sql::page(&caller.app, table, shape));
        let mut query = sqlx::query_as(sql).bind(&caller.scope).bind(build_id).bind(totals.rows);
        if shape.goes_on {
            query = query.bind(last_key);
        }
        let page: WrittenPage = query.fetch_one(&mut **tx).await?;
        if page.row_count == 0 {
            break;
        }
        SnapshotError::check_limit("row_byte_count", page.max_row_bytes, limits.max_bytes_per_snapshot_row)?;
        written += page.row_count;
        totals.rows += page.row_count;
        totals.bytes += page.byte_count;
        SnapshotError::check_limit("byte_count", totals.bytes, limits.max_bytes_per_snapshot_session)?;
        last_key = page.last_key;
        shape.goes_on = true;
        shape.rows = next_page_rows(shape.rows, page.row_count, page.byte_count);
    }
    Ok(())
}

/// How many rows fill the next page, if they are as big as those of the last. A power of two, so that there are few
/// statements to prepare; at most twice the last number, because rows differ.
fn next_page_rows(last: i64, row_count: i64, byte_count: i64) -> i64 {
    let fitting = (PAGE_BYTES * row_count / byte_count.max(1)).clamp(1, MAX_PAGE_ROWS);
    let power = 1 << (63 - fitting.leading_zeros());
    power.min(last * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_and_shrink_with_the_size_of_rows() {
        assert_eq!(next_page_rows(256, 256, 256 * 250), 512);
        assert_eq!(next_page_rows(512, 512, 512 * 250), 1_024);
        assert_eq!(next_page_rows(1_024, 1_024, 1_024 * 250), 1_024);
        assert_eq!(next_page_rows(1_024, 1_024, 1_024 * 100_000), 2);
        assert_eq!(next_page_rows(2, 2, 8_000_000), 1);
        assert_eq!(next_page_rows(2_048, 2_048, 2_048), 2_048);
    }
}
