-- What happened in an app, added up over steps of time: what the overview draws, so that it never reads history.

-- Two histograms added bucket by bucket. The shorter one has zeros where it ends.
create function {schema}._sync_added(p_one bigint[], p_other bigint[]) returns bigint[]
language sql immutable parallel safe
as $$
    select coalesce(
        array_agg(coalesce(u.one, 0) + coalesce(u.other, 0) order by u.place),
        array[]::bigint[]
    )
    from unnest(p_one, p_other) with ordinality as u (one, other, place)
$$
-- next
-- One step of time. Every node adds what it has counted in memory since it last did (sync/rollup); nothing is ever
-- computed from bundles or ledgers, and an app where nothing happens has no rows. A minute is kept for three hours, an
-- hour for three days, a quarter of a day for fifteen days, a day for 400 days; the coarser ones are made from the
-- minutes in memory, so they are there at once and no job has to make them.
create table {schema}._sync_rollup (
    -- How long the step is, in seconds: 60, 3600, 21600 or 86400.
    step integer not null,
    -- When it began, in UTC.
    at timestamptz not null,
    -- Bundles and their rows, by devices and by the server's writers. Plain SQL's are not counted.
    commits bigint not null,
    rows_pushed bigint not null,
    -- Answered pulls, and the rows that went out with them and with snapshots.
    pulls bigint not null,
    rows_served bigint not null,
    -- Rows that lost against the server's and entered the ledger.
    conflicts bigint not null,
    -- Requests of devices that were answered with an error, conflicts apart.
    refusals bigint not null,
    -- Devices whose first request in this step it was: each counts once a step, whichever nodes it speaks to.
    active_devices bigint not null,
    -- How long answers of commit and pull took: how many fell into each bucket (sync/rollup/histogram.rs), without the
    -- zeros at the end.
    commit_latency bigint[] not null,
    pull_latency bigint[] not null,
    -- Serves the charts (one step, from a time on) and the pruning.
    primary key (step, at)
) with (fillfactor = 60)
-- next
-- Devices whose last request of some kind was refused: who needs a look, the latest first.
create index device_refused on {schema}._sync_device (last_error_at desc) where last_error_at is not null
