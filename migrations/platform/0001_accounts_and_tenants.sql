-- Who people are and what they belong to.
--
-- Schema `platform` is the control plane: accounts, tenants, apps, keys, sessions, audit. It never holds a row of an
-- app's data: that lives in the app's own schema (`app_<id>`, see migrations/app), which may be on another database.
-- No statement joins the two and no transaction spans them.
--
-- Conventions: ids are UUIDv7 made by the server (shown as `acc_…`, `ten_…`, `app_…`, `key_…`, `aud_…`), every
-- instant is a `timestamptz` bound by the server (never `now()`, so that tests can move the clock), every constraint
-- that a user can run into has a name that the code matches.

create schema if not exists platform;

-- An account: a person who signs in to the dashboard. What it may see follows from its memberships alone.
create table platform.account (
    account_id uuid primary key,

    -- The address as the person typed it, for display and for mail.
    email text not null check (char_length(email) between 3 and 254),

    -- The address in lower case (Unicode, done by the server, so that it does not depend on the database's locale).
    -- Its unique index serves sign-in and refuses a second account.
    email_key text not null,

    -- PHC string: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. The parameters are in it, so they can be raised later.
    password_hash text not null,

    created_at timestamptz not null,

    constraint account_email_taken unique (email_key)
);

-- A tenant: an organisation. Its slug is the first part of every sync URL (`/t/{tenant}/{app}`), so it never changes.
create table platform.tenant (
    tenant_id uuid primary key,

    -- 3 to 40 of `a-z0-9-`, not beginning or ending with a dash. The unique index serves every URL.
    slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$'),

    -- What people call it: any text.
    name text not null check (char_length(name) between 1 and 100),

    created_at timestamptz not null,

    constraint tenant_slug_taken unique (slug)
);

-- Which accounts belong to which tenant, and what each may do there.
--   owner      everything, also removing other owners
--   admin      members, settings, deleting apps
--   developer  apps, schemas, keys
--   viewer     looks, changes nothing
-- A tenant always has an owner: the code that removes or demotes one locks the tenant's row first and counts.
create table platform.member (
    tenant_id uuid not null references platform.tenant on delete cascade,
    account_id uuid not null references platform.account on delete cascade,
    role text not null check (role in ('owner', 'admin', 'developer', 'viewer')),
    created_at timestamptz not null,

    -- Serves the check on every page of a tenant.
    primary key (tenant_id, account_id)
);

-- Serves "the tenants of this account" on the first page after sign-in.
create index member_of_account on platform.member (account_id, tenant_id);
