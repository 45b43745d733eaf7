-- What clients that exist do and 0004_push.sql did not foresee: a source that counts on in another scope, a number
-- taken by other rows, an answer that was lost and rows that PostgreSQL spells otherwise, a row that no device can
-- read, and pushes of hundreds of thousands of rows.

-- A device that is told `already_committed` compares the rows that it then reads with those that it sent, and is stuck
-- for ever if one is spelled otherwise. What is done about it is server/src/sync/bundle/replay.rs.
alter table {schema}._sync_bundle
    -- What a device that asks a second time is given: null, because it has not; `stored`, the rows, which are literally
    -- those that it sent; `rebuild`, nothing.
    add column replay text,
    -- Of the rows as they were sent, in whatever order; null where the request hash tells as much, or the order is the
    -- same.
    add column sent_digest bytea
-- next
-- POST sync/push-sessions. Outcomes: ok, already_committed (with the commit), taken (its number, by other rows),
-- history_pruned, out_of_order (with the number expected), source_retired (with its successor), or what the gate says.
--
-- A source that the scope does not know may begin with any number: clients keep their source and go on counting when
-- somebody else signs in on the device. It is put down here as one that has committed the number before, so that from
-- here on it is as any other: its numbers follow each other, and what was committed is found by its number and not
-- committed again.
create or replace function {schema}._sync_push_create(
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
    v_is_taken boolean := false;
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
    expected_source_bundle_id := coalesce(v_source.source_bundle_id + 1, p_source_bundle_id);

    -- Before the gates: a device whose initializing push was committed but not answered asks with its old id again.
    if p_source_bundle_id < expected_source_bundle_id then
        select b.bundle_seq, b.row_count, b.bundle_hash, b.request_hash
        into bundle_seq, row_count, bundle_hash, request_hash
        from {schema}._sync_bundle b
        where b.scope_id = p_scope and b.source_id = p_source and b.source_bundle_id = p_source_bundle_id;
        if found then
            v_is_taken := request_hash <> p_request_hash is true;
            if not v_is_taken then
                outcome := 'already_committed';
                return;
            end if;
        end if;
    end if;

    if v_source.state = 'retired' then
        outcome := 'source_retired';
        replaced_by_source_id := v_source.replaced_by_source_id;
        return;
    elsif v_is_taken then
        outcome := 'taken';
        return;
    end if;
    outcome := {schema}._sync_push_gate(p_scope, p_source, p_initialization_id, p_now, p_lease);
    if outcome <> 'ok' then
        return;
    end if;
    if v_source.source_id is null and p_source_bundle_id > 1 then
        insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
        values (p_scope, p_source, 'active', p_source_bundle_id - 1, p_now)
        on conflict (scope_id, source_id) do nothing;
        -- Two announcements at once: whoever came first has said with what the source begins.
        select s.source_bundle_id + 1 into expected_source_bundle_id
        from {schema}._sync_source s
        where s.scope_id = p_scope and s.source_id = p_source;
    end if;
    if p_source_bundle_id < expected_source_bundle_id then
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
-- Refuse the row of a segment that is larger than a device can read: with it no snapshot of the scope could be made any
-- more. As a snapshot has it: without the operation that the bundle names.
create function {schema}._sync_refuse_large_row() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    v_max bigint := coalesce(nullif(current_setting('syncline.max_row_bytes', true), '')::bigint, 4194304);
    v_row record;
begin
    select r.line, octet_length(r.line) - octet_length('"op":"",') - length(r.line::json ->> 'op') as bytes
    into v_row
    from string_to_table(new.body, E',\n') as r (line)
    where octet_length(r.line) > v_max
    order by octet_length(r.line) desc
    limit 1;
    if v_row.bytes > v_max then
        raise exception 'a row has % bytes, and devices can read rows of at most %', v_row.bytes, v_max
            using errcode = '54000', hint = v_row.bytes || ' ' || v_max, table = v_row.line::json ->> 'table';
    end if;
    return new;
end
$$
-- next
-- Asked of every segment, and so without a call unless it is that large. The server says in the setting what its limit is
-- (limits.max_bytes_per_snapshot_row); other writers have the limit that it has by default.
create trigger _sync_refuse_large_row before insert on {schema}._sync_bundle_rows
for each row
when (octet_length(new.body) > coalesce(nullif(current_setting('syncline.max_row_bytes', true), '')::bigint, 4194304))
execute function {schema}._sync_refuse_large_row()
-- next
-- POST …/chunks with rows that the server has checked. Outcomes: ok (with the next ordinal), not_found, forbidden,
-- expired, out_of_order (with the ordinal expected), too_many_rows, too_many_bytes, duplicate_row (with table_no and
-- key), or what the gate says.
--
-- Whether a row is in the push already is asked only as long as the push is small: each chunk has to look at all before
-- it. Of larger ones _sync_push_open finds out once.
create or replace function {schema}._sync_push_stage(
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
    elsif v_next between 1 and 50000 then
        -- An intersection and no join: the planner cannot know how long arrays are, and would compare each with each.
        select d.table_no, d.key into table_no, key
        from (
            select n.table_no, n.key
            from unnest(p_table_nos, p_keys) as n (table_no, key)
            intersect
            select o.table_no, o.key
            from {schema}._sync_push_chunk c, unnest(c.table_nos, c.keys) as o (table_no, key)
            where c.scope_id = p_scope and c.push_id = p_push_id
        ) d
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
-- The first half of …/commit: lock the scope, check that the session may be committed, and look for conflicts. From
-- here on the transaction is the scope's managed writer. Outcomes: ok (with the staged rows, and the rows that
-- conflict, in upload order; none means: apply), not_found, forbidden, expired, incomplete (with the count staged),
-- source_retired (with its successor), source_sequence_changed, duplicate_row, or what the gate says.
--
-- The rows of a push of more than 16 MiB are left out, for the server to take them chunk by chunk.
create or replace function {schema}._sync_push_open(
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

    -- What _sync_push_stage does not ask.
    if v_outcome = 'ok' and v_push.staged_row_count > 50000 and exists (
        select
        from {schema}._sync_push_chunk c, unnest(c.table_nos, c.keys) as o (table_no, key)
        where c.scope_id = p_scope and c.push_id = p_push_id
        group by o.table_no, o.key
        having count(*) > 1
    ) then
        v_outcome := 'duplicate_row';
    end if;

    if v_outcome = 'ok' then
        perform set_config('syncline.scope', p_scope, true), set_config('syncline.effect_no', '0', true);
        if v_push.staged_bytes <= 16777216 then
            select array_agg('[' || c.rows || ']' order by c.start_row_ordinal) into v_rows
            from {schema}._sync_push_chunk c
            where c.scope_id = p_scope and c.push_id = p_push_id;
        end if;

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
