-- Who syncs: scopes, the sources that write to them, and the tables that take part.

-- Which files of migrations/app this schema has had.
create table {schema}._sync_migration (
    version integer primary key,
    applied_at timestamptz not null
)
-- next
-- One replicated data set. Its row is the scope's lock: whoever numbers a bundle holds it, and nothing else is locked, so
-- scopes never wait for each other. Updated by every commit, hence the room left on its pages.
create table {schema}._sync_scope (
    scope_id text collate "C" not null primary key,
    -- An `initializing` scope whose lease has expired counts as uninitialized.
    state text not null check (state in ('uninitialized', 'initializing', 'initialized')),
    -- The latest committed bundle; 0 before the first. Gapless.
    bundle_seq bigint not null default 0,
    -- Bundles at or below are pruned; 0 when none is.
    floor_seq bigint not null default 0,
    -- The lease that lets exactly one source fill an empty scope. All null unless initializing.
    lease_id uuid,
    lease_source_id text collate "C",
    lease_expires_at timestamptz,
    created_at timestamptz not null,
    last_commit_at timestamptz,
    -- The latest bundle is never pruned: a device whose checkpoint it is would be told to rebuild, for ever.
    constraint scope_floor_within_history check (floor_seq = 0 or floor_seq between 1 and bundle_seq - 1)
) with (fillfactor = 70)
-- next
-- A writer identity. Made by its first commit, by a rotation (reserved), or by a server writer. Never deleted: the number
-- of its last bundle is what makes a retry apply once.
create table {schema}._sync_source (
    scope_id text collate "C" not null,
    source_id text collate "C" not null,
    -- reserved: named by a rotation, has not pushed yet. retired: may never push again.
    state text not null check (state in ('active', 'reserved', 'retired')),
    -- The last committed source_bundle_id; the next push must carry one more.
    source_bundle_id bigint not null default 0,
    replaces_source_id text collate "C",
    replaced_by_source_id text collate "C",
    retired_reason text,
    retired_at timestamptz,
    created_at timestamptz not null,
    primary key (scope_id, source_id)
) with (fillfactor = 70)
-- next
-- The published schema versions, newest last. `spec` is tables::spec::AppSpec, `ddl` the text as submitted.
create table {schema}._sync_schema_version (
    version integer primary key,
    ddl text not null,
    spec jsonb not null,
    published_at timestamptz not null,
    published_by text not null
)
-- next
-- The synced tables. `table_no` is for life; the heads are fragments of JSON that sealing puts around keys, so that no
-- name is quoted twice.
create table {schema}._sync_table (
    table_no integer primary key,
    table_name text not null unique,
    -- The schema version that brought the table.
    since_version integer not null,
    -- {"schema":"business","table":"notes","key":{"id":
    row_head text not null,
    -- {"key":{"id":
    hash_head text not null,
    -- ,"schema":"business","table":"notes"}
    hash_tail text not null
)
-- next
-- POST sync/connect: decide who may fill an empty scope (PROTOCOL.md section 2), under the scope's lock. An initialized
-- scope, which is nearly every call, is answered without taking it.
create function {schema}._sync_connect(
    p_scope text, p_source text, p_pending boolean, p_lease_id uuid, p_now timestamptz, p_lease interval
) returns table (resolution text, initialization_id uuid, lease_expires_at timestamptz)
language plpgsql set search_path = pg_catalog as $$
#variable_conflict use_column
declare
    v_scope {schema}._sync_scope;
begin
    if exists (select from {schema}._sync_scope s where s.scope_id = p_scope and s.state = 'initialized') then
        return query select 'remote_authoritative', null::uuid, null::timestamptz;
        return;
    end if;

    insert into {schema}._sync_scope (scope_id, state, created_at)
    values (p_scope, 'uninitialized', p_now)
    on conflict (scope_id) do nothing;
    select * into v_scope from {schema}._sync_scope s where s.scope_id = p_scope for update;

    if v_scope.state = 'initialized' then
        return query select 'remote_authoritative', null::uuid, null::timestamptz;
    elsif v_scope.state = 'initializing' and v_scope.lease_expires_at > p_now
            and v_scope.lease_source_id <> p_source then
        return query select 'retry_later', null::uuid, v_scope.lease_expires_at;
    elsif p_pending then
        -- The same source keeps its id while its lease lives, so a repeated connect disturbs no push under way.
        update {schema}._sync_scope s
        set state = 'initializing',
            lease_id = case
                when v_scope.state = 'initializing' and v_scope.lease_expires_at > p_now then v_scope.lease_id
                else p_lease_id
            end,
            lease_source_id = p_source,
            lease_expires_at = p_now + p_lease
        where s.scope_id = p_scope;
        return query
            select 'initialize_local', s.lease_id, s.lease_expires_at
            from {schema}._sync_scope s
            where s.scope_id = p_scope;
    else
        update {schema}._sync_scope s
        set state = 'initialized', lease_id = null, lease_source_id = null, lease_expires_at = null
        where s.scope_id = p_scope;
        return query select 'initialize_empty', null::uuid, null::timestamptz;
    end if;
end
$$
