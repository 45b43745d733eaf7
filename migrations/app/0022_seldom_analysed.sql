-- A row of these tables changes with every push or flush, and each is found by its key: what ANALYZE would tell of them changes no
-- plan, but each ANALYZE has all connections look through all plans that they keep (0018_quiet_tables.sql). With a thousand apps
-- under load, nearly two of these tables were analysed each second, and that took a fifth of PostgreSQL's processor time.
do $$
declare
    v_table name;
begin
    foreach v_table in array array[
        '_sync_scope', '_sync_source', '_sync_push', '_sync_push_chunk', '_sync_effect', '_sync_device', '_sync_rollup'
    ] loop
        execute format('alter table {schema}.%I set (autovacuum_analyze_threshold = 50000)', v_table);
    end loop;
end
$$
