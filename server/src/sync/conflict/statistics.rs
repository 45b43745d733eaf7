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
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct HotTable {
    pub table_name: String,
    pub conflicts: i64,
    /// Rows that were in conflict.
    pub rows: i64,
}

/// A row that has been in conflict more than once.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct HotRow {
    #[sqlx(rename = "scope_id")]
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

const TABLES: &str = concat!(
    "select t.table_name, count(*) as conflicts, count(distinct (c.scope_id, c.key)) as rows
    from {schema}._sync_conflict c
    join {schema}._sync_table t on t.table_no = c.table_no
    where ",
    conflict_filter!(),
    " group by t.table_name
    order by conflicts desc, t.table_name
    limit $8"
);

const ROWS: &str = concat!(
    "select c.scope_id, t.table_name, c.key, count(*) as conflicts, sum(c.attempts)::bigint as attempts,
        max(c.last_at) as last_at
    from {schema}._sync_conflict c
    join {schema}._sync_table t on t.table_no = c.table_no
    where ",
    conflict_filter!(),
    " group by c.scope_id, t.table_name, c.key
    having count(*) > 1 or sum(c.attempts) > 1
    order by conflicts desc, attempts desc, last_at desc
    limit $8"
);

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
        let tables = values.bind(sqlx::query_as(in_schema(&app.schema, TABLES))).bind(HOTTEST);
        let tables = self.apps.all(&app.schema, tables).await?;
        let rows = values.bind(sqlx::query_as(in_schema(&app.schema, ROWS))).bind(HOTTEST);
        let rows = self.apps.all(&app.schema, rows).await?;
        Ok(ConflictStatistics { counts, tables, rows })
    }
}
