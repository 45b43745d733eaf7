with counter as (
    update bench_raw.scope s set bundle_seq = s.bundle_seq + 1 where s.scope_id = $1 returning s.bundle_seq
),
business as (
    insert into bench_raw.items (scope_id, id, title, body, amount, ratio, done)
    values ($1, $2, 'Item', 'A note of the usual length, as people write them on the way.', $3, 0.5, true)
),
state as (
    insert into bench_raw.row_state (scope_id, key, row_version, deleted)
    select $1, $2, c.bundle_seq, false from counter c
    on conflict (scope_id, key) do update set row_version = excluded.row_version, deleted = excluded.deleted
)
insert into bench_raw.history (scope_id, bundle_seq, row_ordinal, row)
select $1, c.bundle_seq, 0, $4 from counter c
