with counter as (
    update bench_raw.scope s set bundle_seq = s.bundle_seq + 1 where s.scope_id = $1 returning s.bundle_seq
),
pushed as materialized (
    select u.key, u.amount, u.row, u.ordinal
    from unnest($2::text[], $3::bigint[], $4::text[]) with ordinality as u (key, amount, row, ordinal)
),
business as (
    insert into bench_raw.items (scope_id, id, title, body, amount, ratio, done)
    select $1, p.key, 'Item', 'A note of the usual length, as people write them on the way.', p.amount, 0.5, true
    from pushed p
)
insert into bench_raw.history (scope_id, bundle_seq, row_ordinal, row)
select $1, c.bundle_seq, p.ordinal, p.row from counter c, pushed p
