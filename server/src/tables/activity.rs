//! What is written to an app's tables, day by day.
//!
//! PostgreSQL counts the rows of each table that are inserted, updated and deleted, in no transaction's way. Every few
//! minutes [`note`] adds what these counters have grown by to the rows of the day; [`since`] reads the days, with what has
//! been written since it was noted last.

use time::{Date, Duration, OffsetDateTime};

use super::catalog::AppCatalog;
use crate::{
    ids::SchemaName,
    ops::database::{AppPool, in_schema},
};

/// How long days are kept.
const KEPT_FOR: Duration = Duration::days(400);

/// What was written to a table on a day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct TableDay {
    pub table_no: i32,
    pub day: Date,
    pub inserted: i64,
    pub updated: i64,
    pub deleted: i64,
}

/// How far the counters have come since they were noted. After a crash of the database they begin anew, and all they say
/// is new.
macro_rules! with_grown {
    ($rest:literal) => {
        concat!(
            "with stands as (
                select t.table_no, pg_stat_get_tuples_inserted(c.oid) as inserted,
                    pg_stat_get_tuples_updated(c.oid) as updated, pg_stat_get_tuples_deleted(c.oid) as deleted
                from {schema}._sync_table t
                join pg_catalog.pg_class c
                    on c.relnamespace = '{schema}'::regnamespace and c.relname = t.table_name and c.relkind = 'r'
            ),
            grown as (
                select s.table_no,
                    s.inserted - case when s.inserted >= n.inserted then n.inserted else 0 end as inserted,
                    s.updated - case when s.updated >= n.updated then n.updated else 0 end as updated,
                    s.deleted - case when s.deleted >= n.deleted then n.deleted else 0 end as deleted
                from stands s
                left join {schema}._sync_table_counter n on n.table_no = s.table_no
            )",
            $rest
        )
    };
}

/// A look at the counters excludes another one, until its transaction ends.
const ALONE: &str = "lock table {schema}._sync_table_counter in share row exclusive mode";

const NOTE: &str = with_grown!(
    ", noted as (
        insert into {schema}._sync_table_counter as n (table_no, inserted, updated, deleted)
        select s.table_no, s.inserted, s.updated, s.deleted
        from stands s
        on conflict (table_no) do update
        set inserted = excluded.inserted, updated = excluded.updated, deleted = excluded.deleted
    ),
    gone as (
        delete from {schema}._sync_table_day where day < $2
    )
    insert into {schema}._sync_table_day as d (table_no, day, inserted, updated, deleted)
    select g.table_no, $1, g.inserted, g.updated, g.deleted
    from grown g
    where g.inserted + g.updated + g.deleted > 0
    on conflict (table_no, day) do update
    set inserted = d.inserted + excluded.inserted,
        updated = d.updated + excluded.updated,
        deleted = d.deleted + excluded.deleted"
);

const SINCE: &str = with_grown!(
    "select a.table_no, a.day, sum(a.inserted)::bigint as inserted, sum(a.updated)::bigint as updated,
        sum(a.deleted)::bigint as deleted
    from (
        select d.table_no, d.day, d.inserted, d.updated, d.deleted
        from {schema}._sync_table_day d
        where d.day >= $1
        union all
        select g.table_no, $2, g.inserted, g.updated, g.deleted
        from grown g
        where g.inserted + g.updated + g.deleted > 0
    ) a
    group by a.table_no, a.day
    order by a.table_no, a.day"
);

/// Put down what was written since this was done last, as of the day that it is. What is written around midnight may count
/// for the next day.
pub async fn note(apps: &AppPool, schema: &SchemaName, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    let mut tx = apps.begin(schema).await?;
    sqlx::query(in_schema(schema, ALONE)).execute(&mut *tx).await?;
    sqlx::query(in_schema(schema, NOTE))
        .bind(now.date())
        .bind((now - KEPT_FOR).date())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// What was written to the app's tables from that day on, up to a few seconds ago; days without writes are left out.
pub async fn since(
    apps: &AppPool,
    app: &AppCatalog,
    day: Date,
    now: OffsetDateTime,
) -> Result<Vec<TableDay>, sqlx::Error> {
    let query = sqlx::query_as(in_schema(&app.schema, SINCE)).bind(day).bind(now.date());
    apps.all(&app.schema, query).await
}
