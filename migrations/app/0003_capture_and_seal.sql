-- How a write becomes a bundle. Every synced table has statement-level triggers (made with the table) that render the
-- changed rows and hand them to _sync_capture. A writer that the engine manages (a push, a dashboard or API write) locks the
-- scope, names it in the setting `syncline.scope` and calls _sync_seal itself. Plain SQL does neither: capture then
-- locks the scope and leaves a note in _sync_pending, whose deferred trigger seals at COMMIT.

-- Append the effects of one statement on one table.
create function {schema}._sync_capture(
    p_table_no integer, p_scopes text[], p_keys text[], p_ops text[], p_payloads text[], p_hash_payloads text[]
) returns void
language plpgsql as $$
declare
    v_managed text := current_setting('syncline.scope', true);
    -- All scopes of a group of pushes, as an array: see 0008_group_commit.sql.
    v_group text := current_setting('syncline.scopes', true);
    v_count integer := coalesce(cardinality(p_scopes), 0);
    v_effect_no bigint;
begin
    if v_count = 0 then
        return;
    end if;

    if v_group <> '' then
        if not p_scopes <@ v_group::text[] then
            raise exception 'another scope than those of the group' using errcode = 'cardinality_violation';
        end if;
    elsif p_scopes <> array_fill(v_managed, array[v_count]) is not false then
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
-- What _sync_seal does, for the only effect of the transaction.
create function {schema}._sync_seal_one(
    p_scope text,
    p_source text,
    p_source_bundle_id bigint,
    p_request_hash text,
    p_schema_version integer,
    p_user text,
    p_written_by text,
    p_now timestamptz,
    out bundle_seq bigint,
    out source_bundle_id bigint,
    out row_count integer,
    out byte_count bigint,
    out bundle_hash text
)
language plpgsql as $$
#variable_conflict use_variable
declare
    v_effect {schema}._sync_effect;
    v_seq bigint;
    v_op text;
    v_served text;
    v_hashed text;
    v_prior bigint;
begin
    delete from {schema}._sync_effect e where e.scope_id = p_scope returning e.* into v_effect;
    if v_effect.op is null then
        -- It was another scope's, or there was none.
        bundle_seq := 0;
        source_bundle_id := 0;
        row_count := 0;
        byte_count := 0;
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
    returning s.bundle_seq into v_seq;

    insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
    values (p_scope, p_source, 'active', coalesce(p_source_bundle_id, 1), p_now)
    on conflict (scope_id, source_id) do update
    set state = 'active', source_bundle_id = coalesce(p_source_bundle_id, _sync_source.source_bundle_id + 1)
    returning _sync_source.source_bundle_id into source_bundle_id;

    v_op := case v_effect.op when 'I' then 'INSERT' when 'U' then 'UPDATE' else 'DELETE' end;
    select t.row_head || to_json(b.key)::text || '},"op":"' || v_op || '","row_version":' || v_seq || ',"payload":'
            || coalesce(b.payload, 'null') || '}',
        t.hash_head || {hash_key} || '},"op":"' || v_op || '","payload":'
            || coalesce(b.hash_payload, b.payload, 'null') || ',"row_ordinal":{quote}0{quote},"row_version":{quote}'
            || v_seq || '{quote}' || t.hash_tail,
        coalesce((
            select r.row_version
            from {schema}._sync_row r
            where r.scope_id = p_scope and r.table_no = b.table_no and r.key = b.key
        ), 0)
    into v_served, v_hashed, v_prior
    from (select v_effect.table_no, v_effect.key, v_effect.payload, v_effect.hash_payload) b
    join {schema}._sync_table t on t.table_no = b.table_no;

    insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
    values (p_scope, v_effect.table_no, v_effect.key, v_seq, v_op = 'DELETE')
    on conflict (scope_id, table_no, key) do update
    set row_version = excluded.row_version, deleted = excluded.deleted;

    insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
    values (p_scope, v_seq, 0, 1, v_served, array[v_prior]);

    bundle_seq := v_seq;
    row_count := 1;
    byte_count := octet_length(v_served);
    bundle_hash := encode(sha256(convert_to('[' || v_hashed || ']', 'UTF8')), 'hex');
    insert into {schema}._sync_bundle (
        scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, request_hash,
        schema_version, user_id, written_by, committed_at
    )
    values (
        p_scope, v_seq, p_source, source_bundle_id, 1, byte_count, bundle_hash, p_request_hash,
        p_schema_version, p_user, p_written_by, p_now
    );
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
    versioned as (
        insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
        select p_scope, r.table_no, r.key, r.bundle_seq, r.op = 'DELETE'
        from rendered r
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

    delete from {schema}._sync_pending p where p.scope_id = new.scope_id;
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
