-- Effects a statement at a time. What a statement did to a scope's rows is one row of `_sync_effect` and no longer one for
-- each of them: putting 5,000 in and taking them out again had cost a third of what sealing them does. The functions that
-- write and read effects are made anew for it; nothing else about them changes.

-- Empty outside of transactions, and nobody's transaction is left when this has the table.
drop table {schema}._sync_effect
-- next
-- What the transaction in flight has done to synced rows so far, in order; sealing empties it before COMMIT, so no other
-- transaction ever sees a row here and a crash loses nothing. Per row what one statement did to rows of one table and scope,
-- as arrays side by side.
create unlogged table {schema}._sync_effect (
    scope_id text collate "C" not null,
    -- Of the first of these effects; the others have the numbers after it.
    effect_no bigint not null,
    table_no integer not null,
    keys text[] collate "C" not null,
    -- I, U or D.
    ops text[] not null,
    -- The full row after the effect as canonical JSON; null for D.
    payloads text[],
    -- The same as it enters the bundle hash where that differs (profile numbers); null otherwise.
    hash_payloads text[],
    primary key (scope_id, effect_no)
)
-- next
-- They live for a moment: compressing them would cost more than it saves.
alter table {schema}._sync_effect
    alter column keys set storage external,
    alter column ops set storage external,
    alter column payloads set storage external,
    alter column hash_payloads set storage external
-- next
-- The effects one by one.
create view {schema}._sync_each_effect as
select e.scope_id, e.effect_no + u.position - 1 as effect_no, e.table_no, u.key, u.op, u.payload, u.hash_payload
from {schema}._sync_effect e
cross join lateral unnest(e.keys, e.ops, e.payloads, e.hash_payloads)
    with ordinality as u (key, op, payload, hash_payload, position)
-- next
-- Append the effects of one statement on one table.
create or replace function {schema}._sync_capture(
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
    if p_scopes = array_fill(p_scopes[1], array[v_count]) then
        insert into {schema}._sync_effect (scope_id, effect_no, table_no, keys, ops, payloads, hash_payloads)
        values (p_scopes[1], v_effect_no + 1, p_table_no, p_keys, p_ops, p_payloads, p_hash_payloads);
    else
        insert into {schema}._sync_effect (scope_id, effect_no, table_no, keys, ops, payloads, hash_payloads)
        select u.scope_id, v_effect_no + u.position, p_table_no, array[u.key], array[u.op], array[u.payload],
            array[u.hash_payload]
        from unnest(p_scopes, p_keys, p_ops, p_payloads, p_hash_payloads)
            with ordinality as u (scope_id, key, op, payload, hash_payload, position);
    end if;
end
$$
-- next
-- What _sync_seal does, for the only effect of the transaction.
create or replace function {schema}._sync_seal_one(
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
    v_effect record;
    v_seq bigint;
    v_op text;
    v_served text;
    v_hashed text;
    v_prior bigint;
begin
    delete from {schema}._sync_effect e
    where e.scope_id = p_scope
    returning e.table_no, e.keys[1] as key, e.ops[1] as op, e.payloads[1] as payload, e.hash_payloads[1] as hash_payload
    into v_effect;
    if not found then
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
-- Of rows with several effects fold the first and the last into one: insert then delete is nothing, insert then anything an
-- INSERT, delete then insert an UPDATE. It takes the place of the row's first effect.
create function {schema}._sync_fold(p_scope text) returns void
language plpgsql as $$
begin
    if not exists (
        select from {schema}._sync_each_effect e where e.scope_id = p_scope group by e.table_no, e.key having count(*) > 1
    ) then
        return;
    end if;

    with effect as (
        delete from {schema}._sync_effect e
        where e.scope_id = p_scope
        returning e.effect_no, e.table_no, e.keys, e.ops, e.payloads, e.hash_payloads
    ),
    folded as (
        select e.table_no, u.key, u.op as last_op, u.payload, u.hash_payload,
            first_value(u.op) over of_row as first_op,
            first_value(e.effect_no + u.position - 1) over of_row as first_no,
            lead(u.op) over of_row is null as is_last
        from effect e
        cross join lateral unnest(e.keys, e.ops, e.payloads, e.hash_payloads)
            with ordinality as u (key, op, payload, hash_payload, position)
        window of_row as (partition by e.table_no, u.key order by e.effect_no + u.position)
    )
    insert into {schema}._sync_effect (scope_id, effect_no, table_no, keys, ops, payloads, hash_payloads)
    select p_scope, f.first_no, f.table_no, array[f.key],
        array[case when f.last_op = 'D' then 'D' when f.first_op = 'I' then 'I' else 'U' end], array[f.payload],
        array[f.hash_payload]
    from folded f
    where f.is_last and not (f.first_op = 'I' and f.last_op = 'D');
end
$$
-- next
-- Turn the effects of a scope, whose lock the caller holds, into its next bundle. Answers one row; row_count 0 means that
-- nothing changed and nothing was written. Raises the first violated deferred constraint.
--
-- Per row the first and the last effect are folded (_sync_fold). The order is that of each row's first effect.
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

    -- Only several statements on one table can have touched a row twice.
    if (
        select count(*) > count(distinct e.table_no) from {schema}._sync_effect e where e.scope_id = p_scope
    ) then
        perform {schema}._sync_fold(p_scope);
    end if;

    return query
    with effect as (
        delete from {schema}._sync_effect e
        where e.scope_id = p_scope
        returning e.effect_no, e.table_no, e.keys, e.ops, e.payloads, e.hash_payloads
    ),
    placed as (
        select e.*, sum(cardinality(e.keys)) over (order by e.effect_no) - cardinality(e.keys) - 1 as before
        from effect e
    ),
    numbered as (
        update {schema}._sync_scope s
        set bundle_seq = s.bundle_seq + 1,
            state = 'initialized',
            lease_id = null,
            lease_source_id = null,
            lease_expires_at = null,
            last_commit_at = p_now
        where s.scope_id = p_scope and exists (select from effect)
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
            (b.row_head || b.json_key || '},"op":"' || b.op || '","row_version":' || n.bundle_seq)
                || (',"payload":' || b.payload || '}') as served,
            (b.hash_head || b.hash_key || '},"op":"' || b.op || '","payload":')
                || (b.hash_payload || (',"row_ordinal":{quote}' || b.ordinal || '{quote},"row_version":{quote}'
                || n.bundle_seq || '{quote}' || b.hash_tail)) as hashed
        from (
            select b.*, to_json(b.key)::text as json_key, {hash_key} as hash_key
            from (
                select e.table_no, e.before + u.position as ordinal, u.key,
                    case u.op when 'I' then 'INSERT' when 'U' then 'UPDATE' else 'DELETE' end as op,
                    coalesce(u.payload, 'null') as payload, coalesce(u.hash_payload, u.payload, 'null') as hash_payload,
                    t.row_head, t.hash_head, t.hash_tail
                from placed e
                cross join lateral (
                    select t.row_head, t.hash_head, t.hash_tail
                    from {schema}._sync_table t
                    where t.table_no = e.table_no
                    limit 1
                ) t
                cross join lateral unnest(e.keys, e.ops, e.payloads, e.hash_payloads)
                    with ordinality as u (key, op, payload, hash_payload, position)
            ) b
            -- Keeps the planner from writing these expressions out again wherever they are used.
            offset 0
        ) b
        cross join numbered n
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
    -- Sorted once for all aggregates: each with an order of its own would sort for itself.
    segment as materialized (
        select r.bundle_seq, min(r.ordinal) as first_ordinal, count(*) as row_count, string_agg(r.served, E',\n') as body,
            string_agg(r.hashed, ',') as hashed, array_agg(r.prior_version) as prior_versions
        from (select * from rendered r order by r.ordinal) r
        group by r.bundle_seq, r.ordinal / (
            select least(500, greatest(1, 262144 * count(*) / greatest(1, sum(octet_length(r.served)))))
            from rendered r
        )
    ),
    stored as (
        insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
        select p_scope, s.bundle_seq, s.first_ordinal, s.row_count, s.body, s.prior_versions
        from segment s
    )
    insert into {schema}._sync_bundle (
        scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, request_hash,
        schema_version, user_id, written_by, committed_at
    )
    select p_scope, n.bundle_seq, p_source, a.source_bundle_id, s.row_count, s.byte_count,
        encode(sha256(convert_to('[' || s.hashed || ']', 'UTF8')), 'hex'), p_request_hash, p_schema_version, p_user,
        p_written_by, p_now
    from numbered n
    cross join advanced a
    cross join (
        select sum(s.row_count) as row_count, sum(octet_length(s.body)) + 2 * (count(*) - 1) as byte_count,
            string_agg(s.hashed, ',' order by s.first_ordinal) as hashed
        from segment s
    ) s
    returning bundle_seq, source_bundle_id, row_count, byte_count, bundle_hash;

    if not found then
        return query select 0::bigint, 0::bigint, 0, 0::bigint, null::text;
    end if;
end
$$
-- next
-- Commits of several scopes in one transaction, as in 0008_group_commit.sql.
create or replace function {schema}._sync_push_commit_group(
    p_scopes text[], p_sources text[], p_push_ids uuid[], p_users text[], p_checks_hash boolean,
    p_schema_version integer, p_now timestamptz,
    out positions bigint[], out source_bundle_ids bigint[], out bundle_seqs bigint[], out bundle_hashes text[],
    out request_hashes text[]
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_locked text[];
    v_scopes text[];
    v_sources text[];
    v_push_ids uuid[];
    v_users text[];
    v_table_nos integer[];
    v_ops text[];
    v_keys text[];
    v_rows text[];
    v_priors bigint[];
    v_payloads text[];
    v_hash_payloads text[];
    v_table_no integer;
    v_count integer;
    v_i integer;
begin
    -- In the order of their ids, like everybody who locks more than one.
    select array_agg(s.scope_id) into v_locked
    from (
        select s.scope_id
        from {schema}._sync_scope s
        where s.scope_id = any ((select p_scopes)::text[]) and s.state = 'initialized'
        order by s.scope_id
        for update skip locked
    ) s;

    -- All arrays in the order of the scopes from here on.
    select array_agg(c.n), array_agg(c.scope_id), array_agg(c.source_id), array_agg(c.push_id), array_agg(c.user_id),
        array_agg(c.source_bundle_id), array_agg(c.request_hash), array_agg(c.table_no), array_agg(c.op),
        array_agg(c.key), array_agg(c.rows), array_agg(c.prior), count(*)
    into positions, v_scopes, v_sources, v_push_ids, v_users, source_bundle_ids, request_hashes, v_table_nos, v_ops,
        v_keys, v_rows, v_priors, v_count
    from (
        select u.n, u.scope_id, u.source_id, u.push_id, u.user_id, p.source_bundle_id, p.request_hash, p.table_no, p.op,
            p.key, p.rows, p.prior
        from unnest(
            (select p_scopes), (select p_sources), (select p_push_ids), (select p_users)
        ) with ordinality as u (scope_id, source_id, push_id, user_id, n)
        cross join lateral (
            select p.source_bundle_id, p.request_hash, c.table_nos[1] as table_no, c.ops[1] as op, c.keys[1] as key,
                c.rows, coalesce(r.row_version, 0) as prior
            from {schema}._sync_push p
            join {schema}._sync_push_chunk c
                on c.scope_id = u.scope_id and c.push_id = u.push_id and c.start_row_ordinal = 0
            left join {schema}._sync_source o on o.scope_id = u.scope_id and o.source_id = u.source_id
            left join {schema}._sync_row r
                on r.scope_id = u.scope_id and r.table_no = c.table_nos[1] and r.key = c.keys[1]
            where p.scope_id = u.scope_id and p.push_id = u.push_id and p.source_id = u.source_id
                and p.expires_at > p_now and p.initialization_id is null
                and p.planned_row_count = 1 and p.staged_row_count = 1
                and o.state is distinct from 'retired' and p.source_bundle_id = coalesce(o.source_bundle_id, 0) + 1
                and case
                    when c.ops[1] = 'I' then
                        coalesce(r.row_version, 0) = c.base_versions[1] and coalesce(r.deleted, true)
                    else r.deleted is false and r.row_version = c.base_versions[1]
                end
                and (not p_checks_hash
                    or p.request_hash = encode(sha256(convert_to('[' || c.rows || ']', 'UTF8')), 'hex'))
            limit 1
        ) p
        where u.scope_id = any (v_locked)
        order by u.scope_id collate "C"
    ) c;
    if v_count = 0 then
        return;
    end if;

    perform set_config('syncline.scopes', v_scopes::text, true), set_config('syncline.effect_no', '0', true);
    for v_table_no in select distinct t.table_no from unnest(v_table_nos, v_ops) as t (table_no, op) where t.op = 'I'
    loop
        if not (
            select {schema}._sync_apply(
                v_table_no, 'I', array_agg(i.scope_id), array_agg(i.key), ('[' || string_agg(i.row, ',') || ']')::json
            )
            from unnest(v_scopes, v_keys, v_rows, v_table_nos, v_ops) as i (scope_id, key, row, table_no, op)
            where i.table_no = v_table_no and i.op = 'I'
        ) then
            raise exception 'unknown table' using errcode = 'no_data_found';
        end if;
    end loop;
    for v_i in 1..v_count loop
        if v_ops[v_i] <> 'I' and not {schema}._sync_apply(
            v_table_nos[v_i], v_ops[v_i], v_scopes[v_i:v_i], v_keys[v_i:v_i], ('[' || v_rows[v_i] || ']')::json
        ) then
            raise exception 'unknown table' using errcode = 'no_data_found';
        end if;
    end loop;
    set constraints all immediate;

    -- Each has had one effect at least; if nobody has had a second, that one is the bundle.
    if current_setting('syncline.effect_no') <> v_count::text then
        raise exception 'a row with more than one effect' using errcode = 'cardinality_violation';
    end if;
    with effect as (
        delete from {schema}._sync_effect e
        where e.scope_id = any ((select v_scopes)::text[])
        returning e.scope_id, e.payloads[1] as payload, e.hash_payloads[1] as hash_payload
    )
    select array_agg(e.payload), array_agg(e.hash_payload)
    into v_payloads, v_hash_payloads
    from (select * from effect e order by e.scope_id) e;
    with numbered as (
        update {schema}._sync_scope s
        set bundle_seq = s.bundle_seq + 1, last_commit_at = p_now
        where s.scope_id = any ((select v_scopes)::text[])
        returning s.scope_id, s.bundle_seq
    )
    select array_agg(n.bundle_seq) into bundle_seqs from (select * from numbered n order by n.scope_id) n;
    insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
    select u.scope_id, u.source_id, 'active', u.source_bundle_id, p_now
    from unnest((select v_scopes), (select v_sources), (select source_bundle_ids))
        as u (scope_id, source_id, source_bundle_id)
    on conflict (scope_id, source_id) do update
    set state = 'active', source_bundle_id = excluded.source_bundle_id;

    with rendered as materialized (
        select b.*, t.row_head || to_json(b.key)::text || '},"op":"' || b.op || '","row_version":' || b.bundle_seq
                || ',"payload":' || coalesce(b.payload, 'null') || '}' as served,
            encode(sha256(convert_to(
                '[' || t.hash_head || {hash_key} || '},"op":"' || b.op || '","payload":'
                    || coalesce(b.hash_payload, b.payload, 'null') || ',"row_ordinal":{quote}0{quote},"row_version":{quote}'
                    || b.bundle_seq || '{quote}' || t.hash_tail || ']',
                'UTF8'
            )), 'hex') as bundle_hash
        from (
            select u.*, case u.op_letter when 'I' then 'INSERT' when 'U' then 'UPDATE' else 'DELETE' end as op
            from unnest(
                (select v_scopes), (select bundle_seqs), (select v_sources), (select source_bundle_ids),
                (select request_hashes), (select v_users), (select v_table_nos), (select v_ops), (select v_keys),
                (select v_priors), (select v_payloads), (select v_hash_payloads)
            ) with ordinality as u (
                scope_id, bundle_seq, source_id, source_bundle_id, request_hash, user_id, table_no, op_letter, key,
                prior, payload, hash_payload, n
            )
        ) b
        cross join lateral (
            select t.row_head, t.hash_head, t.hash_tail
            from {schema}._sync_table t
            where t.table_no = b.table_no
            limit 1
        ) t
    ),
    versioned as (
        insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
        select r.scope_id, r.table_no, r.key, r.bundle_seq, r.op = 'DELETE'
        from rendered r
        on conflict (scope_id, table_no, key) do update
        set row_version = excluded.row_version, deleted = excluded.deleted
    ),
    stored as (
        insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
        select r.scope_id, r.bundle_seq, 0, 1, r.served, array[r.prior]
        from rendered r
    ),
    written as (
        insert into {schema}._sync_bundle (
            scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, request_hash,
            schema_version, user_id, written_by, committed_at
        )
        select r.scope_id, r.bundle_seq, r.source_id, r.source_bundle_id, 1, octet_length(r.served), r.bundle_hash,
            r.request_hash, p_schema_version, r.user_id, null, p_now
        from rendered r
    )
    select array_agg(r.bundle_hash) into bundle_hashes from (select r.bundle_hash from rendered r order by r.n) r;

    delete from {schema}._sync_push_chunk c
    where c.scope_id = any ((select v_scopes)::text[]) and c.push_id = any ((select v_push_ids)::uuid[]);
    delete from {schema}._sync_push p
    where p.scope_id = any ((select v_scopes)::text[]) and p.push_id = any ((select v_push_ids)::uuid[]);
end
$$
