-- What a node has gathered about devices of the app is written down by a function, so that it is one round trip and no
-- transaction around it. Its statement is large and seldom run twice by the same connection, so it is planned once, for any
-- devices, and not five times before: looking each up by its key, however few there are when that is.

-- `p_devices` and `p_events` are arrays of JSON objects, see server/src/sync/device/flush.rs. Answers for each device when it had
-- been seen before, whether it has conflicts or rejected writes that are open, and whether it is written: it is not if
-- another node put it in at the same moment.
--
-- - Devices are locked in the order of the key, so that no other node counts them in the same step, and nodes never wait for
--   each other in a circle.
-- - A refusal that a later success made good is not kept.
-- - Where a device stands with snapshots is changed only if that is news. Who was let in had a good token: what was refused
--   before it is over. A stream that ended while nothing else was heard is not being seen.
-- - Of pulls that brought something the timeline tells the first in a minute, and of all events the latest hundred are kept.
-- - It is for looking at: a crash may lose the last of it, and whoever would have to wait for a lock loses it too.
create function {schema}._sync_note_devices(p_devices text, p_events text)
returns table (scope_id text, source_id text, seen_before timestamptz, has_open boolean, is_written boolean)
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    v_quick text;
begin
    v_quick := set_config('synchronous_commit', 'off', true) || set_config('lock_timeout', '1s', true);

    return query
    with u as materialized (
        select *
        from json_to_recordset(p_devices::json) as u (
            scope_id text, source_id text, user_id text, client text, address text, seen_at timestamptz,
            push_at timestamptz, push_seq bigint, pushed_from bigint, pull_at timestamptz, pull_seq bigint,
            served_seq bigint, snapshot_at timestamptz, watch_at timestamptz, is_watching boolean, settled text[],
            error_at timestamptz, error_verb text, error_code text, error_message text, error_subject text,
            error_count bigint, error_since timestamptz, is_reading boolean, reading_since timestamptz,
            brought_id uuid, brought_at timestamptz, brought_seq bigint, events integer
        )
    ),
    before as materialized (
        select d.scope_id, d.source_id, d.last_seen_at, d.last_served_seq, d.pull_event_at, d.last_error_at,
            d.last_error_verb, d.last_error_code, d.last_error_message, d.last_error_subject, d.error_count,
            d.error_since, coalesce(d.last_error_verb = any (u.settled), false) as is_settled
        from (select u.scope_id, u.source_id, u.settled from u order by u.scope_id, u.source_id) u
        cross join lateral (
            select *
            from {schema}._sync_device d
            where d.scope_id = u.scope_id and d.source_id = u.source_id
            limit 1
            for update
        ) d
    ),
    n as materialized (
        select u.*, b.scope_id is not null as is_known, b.last_seen_at as seen_before,
            case
                when u.pushed_from = coalesce(greatest(u.served_seq, b.last_served_seq), 0) + 1 then u.push_seq
                else u.served_seq
            end as has_seq,
            coalesce(b.pull_event_at <= u.brought_at - interval '1 minute', u.brought_at is not null) as tells_pull,
            e.last_error_at as kept_at, e.last_error_verb as kept_verb, e.last_error_code as kept_code,
            e.last_error_message as kept_message, e.last_error_subject as kept_subject,
            coalesce(e.error_count, 0) as kept_count, e.error_since as kept_since,
            coalesce(
                u.error_code = e.last_error_code and u.error_subject is not distinct from e.last_error_subject, false
            ) as is_again
        from u
        left join before b on b.scope_id = u.scope_id and b.source_id = u.source_id
        left join before e on e.scope_id = u.scope_id and e.source_id = u.source_id and not e.is_settled
    ),
    updated as (
        update {schema}._sync_device d
        set user_id = coalesce(n.user_id, d.user_id),
            client = coalesce(n.client, d.client),
            address = coalesce(n.address, d.address),
            last_seen_at = greatest(n.seen_at, d.last_seen_at),
            last_push_at = coalesce(n.push_at, d.last_push_at),
            last_push_seq = coalesce(n.push_seq, d.last_push_seq),
            last_pull_at = coalesce(n.pull_at, d.last_pull_at),
            last_pull_seq = coalesce(n.pull_seq, d.last_pull_seq),
            last_served_seq = greatest(n.has_seq, d.last_served_seq),
            last_snapshot_at = coalesce(n.snapshot_at, d.last_snapshot_at),
            last_watch_at = coalesce(n.watch_at, d.last_watch_at),
            is_watching = coalesce(n.is_watching, d.is_watching),
            last_error_at = coalesce(n.error_at, n.kept_at),
            last_error_verb = coalesce(n.error_verb, n.kept_verb),
            last_error_code = coalesce(n.error_code, n.kept_code),
            last_error_message = coalesce(n.error_message, n.kept_message),
            last_error_subject = case when n.error_code is null then n.kept_subject else n.error_subject end,
            auth_failed_at = case
                when n.seen_at is null or d.auth_failed_at > n.seen_at then d.auth_failed_at
            end,
            error_count = case
                when n.is_again then n.kept_count + n.error_count
                when n.error_code is not null then n.error_count
                else n.kept_count
            end,
            error_since = case when n.is_again then n.kept_since else coalesce(n.error_since, n.kept_since) end,
            snapshot_since = case
                when n.is_reading then coalesce(d.snapshot_since, n.reading_since)
                when n.is_reading is null then d.snapshot_since
            end,
            pull_event_at = case when n.tells_pull then n.brought_at else d.pull_event_at end
        from n
        where d.scope_id = n.scope_id and d.source_id = n.source_id and n.is_known
    ),
    inserted as (
        insert into {schema}._sync_device (
            scope_id, source_id, user_id, client, address, first_seen_at, last_seen_at, last_push_at, last_push_seq,
            last_pull_at, last_pull_seq, last_served_seq, last_snapshot_at, last_watch_at, last_error_at,
            last_error_verb, last_error_code, last_error_message, last_error_subject, error_count, error_since,
            is_watching, snapshot_since, pull_event_at
        )
        select n.scope_id, n.source_id, n.user_id, n.client, n.address, n.seen_at, n.seen_at, n.push_at, n.push_seq,
            n.pull_at, n.pull_seq, n.has_seq, n.snapshot_at, n.watch_at, n.error_at, n.error_verb, n.error_code,
            n.error_message, n.error_subject, n.error_count, n.error_since, n.is_watching, n.reading_since,
            n.brought_at
        from n
        where not n.is_known and n.seen_at is not null
        order by n.scope_id, n.source_id
        on conflict do nothing
        returning scope_id, source_id
    ),
    told as (
        insert into {schema}._sync_device_event (
            scope_id, source_id, event_id, at, verb, status, code, message, bundle_seq
        )
        select *
        from json_to_recordset(p_events::json) as e (
            scope_id text, source_id text, event_id uuid, at timestamptz, verb text, status integer, code text,
            message text, bundle_seq bigint
        )
        union all
        select n.scope_id, n.source_id, n.brought_id, n.brought_at, 'pull', 200, null, null, n.brought_seq
        from n
        where n.tells_pull
        on conflict do nothing
    ),
    trimmed as (
        delete from {schema}._sync_device_event e
        using (
            select n.scope_id, n.source_id, o.event_id
            from n
            cross join lateral (
                select o.event_id
                from {schema}._sync_device_event o
                where o.scope_id = n.scope_id and o.source_id = n.source_id
                order by o.event_id desc
                offset 100 - n.events - n.tells_pull::integer
            ) o
            where n.events > 0 or n.tells_pull
        ) old
        where e.scope_id = old.scope_id and e.source_id = old.source_id and e.event_id = old.event_id
    )
    select n.scope_id, n.source_id, n.seen_before,
        exists (
            select from {schema}._sync_conflict c
            where c.scope_id = n.scope_id and c.source_id = n.source_id and c.outcome is null
        ) or exists (
            select from {schema}._sync_rejected_write r
            where r.scope_id = n.scope_id and r.source_id = n.source_id and r.state = 'open'
        ) as has_open,
        n.is_known or n.seen_at is null or i.scope_id is not null as is_written
    from n
    left join inserted i on i.scope_id = n.scope_id and i.source_id = n.source_id;
end
$$
