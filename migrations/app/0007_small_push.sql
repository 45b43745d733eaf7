-- The short way of …/commit, for what most pushes are: one row, or a few that are inserted into one table. One call, and so one round trip and one transaction, does what _sync_push_open, the server's statements and
-- _sync_push_seal do. It either commits, or leaves everything as it was and answers nulls or raises: then the server takes
-- the long way, which meets the same obstacle and can tell what it is.

-- Write rows of one table, JSON objects as they were staged, each with its scope: true if it was done. Several can be
-- inserted; only one can be updated or deleted. Replaced, whenever tables are published, by one that knows them
-- (server/src/tables/apply_sql.rs).
create function {schema}._sync_apply(p_table_no integer, p_op text, p_scopes text[], p_keys text[], p_rows json)
returns boolean
language plpgsql as $$
begin
    return false;
end
$$
-- next
create function {schema}._sync_push_commit_small(
    p_scope text, p_source text, p_push_id uuid, p_checks_hash boolean, p_schema_version integer, p_user text,
    p_now timestamptz,
    out source_bundle_id bigint, out bundle_seq bigint, out row_count integer, out bundle_hash text,
    out request_hash text
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_state text;
    v_push record;
begin
    -- The scope first, then the session: a commit of the same session that went ahead has deleted it by now. From here on
    -- the transaction is the scope's managed writer. If somebody else is, the long way waits for them.
    select s.state, set_config('syncline.scope', p_scope, true), set_config('syncline.effect_no', '0', true)
    into v_state
    from {schema}._sync_scope s
    where s.scope_id = p_scope
    for update skip locked;

    -- `row_version` and `deleted` are those of the first row; if there are more, all of them are looked at below.
    select p.source_bundle_id, p.request_hash, c.table_nos, c.keys, c.ops, c.base_versions,
        '[' || c.rows || ']' as rows, cardinality(c.keys) as row_count, r.row_version, r.deleted
    into v_push
    from {schema}._sync_push p
    join {schema}._sync_push_chunk c
        on c.scope_id = p_scope and c.push_id = p_push_id and c.start_row_ordinal = 0
    left join {schema}._sync_source o on o.scope_id = p_scope and o.source_id = p_source
    left join {schema}._sync_row r
        on r.scope_id = p_scope and r.table_no = c.table_nos[1] and r.key = c.keys[1]
    where p.scope_id = p_scope and p.push_id = p_push_id and p.source_id = p_source and p.expires_at > p_now
        and p.initialization_id is null and v_state = 'initialized'
        and p.planned_row_count = cardinality(c.keys) and p.staged_row_count = cardinality(c.keys)
        and cardinality(c.keys) <= 32
        and o.state is distinct from 'retired' and p.source_bundle_id = coalesce(o.source_bundle_id, 0) + 1;
    if not found or (p_checks_hash
            and v_push.request_hash is distinct from encode(sha256(convert_to(v_push.rows, 'UTF8')), 'hex')) then
        return;
    end if;

    if v_push.row_count = 1 then
        if (case
            when v_push.ops[1] = 'I' then
                coalesce(v_push.row_version, 0) <> v_push.base_versions[1] or not coalesce(v_push.deleted, true)
            else v_push.deleted is not false or v_push.row_version <> v_push.base_versions[1]
        end) then
            return;
        end if;
    elsif v_push.table_nos <> array_fill(v_push.table_nos[1], array[v_push.row_count])
            or v_push.ops <> array_fill('I'::text, array[v_push.row_count]) then
        return;
    elsif exists (
        select
        from unnest((select v_push.keys), (select v_push.base_versions)) as u (key, base_version)
        left join lateral (
            select r.row_version, r.deleted
            from {schema}._sync_row r
            where r.scope_id = p_scope and r.table_no = v_push.table_nos[1] and r.key = u.key
            limit 1
        ) r on true
        where coalesce(r.row_version, 0) <> u.base_version or not coalesce(r.deleted, true)
    ) then
        return;
    end if;

    if not {schema}._sync_apply(
        v_push.table_nos[1], v_push.ops[1], array_fill(p_scope, array[v_push.row_count]), v_push.keys,
        v_push.rows::json
    ) then
        return;
    end if;
    delete from {schema}._sync_push_chunk c where c.scope_id = p_scope and c.push_id = p_push_id;
    delete from {schema}._sync_push p where p.scope_id = p_scope and p.push_id = p_push_id;
    select s.source_bundle_id, s.bundle_seq, s.row_count, s.bundle_hash
    into source_bundle_id, bundle_seq, row_count, bundle_hash
    from {schema}._sync_seal(
        p_scope, p_source, v_push.source_bundle_id, v_push.request_hash, p_schema_version, p_user, null, p_now
    ) s;
    if row_count = 0 then
        raise exception 'the push changes nothing' using errcode = 'no_data_found';
    end if;
    request_hash := v_push.request_hash;
end
$$
