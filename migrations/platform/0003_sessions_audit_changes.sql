-- Sign-ins, the record of who changed what, and how nodes learn of changes.

-- Browser sessions, in the form that tower-sessions keeps them.
create table platform.session (
    -- SHA-256 of the id in the cookie: who reads this table cannot take over a session.
    session_hash bytea primary key check (octet_length(session_hash) = 32),

    -- The signed-in account, null before sign-in. Lets a person list and end their sessions, and ends them with it.
    account_id uuid references platform.account on delete cascade,

    -- tower-sessions' key-value data: account, CSRF token, a message for the next page.
    data jsonb not null,

    created_at timestamptz not null,
    expires_at timestamptz not null
);

-- Serves listing and ending an account's sessions.
create index session_of_account on platform.session (account_id) where account_id is not null;

-- Serves the removal of expired sessions.
create index session_expiry on platform.session (expires_at);

-- The audit log: what was done to a tenant's things, by whom, when. Written in the transaction that does it.
-- It names its subject by text and not by foreign key, because it must outlive what it tells about; it goes with the
-- tenant only.
create table platform.audit (
    audit_id uuid primary key,
    tenant_id uuid not null references platform.tenant on delete cascade,
    at timestamptz not null,

    -- Who: the kind, the id (`acc_…`, `key_…`; null for the command line) and what people know them by (an e-mail
    -- address, a key's name), as it was then.
    actor_kind text not null check (actor_kind in ('account', 'api_key', 'command')),
    actor text,
    actor_label text not null,

    -- What: `app.created`, `api_key.revoked`, …; see `control::audit::Action`.
    action text not null,

    -- To what: an id (`app_…`, `key_…`, `acc_…`) and what it was called then.
    subject text not null,
    subject_label text not null,

    -- More facts for a reader. Never a secret, a password or a row of an app's data.
    detail jsonb not null
);

-- Serves the tenant's audit page, newest first, paged by id (UUIDv7 sorts by time).
create index audit_of_tenant on platform.audit (tenant_id, audit_id desc);

-- Append-only: an entry is never changed, and removed only together with its tenant.
create function platform.audit_is_append_only() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'UPDATE' or exists (select 1 from platform.tenant where tenant_id = old.tenant_id) then
        raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
    end if;
    return old;
end
$$;

create trigger audit_is_append_only
    before update or delete on platform.audit
    for each row execute function platform.audit_is_append_only();

-- How every node learns what it must forget. Whoever changes what a node may have cached of an app (its existence,
-- settings, published tables, keys, JWT secret) takes the next number here in the same transaction and says in
-- `change_log` which app it was. Nodes poll the number (one row, by primary key) a few times a second.
--
-- The row lock makes numbers visible in their order. An entry can be missing (it went with its app, or was pruned):
-- a node that finds fewer entries than numbers forgets everything.
create table platform.change (
    only_row boolean primary key default true check (only_row),
    number bigint not null
);

insert into platform.change (number) values (0);

create table platform.change_log (
    number bigint primary key,

    -- Null: it concerns every app.
    app_id uuid references platform.app on delete cascade,

    -- Serves pruning: entries are of no use after a minute.
    at timestamptz not null
);

-- Serves the cascade when an app goes.
create index change_log_of_app on platform.change_log (app_id);
