-- What the server knows of devices. Of a hundred, 70 are healthy, 10 behind, 12 silent, 2 have a push refused, one each is
-- in conflict, refused a pull, refused with its token, stalled in a snapshot, retired, and below the pruned history (where
-- its user's history is pruned).
set local work_mem = '128MB';

create temp table filled_device as
select d.device_no, 'user-' || lpad(d.user_no::text, 5, '0') as scope_id, d.user_no, pg_temp.source(d.device_no) as source_id,
    d.class, s.bundle_seq, s.floor_seq, s.created_at, d.now,
    case
        when d.class between 80 and 91 then d.now - make_interval(secs => 8 * 86400 + (d.salt % 1000) * 16000)
        -- Half of the others have called within a day.
        when d.salt % 2 = 0 then d.now - make_interval(secs => 30 + d.salt % 86000)
        else d.now - make_interval(secs => 86400 + d.salt % 430000)
    end as seen_at
from (
    select n as device_no, pg_temp.user_of(n) as user_no, hashint8(n)::bigint & 99999999 as salt,
        (hashint8(n * 31 + 7)::bigint & 1048575) % 100 as class, now() as now
    from generate_series(1, {devices}) n
) d
join {schema}._sync_scope s on s.scope_id = 'user-' || lpad(d.user_no::text, 5, '0');

insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, replaced_by_source_id, retired_reason,
    retired_at, created_at)
select d.scope_id, d.source_id, case when d.class = 98 then 'retired' else 'active' end, d.bundle_seq,
    case when d.class = 98 then pg_temp.source(-d.device_no) end, case when d.class = 98 then 'history_pruned' end,
    case when d.class = 98 then d.seen_at end, d.created_at
from filled_device d
order by hashint8(d.device_no);

insert into {schema}._sync_device (
    scope_id, source_id, user_id, client, address, first_seen_at, last_seen_at, last_push_at, last_push_seq, last_pull_at,
    last_pull_seq, last_served_seq, last_watch_at, is_watching, last_error_at, last_error_verb, last_error_code,
    last_error_message, last_error_subject, error_count, error_since, auth_failed_at, auth_failed_since, auth_failed_check,
    auth_failed_message, auth_failed_count, auth_failed_signed, snapshot_since
)
select d.scope_id, d.source_id, d.scope_id, 'oversqlite/' || d.device_no % 4 || '.2 (android 15)',
    '203.0.113.' || d.device_no % 250, least(d.created_at, d.seen_at), d.seen_at, d.seen_at, d.bundle_seq, d.seen_at,
    d.has_seq, d.has_seq, d.seen_at, d.device_no % 20 = 0 and d.class < 70,
    case when d.is_refused then d.seen_at end,
    case when d.class in (92, 93, 94) then 'push_commit' when d.class = 95 then 'pull' end,
    case d.class when 92 then 'push_commit_invalid' when 93 then 'push_commit_invalid' when 94 then 'push_conflict'
        when 95 then 'invalid_request' end,
    case d.class when 92 then 'Table "{table}": title must not be null' when 93 then 'Table "{table}": amount is out of range'
        when 94 then 'UPDATE of table "{table}", key "a", is based on version 3, but the server has version 4'
        when 95 then 'after_bundle_seq must be a number' end,
    case when d.class = 94 then '{table} a' end,
    case when d.is_refused then 3 + d.device_no % 40 else 0 end,
    case when d.is_refused then d.seen_at - interval '3 hours' end,
    case when d.class = 96 then d.seen_at end, case when d.class = 96 then d.seen_at - interval '1 day' end,
    case when d.class = 96 then 'expiry' end, case when d.class = 96 then 'it expired at noon' end,
    case when d.class = 96 then 12 else 0 end, d.class = 96,
    case when d.class = 97 then d.seen_at - interval '10 minutes' end
from (
    select d.*, d.class between 92 and 95 as is_refused,
        case
            when d.class between 70 and 79 then greatest(d.bundle_seq - 1 - d.device_no % 20, d.floor_seq + 1)
            when d.class = 99 then least(3, d.bundle_seq)
            else d.bundle_seq
        end as has_seq
    from filled_device d
) d
order by hashint8(d.device_no);

-- Three requests of each device, a hundred of one in a hundred.
insert into {schema}._sync_device_event (scope_id, source_id, event_id, at, verb, status, code, message, bundle_seq)
select e.scope_id, e.source_id, pg_temp.id_at(e.at, e.source_id || e.n), e.at,
    case e.n % 3 when 0 then 'push_commit' when 1 then 'pull' else 'snapshot_create' end,
    case when e.n = 1 and e.class between 92 and 95 then 409 else 200 end,
    case when e.n = 1 and e.class between 92 and 95 then 'push_conflict' end,
    case when e.n = 1 and e.class between 92 and 95 then 'The row has another version.' end, e.bundle_seq
from (
    select d.*, n, d.seen_at - make_interval(mins => (n - 1) * 7) as at
    from filled_device d
    cross join lateral generate_series(1, case when d.device_no % 100 = 0 then 100 else 3 end) n
) e
order by e.at;
