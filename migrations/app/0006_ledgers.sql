-- What happened to writes and devices: what the dashboard tells people. Written beside the protocol, never inside a
-- device's transaction: a failure here fails no push.

-- What the server knows of a device, gathered in memory and written in batches. Unknown until it first calls.
create table {schema}._sync_device (
    scope_id text collate "C" not null,
    source_id text collate "C" not null,
    user_id text,
    -- The client library and its version as its User-Agent tells, shortened.
    client text,
    address text,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    last_push_at timestamptz,
    last_push_seq bigint,
    last_pull_at timestamptz,
    -- The checkpoint the device named last: what it surely has.
    last_pull_seq bigint,
    -- The last bundle that was sent to it (pulled, its own commit right after it, or a snapshot read to its end): what it
    -- has unless the answer was lost.
    last_served_seq bigint,
    last_snapshot_at timestamptz,
    last_watch_at timestamptz,
    -- The latest refusal of any request, cleared when the same kind of request succeeds.
    last_error_at timestamptz,
    last_error_verb text,
    last_error_code text,
    last_error_message text,
    -- Refusals in a row.
    error_count bigint not null default 0,
    error_since timestamptz,
    primary key (scope_id, source_id)
) with (fillfactor = 70)
-- next
-- Devices by when they last called, newest first: the device list.
create index device_by_last_seen on {schema}._sync_device (last_seen_at desc, scope_id, source_id)
-- next
-- A device's latest requests that tell something (a commit, a refusal, a snapshot): its timeline, bounded per device.
create table {schema}._sync_device_event (
    scope_id text collate "C" not null,
    source_id text collate "C" not null,
    event_id uuid not null,
    at timestamptz not null,
    verb text not null,
    status integer not null,
    -- Null when it succeeded.
    code text,
    message text,
    -- The bundle concerned, where there is one.
    bundle_seq bigint,
    primary key (scope_id, source_id, event_id)
)
-- next
-- A row of a push that lost against the server's row. Kept once per distinct meeting: a device that asks again raises
-- `attempts` and `last_at`.
create table {schema}._sync_conflict (
    scope_id text collate "C" not null,
    conflict_id uuid not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    attempts bigint not null default 1,
    source_id text collate "C" not null,
    user_id text,
    source_bundle_id bigint not null,
    table_no integer not null,
    key text collate "C" not null,
    -- What the device wanted: INSERT, UPDATE or DELETE, and the row it sent.
    op text not null,
    client_payload text,
    -- What it had started from, and what the server had: row versions are bundle numbers.
    base_row_version bigint not null,
    base_payload text,
    server_row_version bigint not null,
    server_row_deleted boolean not null,
    server_payload text,
    -- Who wrote the server's version.
    server_source_id text,
    -- Null while open; kept_local, accepted_server, merged or gave_up once it is known how it ended.
    outcome text check (outcome in ('kept_local', 'accepted_server', 'merged', 'gave_up')),
    settled_seq bigint,
    settled_at timestamptz,
    primary key (scope_id, conflict_id),
    constraint conflict_once_per_meeting unique (
        scope_id, source_id, source_bundle_id, table_no, key, base_row_version, server_row_version
    )
)
-- next
-- The conflict list, newest first, across scopes.
create index conflict_by_time on {schema}._sync_conflict (first_at desc, conflict_id desc)
-- next
-- What is still open of a device: settled by its next push or pull.
create index conflict_open on {schema}._sync_conflict (scope_id, source_id) where outcome is null
-- next
-- A push refused for another reason than a conflict, once per distinct failure: it also blocks the device's downloads, so
-- somebody has to know.
create table {schema}._sync_rejected_write (
    scope_id text collate "C" not null,
    rejected_id uuid not null,
    -- SHA-256 over source, code, table, constraint, column and key: what makes two failures the same.
    fingerprint text not null,
    source_id text collate "C" not null,
    user_id text,
    source_bundle_id bigint,
    code text not null,
    message text not null,
    table_name text,
    constraint_name text,
    column_name text,
    row_count bigint not null,
    -- The refused rows as sent, up to a bound, as a JSON array.
    rows text not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    attempts bigint not null default 1,
    state text not null check (state in ('open', 'resolved', 'ignored')),
    state_at timestamptz,
    primary key (scope_id, rejected_id),
    constraint rejected_once_per_failure unique (scope_id, fingerprint)
)
-- next
-- The inbox, latest failure first, across scopes.
create index rejected_by_time on {schema}._sync_rejected_write (last_at desc, rejected_id desc)
