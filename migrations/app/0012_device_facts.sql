-- More facts about devices, so that every verdict has its cause (sync::device::verdict), and the ways the device list is
-- searched.

-- Requests that named the device and whose token was refused. Apart from `last_error_…`: a stranger who knows a scope and
-- a source can cause these, and must not write over what the device itself was refused. Null: there was none since the
-- device was let in last.
alter table {schema}._sync_device
    add column auth_failed_at timestamptz,
    add column auth_failed_since timestamptz,
    -- Which check of the token failed (auth::end_user::TokenFailure), and its particulars for people.
    add column auth_failed_check text,
    add column auth_failed_message text,
    add column auth_failed_count bigint not null default 0,
    -- The token bore the app's signature, so that it was the device's once. Otherwise anybody may have sent it.
    add column auth_failed_signed boolean not null default false,
    -- What the last refusal was about, so that conflicts on the same row are told from conflicts on one after another.
    add column last_error_subject text,
    -- Since when it reads a snapshot that it has not read to its end; null: it does not.
    add column snapshot_since timestamptz,
    -- It had an open stream when it was heard of at `last_watch_at`, which streams renew every few minutes. Null: it never
    -- had one.
    add column is_watching boolean,
    -- The last pull that is in the timeline: of those that bring something, one a minute is told.
    add column pull_event_at timestamptz
-- next
-- The devices that somebody should look at, newest first: few, so they are found and counted among any number.
create index device_in_trouble on {schema}._sync_device (last_seen_at desc, scope_id, source_id)
    where last_error_at is not null or auth_failed_at is not null or snapshot_since is not null
-- next
-- Devices whose source begins with a text, for the search. By scope the primary key serves.
create index device_by_source on {schema}._sync_device (source_id, scope_id)
-- next
-- Retired sources, to find their devices.
create index source_retired on {schema}._sync_source (scope_id, source_id) where state = 'retired'
