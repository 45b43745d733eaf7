-- Pushes of many rows: two functions as before (0004_push.sql, 0003_capture_and_seal.sql), made to do in one pass what
-- grew with the product of two numbers or was done twice a row.

-- POST …/chunks with rows that the server has checked. Outcomes: ok (with the next ordinal), not_found, forbidden, expired,
-- out_of_order (with the ordinal expected), too_many_rows, too_many_bytes, duplicate_row (with table_no and key), or what
-- the gate says.
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
    elsif v_next > 0 then
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
-- Turn the effects of a scope, whose lock the caller holds, into its next bundle. Answers one row; row_count 0 means that
-- nothing changed and nothing was written. Raises the first violated deferred constraint.
--
-- Per row the first and the last effect are folded: insert then delete is nothing, insert then anything an INSERT, delete
-- then insert an UPDATE. The order is that of each row's first effect.
--
-- One statement does it all: starting a dozen would cost a small push more than the writes. The lateral look-ups with
-- `limit 1` keep the planner from scanning every row of a big scope to find a few. A transaction with a single effect, which
-- is what most pushes are, goes the shorter way of _sync_seal_one: a statement with a dozen parts takes longer to start than
-- six plain ones to run.
create or replace function {schema}._sync_seal(
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
language plpgsql as $$
#variable_conflict use_column
begin
    set constraints all immediate;

    if current_setting('syncline.effect_no', true) = '1' then
        return query
            select o.bundle_seq, o.source_bundle_id, o.row_count, o.byte_count, o.bundle_hash
            from {schema}._sync_seal_one(
                p_scope, p_source, p_source_bundle_id, p_request_hash, p_schema_version, p_user, p_written_by, p_now
            ) o;
        return;
    end if;

    return query
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
    bundled as materialized (
        select f.table_no, f.key,
            case when f.last_op = 'D' then 'DELETE' when f.first_op = 'I' then 'INSERT' else 'UPDATE' end as op,
            coalesce(f.payload, 'null') as payload,
            coalesce(f.hash_payload, f.payload, 'null') as hash_payload,
            row_number() over (order by f.first_no) - 1 as ordinal
        from folded f
        where f.is_last and not (f.first_op = 'I' and f.last_op = 'D')
    ),
    numbered as (
        update {schema}._sync_scope s
        set bundle_seq = s.bundle_seq + 1,
            state = 'initialized',
            lease_id = null,
            lease_source_id = null,
            lease_expires_at = null,
            last_commit_at = p_now
        where s.scope_id = p_scope and exists (select from bundled)
        returning s.bundle_seq
    ),
    advanced as (
        insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
        select p_scope, p_source, 'active', coalesce(p_source_bundle_id, 1), p_now
        from numbered
        on conflict (scope_id, source_id) do update
        set state = 'active', source_bundle_id = coalesce(p_source_bundle_id, _sync_source.source_bundle_id + 1)
        returning source_bundle_id
    ),
    rendered as materialized (
        select b.table_no, b.key, b.op, b.ordinal, n.bundle_seq, coalesce(r.row_version, 0) as prior_version,
            t.row_head || to_json(b.key)::text || '},"op":"' || b.op || '","row_version":' || n.bundle_seq
                || ',"payload":' || b.payload || '}' as served,
            t.hash_head || {hash_key} || '},"op":"' || b.op || '","payload":' || b.hash_payload
                || ',"row_ordinal":{quote}' || b.ordinal || '{quote},"row_version":{quote}' || n.bundle_seq || '{quote}'
                || t.hash_tail as hashed
        from bundled b
        cross join numbered n
        cross join lateral (
            select t.row_head, t.hash_head, t.hash_tail
            from {schema}._sync_table t
            where t.table_no = b.table_no
            limit 1
        ) t
        left join lateral (
            select r.row_version
            from {schema}._sync_row r
            where r.scope_id = p_scope and r.table_no = b.table_no and r.key = b.key
            limit 1
        ) r on true
    ),
    -- Rows that never were are put in plainly: whoever writes versions holds the scope's lock, so nobody else puts in
    -- the same, and looking for a conflict costs as much as the row itself.
    versioned as (
        insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
        select p_scope, r.table_no, r.key, r.bundle_seq, r.op = 'DELETE'
        from rendered r
        where r.prior_version = 0
    ),
    reversioned as (
        insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
        select p_scope, r.table_no, r.key, r.bundle_seq, r.op = 'DELETE'
        from rendered r
        where r.prior_version > 0
        on conflict (scope_id, table_no, key) do update
        set row_version = excluded.row_version, deleted = excluded.deleted
    ),
    stored as (
        insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
        select p_scope, r.bundle_seq, min(r.ordinal), count(*), string_agg(r.served, E',\n' order by r.ordinal),
            array_agg(r.prior_version order by r.ordinal)
        from rendered r
        group by r.bundle_seq, r.ordinal / (
            select least(500, greatest(1, 262144 * count(*) / greatest(1, sum(octet_length(r.served)))))
            from rendered r
        )
        returning row_count, octet_length(body) as byte_count
    )
    insert into {schema}._sync_bundle (
        scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, request_hash,
        schema_version, user_id, written_by, committed_at
    )
    select p_scope, n.bundle_seq, p_source, a.source_bundle_id,
        (select sum(s.row_count) from stored s), (select sum(s.byte_count) + 2 * (count(*) - 1) from stored s),
        (
            select encode(sha256(convert_to('[' || string_agg(r.hashed, ',' order by r.ordinal) || ']', 'UTF8')), 'hex')
            from rendered r
        ),
        p_request_hash, p_schema_version, p_user, p_written_by, p_now
    from numbered n
    cross join advanced a
    returning bundle_seq, source_bundle_id, row_count, byte_count, bundle_hash;

    if not found then
        return query select 0::bigint, 0::bigint, 0, 0::bigint, null::text;
    end if;
end
$$
