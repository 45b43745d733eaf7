-- Of most devices nothing is to be noted but that they got on: no refusal, no snapshot, no stream, nothing for the timeline. They
-- need a tenth of what `_sync_note_devices` can do, and starting that statement is most of what it costs.

-- A device's commits are told by its bundles, so they are no events of their own any more.
delete from {schema}._sync_device_event where verb = 'push_commit' and status = 200
-- next
-- Note that devices got on. Answers as `_sync_note_devices` does, but only for those that are written: where a refusal is to be
-- cleared, a snapshot has ended or a pull belongs to the timeline, and where the device is new, nothing is done.
--
-- `p_pushed_from` to `p_push_seq` are bundles of the device alone, so that it has them all if it had the one before.
create function {schema}._sync_note_progress(
    p_scopes text[],
    p_sources text[],
    p_users text[],
    p_clients text[],
    p_addresses text[],
    p_seen_at timestamptz[],
    p_push_at timestamptz[],
    p_push_seq bigint[],
    p_pushed_from bigint[],
    p_pull_at timestamptz[],
    p_pull_seq bigint[],
    p_served_seq bigint[],
    p_brought_at timestamptz[]
) returns table (scope_id text, source_id text, seen_before timestamptz, has_open boolean, is_written boolean)
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
    with n as materialized (
        select u.*, d.last_seen_at as seen_before,
            case
                when u.pushed_from = coalesce(greatest(u.served_seq, d.last_served_seq), 0) + 1 then u.push_seq
                else u.served_seq
            end as has_seq
        from (
            select *
            from unnest(
                p_scopes, p_sources, p_users, p_clients, p_addresses, p_seen_at, p_push_at, p_push_seq, p_pushed_from,
                p_pull_at, p_pull_seq, p_served_seq, p_brought_at
            ) as u (
                scope_id, source_id, user_id, client, address, seen_at, push_at, push_seq, pushed_from, pull_at,
                pull_seq, served_seq, brought_at
            )
            -- All nodes lock devices in this order.
            order by u.scope_id, u.source_id
        ) u
        cross join lateral (
            select d.last_seen_at, d.last_served_seq
            from {schema}._sync_device d
            where d.scope_id = u.scope_id and d.source_id = u.source_id
                and d.last_error_at is null and d.auth_failed_at is null and d.snapshot_since is null
                and (u.brought_at is null or d.pull_event_at > u.brought_at - interval '1 minute')
            limit 1
            for update
        ) d
    )
    update {schema}._sync_device d
    set user_id = coalesce(n.user_id, d.user_id),
        client = coalesce(n.client, d.client),
        address = coalesce(n.address, d.address),
        last_seen_at = greatest(n.seen_at, d.last_seen_at),
        last_push_at = coalesce(n.push_at, d.last_push_at),
        last_push_seq = coalesce(n.push_seq, d.last_push_seq),
        last_pull_at = coalesce(n.pull_at, d.last_pull_at),
        last_pull_seq = coalesce(n.pull_seq, d.last_pull_seq),
        last_served_seq = greatest(n.has_seq, d.last_served_seq)
    from n
    where d.scope_id = n.scope_id and d.source_id = n.source_id
    returning d.scope_id, d.source_id, n.seen_before,
        exists (
            select from {schema}._sync_conflict c
            where c.scope_id = d.scope_id and c.source_id = d.source_id and c.outcome is null
        ) or exists (
            select from {schema}._sync_rejected_write r
            where r.scope_id = d.scope_id and r.source_id = d.source_id and r.state = 'open'
        ),
        true;
end
$$
