-- Snapshots (PROTOCOL.md section 5): every live row of a scope, frozen at one bundle, built once and shared by every device
-- that asks at that bundle. Unlogged: after a crash a session is unknown and its device starts over.

-- A built snapshot. Inserted in the transaction that fills its pages, so whoever sees it sees all of it.
create unlogged table {schema}._sync_snapshot (
    scope_id text collate "C" not null,
    -- Names its pages: an old snapshot's pages are removed while a new one of the same bundle may be built.
    build_id uuid not null,
    bundle_seq bigint not null,
    schema_version integer not null,
    row_count bigint not null,
    -- Sum of the rows' bytes as sent; the wire's byte_count.
    byte_count bigint not null,
    created_at timestamptz not null,
    -- Later than that of every session that reads it; past it the pages may go.
    expires_at timestamptz not null,
    -- No session may begin on it any more: its pages are being removed, batch by batch, and then it.
    is_ending boolean not null,
    primary key (scope_id, build_id)
)
-- next
-- What a new session looks for, and what makes two nodes that build the same at once end with one.
create unique index snapshot_in_use on {schema}._sync_snapshot (scope_id, bundle_seq, schema_version) where not is_ending
-- next
-- Rows as they are sent, joined by a comma and a line feed, some 256 KiB of them: JSON text holds no line feed, so a chunk
-- of any size is cut from pages by finding them, and a page that fits is copied as it is.
create unlogged table {schema}._sync_snapshot_page (
    scope_id text collate "C" not null,
    build_id uuid not null,
    first_ordinal bigint not null,
    row_count integer not null,
    -- Sum of the rows' bytes, without what joins them.
    byte_count bigint not null,
    rows text not null,
    primary key (scope_id, build_id, first_ordinal)
)
-- next
-- PostgreSQL's own compression would take longer than all else about a page; lz4 is for nothing. Where the server was
-- built without it, pages are not compressed.
do $$
begin
    alter table {schema}._sync_snapshot_page alter column rows set compression lz4;
exception when feature_not_supported then
    alter table {schema}._sync_snapshot_page alter column rows set storage external;
end
$$
-- next
-- One device's reading of a snapshot. Kept for a while after its end, so that it is told from one that never was.
create unlogged table {schema}._sync_snapshot_session (
    scope_id text collate "C" not null,
    snapshot_id uuid not null,
    source_id text collate "C" not null,
    build_id uuid not null,
    bundle_seq bigint not null,
    -- Of the whole snapshot.
    row_count bigint not null,
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
-- next
-- A source rotation, asked for with a snapshot: retire `p_previous` and reserve `p_new`, under the scope's lock, which
-- commits of either wait for. Outcomes: ok (also when this very rotation was made before), source_retired (the previous
-- one went on as another, which is told), invalid (the new one is taken).
create function {schema}._sync_source_replace(
    p_scope text, p_previous text, p_new text, p_reason text, p_now timestamptz
) returns table (outcome text, replaced_by_source_id text)
language plpgsql set search_path = pg_catalog as $$
#variable_conflict use_column
declare
    v_previous {schema}._sync_source;
    v_new {schema}._sync_source;
    v_was_retired boolean;
begin
    perform from {schema}._sync_scope s where s.scope_id = p_scope for update;
    select * into v_previous from {schema}._sync_source s where s.scope_id = p_scope and s.source_id = p_previous;
    select * into v_new from {schema}._sync_source s where s.scope_id = p_scope and s.source_id = p_new;
    v_was_retired := coalesce(v_previous.state = 'retired', false);

    if v_was_retired and v_previous.replaced_by_source_id is distinct from p_new then
        return query select 'source_retired', v_previous.replaced_by_source_id;
        return;
    elsif v_new.source_id is not null and (not v_was_retired or v_new.state = 'retired') then
        return query select 'invalid', null::text;
        return;
    end if;

    insert into {schema}._sync_source (scope_id, source_id, state, replaces_source_id, created_at)
    values (p_scope, p_new, 'reserved', p_previous, p_now)
    on conflict (scope_id, source_id) do nothing;
    if not v_was_retired then
        insert into {schema}._sync_source (
            scope_id, source_id, state, replaced_by_source_id, retired_reason, retired_at, created_at
        )
        values (p_scope, p_previous, 'retired', p_new, p_reason, p_now, p_now)
        on conflict (scope_id, source_id) do update
        set state = 'retired', replaced_by_source_id = p_new, retired_reason = p_reason, retired_at = p_now;
    end if;
    return query select 'ok', null::text;
end
$$
