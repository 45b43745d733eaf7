//! Conflicts in numbers: over time, and where they happen again and again. The ledger is bounded, so all of it may be
//! counted for a page.

use sqlx::FromRow;
use time::{Duration, OffsetDateTime};

use super::ledger::{ConflictFilter, conflict_filter};
use crate::{
    ops::database::in_schema,
    sync::{Engine, conflict::ledger::FilterValues},
    tables::catalog::AppCatalog,
};

/// Conflicts of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct ConflictCount {
    /// When the stretch begins.
    pub at: OffsetDateTime,
    pub conflicts: i64,
    /// Of these the ones that are still open.
    pub open: i64,
}

/// A table where conflicts happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotTable {
    pub table_name: String,
    pub conflicts: i64,
    /// Rows that were in conflict.
    pub rows: i64,
}

/// A row that has been in conflict more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotRow {
    pub scope: String,
    pub table_name: String,
    pub key: String,
    pub conflicts: i64,
    /// Times that devices ran into them.
    pub attempts: i64,
    pub last_at: OffsetDateTime,
}

/// Where conflicts happen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ConflictStatistics {
    /// Oldest first; stretches without a conflict are missing.
    pub counts: Vec<ConflictCount>,
    pub tables: Vec<HotTable>,
    pub rows: Vec<HotRow>,
}

/// Entries of each of the two lists.
const HOTTEST: i64 = 6;

const COUNTS: &str = concat!(
    "select date_bin($8, c.first_at, $9) as at, count(*) as conflicts,
        count(*) filter (where c.outcome is null) as open
    from {schema}._sync_conflict c
    where ",
    conflict_filter!(),
    " and c.first_at >= $9
    group by 1
    order by 1"
);

/// Rows first, then tables, which have no scope. The conflicts are read once, and added up a row before they are a table.
const HOT: &str = concat!(
    "with per_row as materialized (
        select c.table_no, c.scope_id, c.key, count(*) as conflicts, sum(c.attempts)::bigint as attempts,
            max(c.last_at) as last_at
        from {schema}._sync_conflict c
        where ",
    conflict_filter!(),
    " group by c.table_no, c.scope_id, c.key
    ),
    hot_row as (
        select p.*
        from per_row p
        where p.conflicts > 1 or p.attempts > 1
        order by p.conflicts desc, p.attempts desc, p.last_at desc
        limit $8
    ),
    hot_table as (
        select p.table_no, sum(p.conflicts)::bigint as conflicts, count(*) as rows
        from per_row p
        group by p.table_no
    )
    select r.scope_id, t.table_name, r.key, r.conflicts, r.attempts, r.last_at, null::bigint as rows
    from hot_row r
    join {schema}._sync_table t on t.table_no = r.table_no
    union all
    (
        select null, t.table_name, null, h.conflicts, null, null, h.rows
        from hot_table h
        join {schema}._sync_table t on t.table_no = h.table_no
        order by h.conflicts desc, t.table_name
        limit $8
    )"
);

/// A row or a table of [`HOT`].
#[derive(Debug, FromRow)]
struct Hot {
    scope_id: Option<String>,
    table_name: String,
    key: Option<String>,
    conflicts: i64,
    attempts: Option<i64>,
    last_at: Option<OffsetDateTime>,
    rows: Option<i64>,
}

impl Engine {
    /// The conflicts that the filter lets through in numbers, counted in stretches of `step` from `since` on.
    pub async fn conflict_statistics(
        &self,
        app: &AppCatalog,
        filter: &ConflictFilter,
        since: OffsetDateTime,
        step: Duration,
    ) -> Result<ConflictStatistics, sqlx::Error> {
        let values = FilterValues::of(filter);
        let counts = values.bind(sqlx::query_as(in_schema(&app.schema, COUNTS))).bind(step).bind(since);
        let counts = self.apps.all(&app.schema, counts).await?;
        let hot = values.bind(sqlx::query_as(in_schema(&app.schema, HOT))).bind(HOTTEST);
        let hot: Vec<Hot> = self.apps.all(&app.schema, hot).await?;
        let mut found = ConflictStatistics { counts, ..ConflictStatistics::default() };
        for hot in hot {
            match (hot.scope_id, hot.key, hot.last_at) {
                (Some(scope), Some(key), Some(last_at)) => found.rows.push(HotRow {
                    scope,
                    table_name: hot.table_name,
                    key,
                    conflicts: hot.conflicts,
                    attempts: hot.attempts.unwrap_or(hot.conflicts),
                    last_at,
                }),
                _ => found.tables.push(HotTable {
                    table_name: hot.table_name,
                    conflicts: hot.conflicts,
                    rows: hot.rows.unwrap_or(0),
                }),
            }
        }
        Ok(found)
    }
}
