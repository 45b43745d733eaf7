-- With many apps, what PostgreSQL does for a table after 50 changes is most of what it does: every VACUUM and ANALYZE has every
-- connection look through all plans that it keeps, of whatever app, for those that use the table. Tables this small gain
-- nothing by it. So an app's tables are left alone until they have changed a lot; the tenant's own are made like that too
-- (server/src/tables/render.rs).
do $$
declare
    v_table name;
begin
    for v_table in select t.tablename from pg_catalog.pg_tables t where t.schemaname = '{schema}' loop
        execute format(
            'alter table {schema}.%I set (autovacuum_vacuum_threshold = 2000, autovacuum_analyze_threshold = 2000, '
            'autovacuum_vacuum_insert_threshold = 5000)',
            v_table
        );
    end loop;
end
$$
-- next
-- Whether a device has rejected writes that are open: asked whenever what it did is written down.
create index rejected_open_of_device on {schema}._sync_rejected_write (scope_id, source_id) where state = 'open'
-- next
-- Its statement was planned anew for each histogram; sync/rollup/flush.rs adds them in its own.
drop function {schema}._sync_added(bigint[], bigint[])
