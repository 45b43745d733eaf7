-- Commits of several scopes in one transaction: what one row's push costs is mostly the starting of statements and the wait
-- for the disk, and both are shared here. Only for what is in perfect order and has one row; whatever is not is left as it
-- was and out of the answer, and the server then commits it alone.
--
-- Scopes that somebody else holds are passed over, so that nobody's commit waits for another scope's. Every statement
-- reaches its rows by primary key whatever the statistics say: the arrays hide in sub-selects (`(select v_scopes)`) to have
-- one plan for any length of them.

-- Answers the positions in the arrays of what was committed, from 1. No scope may be named twice. Raises, with everything
-- undone, if one of the rows breaks a constraint, or touches more than itself.
create function {schema}._sync_push_commit_group(
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
        returning e.scope_id, e.payload, e.hash_payload
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
