-- What a tenant syncs, how its end users prove who they are, and the keys of its servers.

-- An app. Everything that belongs to it is in the PostgreSQL schema `app_<32 hex of app_id>`, owned by a role of the
-- same name. The two are made and removed outside this row's transactions, so `state` says how far that got:
--   creating  the row exists, schema and role perhaps; creation may be started again and goes on where it stopped
--   ready     in use
--   deleting  nobody can reach it any more; removal of schema and role may be started again; the row goes last
create table platform.app (
    app_id uuid primary key,
    tenant_id uuid not null references platform.tenant on delete cascade,

    -- Second part of the sync URL. Same form as a tenant's; never changes.
    slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$'),

    name text not null check (char_length(name) between 1 and 100),

    state text not null check (state in ('creating', 'ready', 'deleting')),

    -- Which of the two forms of the wire protocol the app's clients speak (PROTOCOL.md). Chosen once: the stored
    -- history is in this form.
    wire_profile text not null check (wire_profile in ('strings', 'numbers')),

    -- The name that devices use for the app's schema in rows (`"schema": "main"`). Not a PostgreSQL schema.
    logical_schema text not null check (logical_schema ~ '^[A-Za-z_][A-Za-z0-9_]{0,62}$'),

    -- The latest published version of the app's tables, 0 before the first. A copy for lists: the app's own schema is
    -- what counts.
    schema_version integer not null default 0 check (schema_version >= 0),

    -- When a publication of tables began that has not been recorded here yet, else null. While it is set, nodes do not
    -- cache the app's catalog, so that a node that dies half-way cannot leave others with an old one.
    publishing_since timestamptz,

    -- How much history the app keeps; null: what the server's configuration says.
    retention_min_bundles bigint check (retention_min_bundles >= 0),
    retention_max_age_days integer check (retention_max_age_days >= 1),

    created_at timestamptz not null,
    created_by uuid references platform.account on delete set null,

    -- Serves the directory (tenant slug, app slug) and the list of a tenant's apps, which is read in this order.
    constraint app_slug_taken unique (tenant_id, slug)
);

-- How an app's end users authenticate: one row an app, made with it.
--
-- Secrets are here as they are, not hashed, because HS256 needs them to check a signature.
create table platform.app_end_user_auth (
    app_id uuid primary key references platform.app on delete cascade,

    -- Signs the tokens that `POST …/auth/token` mints. 32 random bytes; the key id goes into the token's `kid`.
    mint_secret bytea not null check (octet_length(mint_secret) = 32),
    mint_key_id text not null,

    -- The app's own HS256 secret: tokens signed with it by the app's own server are accepted. Null: not used.
    jwt_secret text check (char_length(jwt_secret) between 16 and 1024),

    -- What `iss` and `aud` of the app's own tokens must be; null: not checked.
    jwt_issuer text check (char_length(jwt_issuer) between 1 and 500),
    jwt_audience text check (char_length(jwt_audience) between 1 and 500),

    -- How far the clocks of the app's server and ours may differ when `exp` and `nbf` are checked.
    clock_skew_seconds integer not null default 30 check (clock_skew_seconds between 0 and 600),

    -- Which claims of the app's own tokens name the user and, if set, the scope (else the user is the scope).
    user_claim text not null default 'sub' check (char_length(user_claim) between 1 and 100),
    scope_claim text check (char_length(scope_claim) between 1 and 100)
);

-- API keys of an app.
--   publishable  may be shipped inside an app; may only do what a stranger may
--   secret       for the tenant's own servers: mints end-user tokens, writes, manages
-- The plain text is shown once, when the key is made. A revoked or expired key keeps its row, so that its last use can
-- still be seen; rows go with the app.
create table platform.api_key (
    api_key_id uuid primary key,
    app_id uuid not null references platform.app on delete cascade,
    kind text not null check (kind in ('publishable', 'secret')),

    -- What the person called it.
    name text not null check (char_length(name) between 1 and 100),

    -- SHA-256 of the whole plain text. Keys are 256 random bits, so a fast hash is enough.
    token_hash bytea not null check (octet_length(token_hash) = 32),

    -- The beginning of the plain text (`sk_live_Ab3d`), by which people recognise a key in a list.
    token_prefix text not null,

    -- What a secret key may do, for instance `tokens`; see `control::api_keys::KeyScope`.
    scopes text[] not null,

    -- Null: never expires, not revoked, not used yet. `last_used_at` is written in batches and lags by seconds.
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,

    created_at timestamptz not null,
    created_by uuid references platform.account on delete set null,

    -- Serves authentication.
    constraint api_key_token unique (token_hash)
);

-- Serves the list of an app's keys, newest first.
create index api_key_of_app on platform.api_key (app_id, api_key_id desc);
