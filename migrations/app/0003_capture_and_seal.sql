-- How a write becomes a bundle. Every synced table has statement-level triggers (made with the table) that render the
-- changed rows and hand them to _sync_capture. A writer that the engine manages (a push, a dashboard or API write) locks the
-- scope, names it in the setting `syncline.scope` and calls _sync_seal itself. Plain SQL does neither: capture then
-- locks the scope and leaves a note in _sync_pending, whose deferred trigger seals at COMMIT.

-- Append the effects of one statement on one table.
create function {schema}._sync_capture(
    p_table_no integer, p_scopes text[], p_keys text[], p_ops text[], p_payloads text[], p_hash_payloads text[]
) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    v_managed text := current_setting('syncline.scope', true);
    v_count integer := coalesce(cardinality(p_scopes), 0);
    v_effect_no bigint;
begin
    if v_count = 0 then
        return;
    end if;

    if p_scopes <> array_fill(v_managed, array[v_count]) is not false then
        -- In the order of their ids, so that two such transactions cannot wait for each other here.
        insert into {schema}._sync_scope (scope_id, state, created_at)
        select distinct u.scope_id, 'uninitialized', transaction_timestamp()
        from unnest(p_scopes) as u (scope_id)
        where u.scope_id is distinct from v_managed
        order by u.scope_id
        on conflict (scope_id) do nothing;
        perform from {schema}._sync_scope s
        where s.scope_id = any (p_scopes) and s.scope_id is distinct from v_managed
        order by s.scope_id
        for update;
        insert into {schema}._sync_pending (scope_id)
        select distinct u.scope_id
        from unnest(p_scopes) as u (scope_id)
        where u.scope_id is distinct from v_managed
        on conflict (scope_id) do nothing;
    end if;

    v_effect_no := coalesce(nullif(current_setting('syncline.effect_no', true), ''), '0')::bigint;
    perform set_config('syncline.effect_no', (v_effect_no + v_count)::text, true);
    insert into {schema}._sync_effect (scope_id, effect_no, table_no, key, op, payload, hash_payload)
    select u.scope_id, v_effect_no + u.position, p_table_no, u.key, u.op, u.payload, u.hash_payload
    from unnest(p_scopes, p_keys, p_ops, p_payloads, p_hash_payloads)
        with ordinality as u (scope_id, key, op, payload, hash_payload, position);
end
$$
-- next
-- Turn the effects of a scope, whose lock the caller holds, into its next bundle. Answers one row; row_count 0 means that
-- nothing changed and nothing was written. Raises the first violated deferred constraint.
--
-- Per row the first and the last effect are folded: insert then delete is nothing, insert then anything an INSERT, delete
-- then insert an UPDATE. The order is that of each row's first effect.
create function {schema}._sync_seal(
    p_scope text,
    p_source text,
    -- Null: the source's next, for the server's writers.
    p_source_bundle_id bigint,
    p_request_hash text,
    p_schema_version integer,
    p_user text,
    p_written_by text,
    p_now timestamptz
) returns table (bundle_seq bigint, source_bundle_id bigint, row_count integer, byte_count bigint, bundle_hash text)
language plpgsql set search_path = pg_catalog as $$
#variable_conflict use_column
declare
    v_tables integer[];
    v_keys text[];
    v_ops text[];
    v_payloads text[];
    v_hash_payloads text[];
    v_priors bigint[];
    v_count integer;
    v_seq bigint;
    v_source_bundle_id bigint := p_source_bundle_id;
    v_bytes bigint;
    v_hash text;
begin
    set constraints all immediate;
    delete from {schema}._sync_pending p where p.scope_id = p_scope;

    with effect as (
        delete from {schema}._sync_effect e
        where e.scope_id = p_scope
        returning e.effect_no, e.table_no, e.key, e.op, e.payload, e.hash_payload
    ),
    folded as (
        select e.table_no, e.key, e.op as last_op, e.payload, e.hash_payload,
            first_value(e.op) over of_row as first_op,
            first_value(e.effect_no) over of_row as first_no,
            lead(e.effect_no) over of_row is null as is_last
        from effect e
        window of_row as (partition by e.table_no, e.key order by e.effect_no)
    ),
    bundled as (
        select f.table_no, f.key, f.payload, f.hash_payload, f.first_no,
            case when f.last_op = 'D' then 'DELETE' when f.first_op = 'I' then 'INSERT' else 'UPDATE' end as op
        from folded f
        where f.is_last and not (f.first_op = 'I' and f.last_op = 'D')
    )
    select array_agg(b.table_no order by b.first_no), array_agg(b.key order by b.first_no),
        array_agg(b.op order by b.first_no), array_agg(b.payload order by b.first_no),
        array_agg(b.hash_payload order by b.first_no), count(*)
    into v_tables, v_keys, v_ops, v_payloads, v_hash_payloads, v_count
    from bundled b;

    if v_count = 0 then
        return query select 0::bigint, 0::bigint, 0, 0::bigint, null::text;
        return;
    end if;

    update {schema}._sync_scope s
    set bundle_seq = s.bundle_seq + 1,
        state = 'initialized',
        lease_id = null,
        lease_source_id = null,
        lease_expires_at = null,
        last_commit_at = p_now
    where s.scope_id = p_scope
    returning s.bundle_seq into strict v_seq;

    if v_source_bundle_id is null then
        select coalesce(max(s.source_bundle_id), 0) + 1 into v_source_bundle_id
        from {schema}._sync_source s
        where s.scope_id = p_scope and s.source_id = p_source;
    end if;
    insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
    values (p_scope, p_source, 'active', v_source_bundle_id, p_now)
    on conflict (scope_id, source_id) do update
    set state = 'active', source_bundle_id = excluded.source_bundle_id;

    select array_agg(coalesce(r.row_version, 0) order by u.position) into v_priors
    from unnest(v_tables, v_keys) with ordinality as u (table_no, key, position)
    left join {schema}._sync_row r on r.scope_id = p_scope and r.table_no = u.table_no and r.key = u.key;

    insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
    select p_scope, u.table_no, u.key, v_seq, u.op = 'DELETE'
    from unnest(v_tables, v_keys, v_ops) as u (table_no, key, op)
    on conflict (scope_id, table_no, key) do update
    set row_version = excluded.row_version, deleted = excluded.deleted;

    with segment as (
        insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
        select p_scope, v_seq, min(u.position) - 1, count(*),
            string_agg(
                t.row_head || to_json(u.key)::text || '},"op":"' || u.op || '","row_version":' || v_seq
                    || ',"payload":' || coalesce(u.payload, 'null') || '}',
                E',\n' order by u.position
            ),
            array_agg(u.prior order by u.position)
        from unnest(v_tables, v_keys, v_ops, v_payloads, v_priors)
            with ordinality as u (table_no, key, op, payload, prior, position)
        join {schema}._sync_table t on t.table_no = u.table_no
        group by (u.position - 1) / 500
        returning octet_length(body) as bytes
    )
    select sum(s.bytes) into v_bytes from segment s;

    select encode(sha256(convert_to('[' || string_agg(
            t.hash_head || {schema}._sync_hash_text(u.key) || '},"op":"' || u.op || '","payload":'
                || coalesce(u.hash_payload, u.payload, 'null')
                || ',"row_ordinal":{quote}' || u.position - 1 || '{quote},"row_version":{quote}' || v_seq || '{quote}'
                || t.hash_tail,
            ',' order by u.position
        ) || ']', 'UTF8')), 'hex')
    into v_hash
    from unnest(v_tables, v_keys, v_ops, v_payloads, v_hash_payloads)
        with ordinality as u (table_no, key, op, payload, hash_payload, position)
    join {schema}._sync_table t on t.table_no = u.table_no;

    insert into {schema}._sync_bundle (
        scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, request_hash,
        schema_version, user_id, written_by, committed_at
    )
    values (
        p_scope, v_seq, p_source, v_source_bundle_id, v_count, v_bytes, v_hash, p_request_hash,
        p_schema_version, p_user, p_written_by, p_now
    );

    return query select v_seq, v_source_bundle_id, v_count, v_bytes, v_hash;
end
$$
-- next
-- At COMMIT of plain SQL: seal what it did to one scope, as source `server:sql`. Other nodes and this one's watchers hear
-- of it by NOTIFY, which the device's path never uses.
create function {schema}._sync_seal_pending() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    v_seq bigint;
begin
    if not exists (select from {schema}._sync_pending p where p.scope_id = new.scope_id) then
        return null;
    end if;
    if exists (
        select from {schema}._sync_scope s
        where s.scope_id = new.scope_id and s.state = 'initializing' and s.lease_expires_at > transaction_timestamp()
    ) then
        raise exception 'scope % is being initialized by a device', new.scope_id
            using errcode = 'object_not_in_prerequisite_state';
    end if;

    select s.bundle_seq into v_seq
    from {schema}._sync_seal(
        new.scope_id, 'server:sql', null, null,
        (select coalesce(max(v.version), 0) from {schema}._sync_schema_version v),
        null, session_user::text, transaction_timestamp()
    ) s;
    if v_seq > 0 then
        perform pg_notify(
            'syncline_bundle', json_build_object('app', '{schema}', 'scope', new.scope_id, 'seq', v_seq)::text
        );
    end if;
    return null;
end
$$
-- next
create constraint trigger _sync_seal_pending
after insert on {schema}._sync_pending
deferrable initially deferred
for each row execute function {schema}._sync_seal_pending()
-- next
-- Emptying a synced table in one go leaves no rows to capture, so it is refused; DELETE does the same and is captured.
create function {schema}._sync_refuse_truncate() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'truncate of a synced table cannot be captured: use delete'
        using errcode = 'feature_not_supported';
end
$$
