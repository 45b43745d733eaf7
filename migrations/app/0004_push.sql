-- Staged pushes (PROTOCOL.md section 3). Unlogged: after a crash a session is simply unknown, and clients recover from
-- that by creating it anew. One function a request, so that a request is one round trip; each answers an `outcome`, which
-- is `ok` or a name that the server turns into the wire's error.

-- One upload under way. A newer one of the same (scope, source, number) replaces it.
create unlogged table {schema}._sync_push (
    scope_id text collate "C" not null,
    push_id uuid not null,
    source_id text collate "C" not null,
    source_bundle_id bigint not null,
    planned_row_count bigint not null,
    staged_row_count bigint not null,
    staged_bytes bigint not null,
    request_hash text,
    initialization_id uuid,
    schema_version integer not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (scope_id, push_id),
    constraint push_once_per_tuple unique (scope_id, source_id, source_bundle_id),
    -- A push of another scope must be told from one that does not exist.
    constraint push_id_unique unique (push_id)
)
-- next
-- The rows of a chunk: what conflict checks need as arrays, and the canonical JSON objects of the request hash joined by
-- commas, from which they are applied too.
create unlogged table {schema}._sync_push_chunk (
    scope_id text collate "C" not null,
    push_id uuid not null,
    start_row_ordinal bigint not null,
    table_nos integer[] not null,
    keys text[] collate "C" not null,
    -- I, U or D.
    ops text[] not null,
    base_versions bigint[] not null,
    rows text not null,
    primary key (scope_id, push_id, start_row_ordinal)
)
-- next
-- Staged rows live for a moment: compressing them would cost more than it saves.
alter table {schema}._sync_push_chunk alter column rows set storage external
-- next
-- May this source push into this scope now? `ok`, or why not. A good initialization id has its lease refreshed.
create function {schema}._sync_push_gate(
    p_scope text, p_source text, p_initialization_id uuid, p_now timestamptz, p_lease interval
) returns text
language plpgsql as $$
declare
    v_state text;
    v_lease_id uuid;
    v_lease_source_id text;
begin
    select case when s.state = 'initializing' and s.lease_expires_at <= p_now then 'uninitialized' else s.state end,
        s.lease_id, s.lease_source_id
    into v_state, v_lease_id, v_lease_source_id
    from {schema}._sync_scope s
    where s.scope_id = p_scope;

    if v_state is null or v_state = 'uninitialized' then
        return case when p_initialization_id is null then 'scope_uninitialized' else 'initialization_expired' end;
    elsif v_state = 'initialized' then
        return case when p_initialization_id is null then 'ok' else 'initialization_unexpected' end;
    elsif p_initialization_id is null then
        return 'initialization_missing';
    elsif v_lease_id <> p_initialization_id or v_lease_source_id <> p_source then
        return 'initialization_stale';
    end if;

    update {schema}._sync_scope s
    set lease_expires_at = p_now + p_lease
    where s.scope_id = p_scope and s.lease_id = p_initialization_id;
    return 'ok';
end
$$
-- next
-- POST sync/push-sessions. Outcomes: ok, already_committed (with the commit), history_pruned, out_of_order (with the number
-- expected), source_retired (with its successor), or what the gate says.
create function {schema}._sync_push_create(
    p_scope text, p_source text, p_source_bundle_id bigint, p_planned_row_count bigint, p_request_hash text,
    p_initialization_id uuid, p_push_id uuid, p_schema_version integer, p_now timestamptz, p_ttl interval,
    p_lease interval,
    out outcome text, out bundle_seq bigint, out row_count integer, out bundle_hash text, out request_hash text,
    out expected_source_bundle_id bigint, out replaced_by_source_id text
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_source {schema}._sync_source;
    v_replaced uuid;
begin
    -- Nearly always everything is in order: one statement then does it all. What follows finds out what was not.
    insert into {schema}._sync_push (
        scope_id, push_id, source_id, source_bundle_id, planned_row_count, staged_row_count, staged_bytes,
        request_hash, initialization_id, schema_version, created_at, expires_at
    )
    select p_scope, p_push_id, p_source, p_source_bundle_id, p_planned_row_count, 0, 0,
        p_request_hash, null, p_schema_version, p_now, p_now + p_ttl
    from {schema}._sync_scope s
    left join {schema}._sync_source o on o.scope_id = p_scope and o.source_id = p_source
    where s.scope_id = p_scope and s.state = 'initialized' and p_initialization_id is null
        and o.state is distinct from 'retired' and coalesce(o.source_bundle_id, 0) + 1 = p_source_bundle_id
    on conflict (scope_id, source_id, source_bundle_id) do nothing;
    if found then
        outcome := 'ok';
        expected_source_bundle_id := p_source_bundle_id;
        return;
    end if;

    select * into v_source from {schema}._sync_source s where s.scope_id = p_scope and s.source_id = p_source;
    expected_source_bundle_id := coalesce(v_source.source_bundle_id, 0) + 1;

    -- Before the gates: a device whose initializing push was committed but not answered asks with its old id again.
    if p_source_bundle_id < expected_source_bundle_id then
        select 'already_committed', b.bundle_seq, b.row_count, b.bundle_hash, b.request_hash
        into outcome, bundle_seq, row_count, bundle_hash, request_hash
        from {schema}._sync_bundle b
        where b.scope_id = p_scope and b.source_id = p_source and b.source_bundle_id = p_source_bundle_id;
        if found then
            return;
        end if;
    end if;

    if v_source.state = 'retired' then
        outcome := 'source_retired';
        replaced_by_source_id := v_source.replaced_by_source_id;
        return;
    end if;
    outcome := {schema}._sync_push_gate(p_scope, p_source, p_initialization_id, p_now, p_lease);
    if outcome <> 'ok' then
        return;
    elsif p_source_bundle_id < expected_source_bundle_id then
        outcome := 'history_pruned';
        return;
    elsif p_source_bundle_id > expected_source_bundle_id then
        outcome := 'out_of_order';
        return;
    end if;

    delete from {schema}._sync_push p
    where p.scope_id = p_scope and p.source_id = p_source and p.source_bundle_id = p_source_bundle_id
    returning p.push_id into v_replaced;
    if found then
        delete from {schema}._sync_push_chunk c where c.scope_id = p_scope and c.push_id = v_replaced;
    end if;
    insert into {schema}._sync_push (
        scope_id, push_id, source_id, source_bundle_id, planned_row_count, staged_row_count, staged_bytes,
        request_hash, initialization_id, schema_version, created_at, expires_at
    )
    values (
        p_scope, p_push_id, p_source, p_source_bundle_id, p_planned_row_count, 0, 0,
        p_request_hash, p_initialization_id, p_schema_version, p_now, p_now + p_ttl
    )
    -- Two creates of the same tuple at once: the later one wins, as it would a moment later.
    on conflict (scope_id, source_id, source_bundle_id) do update
    set push_id = excluded.push_id, planned_row_count = excluded.planned_row_count, staged_row_count = 0,
        staged_bytes = 0, request_hash = excluded.request_hash, initialization_id = excluded.initialization_id,
        schema_version = excluded.schema_version, created_at = excluded.created_at,
        expires_at = excluded.expires_at;
end
$$
-- next
-- POST …/chunks with rows that the server has checked. Outcomes: ok (with the next ordinal), not_found, forbidden, expired,
-- out_of_order (with the ordinal expected), too_many_rows, too_many_bytes, duplicate_row (with table_no and key), or what
-- the gate says.
create function {schema}._sync_push_stage(
    p_scope text, p_source text, p_push_id uuid, p_start_row_ordinal bigint, p_table_nos integer[], p_keys text[],
    p_ops text[], p_base_versions bigint[], p_rows text, p_now timestamptz, p_ttl interval, p_lease interval,
    p_max_bytes bigint,
    out outcome text, out next_row_ordinal bigint, out table_no integer, out key text
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_push {schema}._sync_push;
    v_outcome text;
    v_next bigint;
begin
    -- The first chunk, everything in order: one statement. What follows finds out what was not, and takes later chunks.
    with counted as (
        update {schema}._sync_push p
        set staged_row_count = cardinality(p_keys), staged_bytes = octet_length(p_rows), expires_at = p_now + p_ttl
        where p.scope_id = p_scope and p.push_id = p_push_id and p.source_id = p_source and p.expires_at > p_now
            and p.staged_row_count = 0 and p_start_row_ordinal = 0 and cardinality(p_keys) <= p.planned_row_count
            and octet_length(p_rows) <= p_max_bytes and p.initialization_id is null
            and exists (select from {schema}._sync_scope s where s.scope_id = p_scope and s.state = 'initialized')
        returning 1
    )
    insert into {schema}._sync_push_chunk (
        scope_id, push_id, start_row_ordinal, table_nos, keys, ops, base_versions, rows
    )
    select p_scope, p_push_id, 0, p_table_nos, p_keys, p_ops, p_base_versions, p_rows
    from counted;
    if found then
        outcome := 'ok';
        next_row_ordinal := cardinality(p_keys);
        return;
    end if;

    select * into v_push from {schema}._sync_push p where p.push_id = p_push_id for update;
    v_next := v_push.staged_row_count;
    if v_push.push_id is null then
        v_outcome := 'not_found';
    elsif v_push.scope_id <> p_scope or v_push.source_id <> p_source then
        v_outcome := 'forbidden';
    elsif v_push.expires_at <= p_now then
        v_outcome := 'expired';
    else
        v_outcome := {schema}._sync_push_gate(p_scope, p_source, v_push.initialization_id, p_now, p_lease);
    end if;

    if v_outcome <> 'ok' then
        null;
    elsif p_start_row_ordinal <> v_next then
        v_outcome := 'out_of_order';
    elsif v_next + cardinality(p_keys) > v_push.planned_row_count then
        v_outcome := 'too_many_rows';
    elsif v_push.staged_bytes + octet_length(p_rows) > p_max_bytes then
        v_outcome := 'too_many_bytes';
    elsif v_next > 0 then
        select n.table_no, n.key into table_no, key
        from unnest(p_table_nos, p_keys) as n (table_no, key)
        where (n.table_no, n.key) in (
            select o.table_no, o.key
            from {schema}._sync_push_chunk c, unnest(c.table_nos, c.keys) as o (table_no, key)
            where c.scope_id = p_scope and c.push_id = p_push_id
        )
        limit 1;
        if found then
            v_outcome := 'duplicate_row';
        end if;
    end if;

    if v_outcome = 'ok' then
        insert into {schema}._sync_push_chunk (
            scope_id, push_id, start_row_ordinal, table_nos, keys, ops, base_versions, rows
        )
        values (p_scope, p_push_id, p_start_row_ordinal, p_table_nos, p_keys, p_ops, p_base_versions, p_rows);
        v_next := v_next + cardinality(p_keys);
        update {schema}._sync_push p
        set staged_row_count = v_next,
            staged_bytes = p.staged_bytes + octet_length(p_rows),
            expires_at = p_now + p_ttl
        where p.scope_id = p_scope and p.push_id = p_push_id;
    end if;
    outcome := v_outcome;
    next_row_ordinal := v_next;
end
$$
-- next
-- The first half of …/commit: lock the scope, check that the session may be committed, and look for conflicts. From here on
-- the transaction is the scope's managed writer. Outcomes: ok (with the staged rows, and the rows that conflict, in upload
-- order; none means: apply), not_found, forbidden, expired, incomplete (with the count staged), source_retired (with its
-- successor), source_sequence_changed, or what the gate says.
create function {schema}._sync_push_open(
    p_scope text, p_source text, p_push_id uuid, p_now timestamptz, p_lease interval
) returns table (
    outcome text, source_bundle_id bigint, planned_row_count bigint, staged_row_count bigint, request_hash text,
    schema_version integer, rows text[], conflict_ordinals bigint[], conflict_versions bigint[],
    conflict_deleted boolean[], replaced_by_source_id text
)
language plpgsql set search_path = pg_catalog as $$
#variable_conflict use_column
declare
    v_push {schema}._sync_push;
    v_source {schema}._sync_source;
    v_outcome text;
    v_rows text[];
    v_ordinals bigint[];
    v_versions bigint[];
    v_deleted boolean[];
begin
    -- The scope first, then the session: a commit of the same session that went ahead has deleted it by now.
    perform from {schema}._sync_scope s where s.scope_id = p_scope for update;
    select * into v_push from {schema}._sync_push p where p.push_id = p_push_id;
    select * into v_source from {schema}._sync_source s where s.scope_id = p_scope and s.source_id = p_source;
    if v_push.push_id is null then
        v_outcome := 'not_found';
    elsif v_push.scope_id <> p_scope or v_push.source_id <> p_source then
        v_outcome := 'forbidden';
    elsif v_push.expires_at <= p_now then
        v_outcome := 'expired';
    elsif v_source.state = 'retired' then
        v_outcome := 'source_retired';
    elsif v_push.source_bundle_id <> coalesce(v_source.source_bundle_id, 0) + 1 then
        v_outcome := 'source_sequence_changed';
    elsif v_push.staged_row_count <> v_push.planned_row_count then
        v_outcome := 'incomplete';
    else
        v_outcome := {schema}._sync_push_gate(p_scope, p_source, v_push.initialization_id, p_now, p_lease);
    end if;

    if v_outcome = 'ok' then
        perform set_config('syncline.scope', p_scope, true), set_config('syncline.effect_no', '0', true);
        select array_agg('[' || c.rows || ']' order by c.start_row_ordinal) into v_rows
        from {schema}._sync_push_chunk c
        where c.scope_id = p_scope and c.push_id = p_push_id;

        select array_agg(u.ordinal order by u.ordinal), array_agg(coalesce(r.row_version, 0) order by u.ordinal),
            array_agg(coalesce(r.deleted, false) order by u.ordinal)
        into v_ordinals, v_versions, v_deleted
        from (
            select c.start_row_ordinal + n.position - 1 as ordinal, n.table_no, n.key, n.op, n.base_version
            from {schema}._sync_push_chunk c,
                unnest(c.table_nos, c.keys, c.ops, c.base_versions)
                    with ordinality as n (table_no, key, op, base_version, position)
            where c.scope_id = p_scope and c.push_id = p_push_id
        ) u
        -- Looked up row by row: a join could scan every row of a big scope to check a few.
        left join lateral (
            select r.row_version, r.deleted
            from {schema}._sync_row r
            where r.scope_id = p_scope and r.table_no = u.table_no and r.key = u.key
            limit 1
        ) r on true
        where case
            when u.op = 'I' then coalesce(r.row_version, 0) <> u.base_version or not coalesce(r.deleted, true)
            else r.deleted is not false or r.row_version <> u.base_version
        end;
    end if;
    return query select v_outcome, v_push.source_bundle_id, v_push.planned_row_count, v_push.staged_row_count,
        v_push.request_hash, v_push.schema_version, v_rows, v_ordinals, v_versions, v_deleted,
        v_source.replaced_by_source_id;
end
$$
-- next
-- DELETE …/{push_id}. Outcomes: ok, not_found, forbidden, expired.
create function {schema}._sync_push_drop(p_scope text, p_source text, p_push_id uuid, p_now timestamptz) returns text
language plpgsql set search_path = pg_catalog as $$
declare
    v_push {schema}._sync_push;
begin
    select * into v_push from {schema}._sync_push p where p.push_id = p_push_id;
    if v_push.push_id is null then
        return 'not_found';
    elsif v_push.scope_id <> p_scope or v_push.source_id <> p_source then
        return 'forbidden';
    end if;
    delete from {schema}._sync_push_chunk c where c.scope_id = p_scope and c.push_id = p_push_id;
    delete from {schema}._sync_push p where p.scope_id = p_scope and p.push_id = p_push_id;
    return case when v_push.expires_at <= p_now then 'expired' else 'ok' end;
end
$$
-- next
-- The second half of …/commit: the effects become the scope's next bundle and the session ends.
create function {schema}._sync_push_seal(
    p_scope text, p_source text, p_push_id uuid, p_source_bundle_id bigint, p_request_hash text,
    p_schema_version integer, p_user text, p_now timestamptz
) returns table (bundle_seq bigint, row_count integer, bundle_hash text)
language plpgsql set search_path = pg_catalog as $$
begin
    delete from {schema}._sync_push_chunk c where c.scope_id = p_scope and c.push_id = p_push_id;
    delete from {schema}._sync_push p where p.scope_id = p_scope and p.push_id = p_push_id;
    return query
        select s.bundle_seq, s.row_count, s.bundle_hash
        from {schema}._sync_seal(
            p_scope, p_source, p_source_bundle_id, p_request_hash, p_schema_version, p_user, null, p_now
        ) s;
end
$$
-- next
-- A write by the server itself (dashboard, API, job) begins: lock the scope, made if need be, and look for conflicts. From
-- here on the transaction is the scope's managed writer, and _sync_seal initializes the scope. A base version of null asks
-- only that the row be there, or not. Outcomes: ok (with the rows that conflict, by their place in the arrays from 0),
-- initializing (a device is filling the scope).
create function {schema}._sync_write_open(
    p_scope text, p_table_nos integer[], p_keys text[], p_ops text[], p_base_versions bigint[], p_now timestamptz
) returns table (
    outcome text, conflict_ordinals bigint[], conflict_versions bigint[], conflict_deleted boolean[]
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_scope {schema}._sync_scope;
begin
    insert into {schema}._sync_scope (scope_id, state, created_at)
    values (p_scope, 'uninitialized', p_now)
    on conflict (scope_id) do nothing;
    select * into v_scope from {schema}._sync_scope s where s.scope_id = p_scope for update;
    if v_scope.state = 'initializing' and v_scope.lease_expires_at > p_now then
        return query select 'initializing', null::bigint[], null::bigint[], null::boolean[];
        return;
    end if;

    perform set_config('syncline.scope', p_scope, true), set_config('syncline.effect_no', '0', true);
    return query
        select 'ok', array_agg(u.position - 1 order by u.position),
            array_agg(coalesce(r.row_version, 0) order by u.position),
            array_agg(coalesce(r.deleted, false) order by u.position)
        from unnest(p_table_nos, p_keys, p_ops, p_base_versions)
            with ordinality as u (table_no, key, op, base_version, position)
        left join lateral (
            select r.row_version, r.deleted
            from {schema}._sync_row r
            where r.scope_id = p_scope and r.table_no = u.table_no and r.key = u.key
            limit 1
        ) r on true
        where case
            when u.op = 'I' then coalesce(r.row_version, 0) <> coalesce(u.base_version, r.row_version, 0)
                or not coalesce(r.deleted, true)
            else r.deleted is not false or r.row_version <> coalesce(u.base_version, r.row_version)
        end;
end
$$
