-- Snapshots (PROTOCOL.md section 5): every live row of a scope, frozen at one bundle, built once and shared by every device
-- that asks at that bundle. Unlogged: after a crash a session is unknown and its device starts over.

-- A built snapshot. Inserted in the transaction that fills its pages, so whoever sees it sees all of it.
create unlogged table {schema}._sync_snapshot (
    scope_id text collate "C" not null,
    bundle_seq bigint not null,
    schema_version integer not null,
    row_count bigint not null,
    -- Sum of the rows' bytes as sent; the wire's byte_count.
    byte_count bigint not null,
    created_at timestamptz not null,
    -- Later than that of every session that reads it; past it the pages may go.
    expires_at timestamptz not null,
    primary key (scope_id, bundle_seq, schema_version)
)
-- next
-- Rows as they are sent, joined by a line feed, some 256 KiB of them: JSON text holds no line feed, so a chunk of any size
-- is cut from pages by finding them.
create unlogged table {schema}._sync_snapshot_page (
    scope_id text collate "C" not null,
    bundle_seq bigint not null,
    schema_version integer not null,
    first_ordinal bigint not null,
    row_count integer not null,
    rows text not null,
    primary key (scope_id, bundle_seq, schema_version, first_ordinal)
)
-- next
alter table {schema}._sync_snapshot_page alter column rows set storage external
-- next
-- One device's reading of a snapshot.
create unlogged table {schema}._sync_snapshot_session (
    scope_id text collate "C" not null,
    snapshot_id uuid not null,
    source_id text collate "C" not null,
    bundle_seq bigint not null,
    schema_version integer not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (scope_id, snapshot_id),
    -- A session of another scope must be told from one that does not exist.
    constraint snapshot_id_unique unique (snapshot_id)
)
-- next
-- Which snapshots may go: those past their time.
create index snapshot_by_expiry on {schema}._sync_snapshot (expires_at)
-- next
create index snapshot_session_by_expiry on {schema}._sync_snapshot_session (expires_at)
