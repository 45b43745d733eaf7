-- Both ledgers as full as they get, what happened in 400 days, and the figures of the overview.

-- Conflicts of some users on some of their rows, most of them settled.
insert into {schema}._sync_conflict (
    scope_id, conflict_id, first_at, last_at, attempts, source_id, user_id, source_bundle_id, table_no, key, op, client_payload,
    base_row_version, base_payload, server_row_version, server_row_deleted, server_payload, server_source_id, outcome,
    settled_seq, settled_at
)
select c.scope_id, pg_temp.id_at(c.at, 'conflict ' || c.n), c.at, c.at, 1 + c.n % 5, pg_temp.source_of(c.user_no, c.n), c.scope_id,
    100 + c.n, t.table_no, 'item-' || lpad(c.user_no::text, 5, '0') || '-' || lpad((3 + c.n % 3)::text, 6, '0'), 'UPDATE',
    pg_temp.item(c.n, 'the device'), 1, pg_temp.item(c.n, 'the base'), 2, false, pg_temp.item(c.n, 'the server'),
    pg_temp.source_of(c.user_no, c.n + 1), c.outcome, case when c.outcome is not null then 3 end,
    case when c.outcome is not null then c.at end
from (
    select n, 2 + (n * 7) % least({users} - 1, 2000) as user_no,
        'user-' || lpad((2 + (n * 7) % least({users} - 1, 2000))::text, 5, '0') as scope_id,
        now() - make_interval(secs => n * 86400 * 85.0 / 20000) as at,
        case when n % 12 = 0 then null else (array['kept_local', 'accepted_server', 'merged', 'gave_up'])[1 + n % 4] end as outcome
    from generate_series(1, 20000) n
) c
join {schema}._sync_table t on t.table_name = '{table}'
order by c.at;

insert into {schema}._sync_rejected_write (
    scope_id, rejected_id, fingerprint, source_id, user_id, source_bundle_id, code, message, table_name, constraint_name,
    column_name, row_count, rows, first_at, last_at, attempts, state, state_at
)
select w.scope_id, pg_temp.id_at(w.at, 'rejected ' || w.n), encode(sha256(convert_to('failure ' || w.n, 'UTF8')), 'hex'),
    pg_temp.source_of(w.user_no, w.n), w.scope_id, 7, 'push_commit_invalid', 'Table "{table}": title must not be null', '{table}',
    null, 'title', 5,
    (
        select '[' || string_agg('{"schema":"main","table":"{table}","key":{"id":"item-' || w.n || '-' || r || '"},"op":"INSERT",'
            || '"base_row_version":0,"payload":' || pg_temp.item(w.n, 'refused') || '}', ',') || ']'
        from generate_series(1, 5) r
    ),
    w.at - interval '1 hour', w.at, 1 + w.n % 30,
    case when w.n % 10 = 0 then 'open' when w.n % 10 = 1 then 'ignored' else 'resolved' end,
    case when w.n % 10 > 0 then w.at end
from (
    select n, 2 + (n * 11) % least({users} - 1, 3000) as user_no,
        'user-' || lpad((2 + (n * 11) % least({users} - 1, 3000))::text, 5, '0') as scope_id,
        now() - make_interval(secs => n * 86400 * 85.0 / 20000) as at
    from generate_series(1, 20000) n
) w
order by w.at;

insert into {schema}._sync_rollup (
    step, at, commits, rows_pushed, pulls, rows_served, conflicts, refusals, active_devices, commit_latency, pull_latency
)
select s.step, to_timestamp(floor(extract(epoch from now()) / s.step) * s.step - n * s.step), s.step / 10 + n % 7, s.step + n % 90,
    s.step / 5, s.step * 3, n % 5, n % 3, least(s.step, {devices} / 2), array[0, 0, 0, 5, 20, 40, 20, 9, 4, 1]::bigint[],
    array[0, 0, 30, 50, 30, 10, 5, 1]::bigint[]
from (values (60, 180), (3600, 72), (21600, 60), (86400, 400)) s (step, kept)
cross join lateral generate_series(0, s.kept - 1) n;
