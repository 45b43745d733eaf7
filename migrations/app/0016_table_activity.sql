-- What is written to each table, day by day (tables::activity): how far PostgreSQL's own counters of the table have come
-- since they were looked at last, every few minutes in apps where something happens. A push pays nothing for it, and rows
-- that cascades and plain SQL write are in it. Rows of transactions that came to nothing are, too: PostgreSQL counts them.

-- Where a table's counters stood then. Whoever looks holds the table locked against others who do.
create table {schema}._sync_table_counter (
    table_no integer primary key,
    inserted bigint not null,
    updated bigint not null,
    deleted bigint not null
)
-- next
-- What was written on a day, in UTC. Days without writes have no row; kept for 400 days.
create table {schema}._sync_table_day (
    table_no integer not null,
    day date not null,
    inserted bigint not null,
    updated bigint not null,
    deleted bigint not null,
    -- Serves the pages that show one table, and all of them.
    primary key (table_no, day)
)
-- next
-- What happened before this counts for no day.
insert into {schema}._sync_table_counter (table_no, inserted, updated, deleted)
select t.table_no, pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)
from {schema}._sync_table t
join pg_catalog.pg_class c on c.relnamespace = '{schema}'::regnamespace and c.relname = t.table_name and c.relkind = 'r'
