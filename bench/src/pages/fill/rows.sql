-- Users, what they have written and its history. The first user has a tenth of everything, in bundles of 500 rows; the
-- others' bundles are of three new rows, the later ones with another version of the user's first row.
--
-- No trigger sees this: bundles have a hash of the right length and not the right one. No device ever pulls them.
set local session_replication_role = replica;
set local work_mem = '128MB';

create temp table filled_bundle as
with plan as (
    select ceil(0.9 * {rows} / ({users} - 1) / 3)::integer as bundles, now() as now
),
of_user as (
    select u as user_no, k as seq, p.bundles, p.now,
        -- A quarter of the users has been away for two weeks.
        case when u % 4 = 0 then 14 else 0 end as away
    from plan p
    cross join generate_series(2, {users}) u
    cross join generate_series(1, p.bundles) k
),
of_first as (
    select 1 as user_no, k as seq, (0.1 * {rows} / 500)::integer as bundles, p.now, 0 as away
    from plan p
    cross join generate_series(1, (0.1 * {rows} / 500)::integer) k
)
select 'user-' || lpad(b.user_no::text, 5, '0') as scope_id, b.user_no, b.seq::bigint as seq,
    case when b.user_no = 1 then 500 else 3 end as new_rows,
    b.user_no > 1 and b.seq > b.bundles - 20 and b.seq > 1 as has_update,
    case when b.user_no > 1 and b.user_no % 3 = 0 then 5 else 0 end as floor_seq,
    b.now - make_interval(secs => b.away * 86400
        + 45 * 86400.0 * (1 - (b.seq - 1 + (hashint8(b.user_no * 1000003::bigint + b.seq) & 1023) / 1024.0) / b.bundles)
    ) as at
from (select * from of_user union all select * from of_first) b;

create temp table filled_row as
select b.scope_id, b.seq, b.user_no, r as ordinal,
    'item-' || lpad(b.user_no::text, 5, '0') || '-' || lpad((b.seq * b.new_rows + r)::text, 6, '0') as key,
    'Item ' || b.seq * b.new_rows + r as title,
    'A note of the usual length, as people write them on the way.' as body,
    hashint8(b.user_no * 7919::bigint + b.seq * 31 + r)::bigint & 65535 as amount,
    (r % 7) / 8.0::double precision as ratio, (b.seq + r) % 3 = 0 as done, b.at
from filled_bundle b
cross join lateral generate_series(0, b.new_rows - 1) r;
create index on filled_row (scope_id, seq);
analyze filled_bundle, filled_row;

insert into {schema}._sync_scope (scope_id, state, bundle_seq, floor_seq, created_at, last_commit_at)
select b.scope_id, 'initialized', max(b.seq), min(b.floor_seq), min(b.at), max(b.at)
from filled_bundle b
group by b.scope_id
order by hashtext(b.scope_id);

-- In the order in which they would have come: users' rows lie side by side.
insert into {schema}.{table} (_sync_scope_id, id, title, body, amount, ratio, done)
select r.scope_id, r.key, r.title, r.body, r.amount, r.ratio, r.done
from filled_row r
order by r.at, r.scope_id, r.ordinal;

insert into {schema}._sync_row (scope_id, table_no, key, row_version, deleted)
select r.scope_id, t.table_no, r.key,
    case when r.user_no > 1 and r.seq = 1 and r.ordinal = 0 then s.bundle_seq else r.seq end, false
from filled_row r
join {schema}._sync_scope s on s.scope_id = r.scope_id
join {schema}._sync_table t on t.table_name = '{table}'
order by r.at, r.scope_id, r.ordinal;

insert into {schema}._sync_bundle_rows (scope_id, bundle_seq, first_ordinal, row_count, body, prior_versions)
select b.scope_id, b.seq, 0, count(*), string_agg(l.head || l.op || l.version || l.payload, E',\n' order by l.ordinal),
    array_agg(l.prior order by l.ordinal)
from filled_bundle b
cross join lateral (
    select r.ordinal, 0::bigint as prior, t.row_head || to_json(r.key)::text as head, '},"op":"INSERT","row_version":' as op,
        b.seq::text as version,
        ',"payload":' || json_build_object('amount', r.amount, 'body', r.body, 'done', r.done, 'id', r.key, 'ratio', r.ratio,
            'title', r.title)::text || '}' as payload
    from filled_row r
    join {schema}._sync_table t on t.table_name = '{table}'
    where r.scope_id = b.scope_id and r.seq = b.seq
    union all
    select b.new_rows, b.seq - 1, t.row_head || to_json(f.key)::text, '},"op":"UPDATE","row_version":', b.seq::text,
        ',"payload":' || json_build_object('amount', b.seq, 'body', 'Written again.', 'done', true, 'id', f.key, 'ratio', 0.5,
            'title', 'Item, edition ' || b.seq)::text || '}'
    from (select 'item-' || lpad(b.user_no::text, 5, '0') || '-000003' as key) f
    join {schema}._sync_table t on t.table_name = '{table}'
    where b.has_update
) l
where b.seq > b.floor_seq
group by b.scope_id, b.seq, b.at
order by b.at;

insert into {schema}._sync_bundle (
    scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, request_hash, schema_version,
    user_id, committed_at
)
select b.scope_id, b.seq, pg_temp.source_of(b.user_no, b.seq), b.seq, r.row_count, octet_length(r.body),
    encode(sha256(convert_to(r.body, 'UTF8')), 'hex'), encode(sha256(convert_to(b.scope_id || b.seq, 'UTF8')), 'hex'), 1,
    b.scope_id, b.at
from filled_bundle b
join {schema}._sync_bundle_rows r on r.scope_id = b.scope_id and r.bundle_seq = b.seq
order by b.at, b.scope_id;

drop table filled_row;
