-- People: invitations, a second factor, what a session was last seen doing, what happened to an account; and an audit
-- log that says from where and about which app, and can be searched.

-- From where, and about which app.
alter table platform.audit
    -- The client's address as the server saw it (`203.0.113.9`, `2001:db8::7`); with `http.behind_proxy`, as the proxy
    -- saw it. Null: the command line, the server by itself, or an entry from before this was written down.
    add column address text check (char_length(address) between 2 and 45),

    -- The app that the action was about (`app_…`), null when it was about the tenant as a whole. Text, like `subject`:
    -- the entry outlives the app.
    add column app text check (char_length(app) between 1 and 50),

    -- What the app was called then.
    add column app_label text;

-- The log is read newest first, paged by (at, audit_id), whole or by one of three filters; each index serves one. A time
-- is a bound on the same order. Together they replace the index that paged by id alone.
create index audit_by_time on platform.audit (tenant_id, at desc, audit_id desc);
create index audit_by_app on platform.audit (tenant_id, app, at desc, audit_id desc) where app is not null;
create index audit_by_action on platform.audit (tenant_id, action, at desc, audit_id desc);
create index audit_by_actor on platform.audit (tenant_id, lower(actor_label), at desc, audit_id desc);
drop index platform.audit_of_tenant;

-- An invitation: a link that makes whoever opens it, signed in or signed up, a member of the tenant in that role. It is
-- good once, until it expires or is revoked, and only while the one who made it is a member who may give that role. Rows
-- stay for a while as the answer to "why does my link not work"; a job removes them thirty days after their end.
create table platform.invitation (
    invitation_id uuid primary key,
    tenant_id uuid not null references platform.tenant on delete cascade,
    role text not null check (role in ('owner', 'admin', 'developer', 'viewer')),

    -- Whom it is meant for, as the inviter typed it: a reminder in the list and on the page that accepts. It is not
    -- checked: the link is the credential.
    note text check (char_length(note) between 1 and 254),

    -- SHA-256 of the link's secret part: 256 random bits, shown once.
    token_hash bytea not null check (octet_length(token_hash) = 32),

    created_at timestamptz not null,
    created_by uuid not null references platform.account on delete cascade,
    expires_at timestamptz not null,

    -- At most one of these is set, and then the invitation has come to its end.
    revoked_at timestamptz,
    accepted_at timestamptz,
    accepted_by uuid references platform.account on delete set null,

    -- Serves opening the link.
    constraint invitation_token unique (token_hash),
    constraint invitation_one_end check (revoked_at is null or accepted_at is null)
);

-- Serves the list of a tenant's pending invitations.
create index invitation_of_tenant on platform.invitation (tenant_id, invitation_id desc)
    where revoked_at is null and accepted_at is null;
-- Serves the removal with a tenant, revoking what a member made who may no longer, the removal with an account, and old
-- rows.
create index invitation_in_tenant on platform.invitation (tenant_id);
create index invitation_by_maker on platform.invitation (created_by, tenant_id);
create index invitation_accepted_by on platform.invitation (accepted_by) where accepted_by is not null;
create index invitation_expiry on platform.invitation (expires_at);

-- What a person sees in the list of their sessions. Written in batches, so it lags by seconds; null until then.
alter table platform.session
    add column last_seen_at timestamptz,
    add column last_address text check (char_length(last_address) between 2 and 45),
    -- The beginning of the browser's `User-Agent`.
    add column user_agent text check (char_length(user_agent) <= 300);

-- An account's second factor: a time-based one-time password (RFC 6238: SHA-1, six digits, thirty seconds).
create table platform.totp (
    account_id uuid primary key references platform.account on delete cascade,

    -- The shared secret. It is here as it is, because codes are computed from it; it is shown while the factor is being
    -- set up and never again.
    secret bytea not null check (octet_length(secret) = 20),

    created_at timestamptz not null,

    -- When a first code proved that the person's device has the secret. Null: being set up, not asked for at sign-in.
    confirmed_at timestamptz,

    -- The time step (seconds since 1970 / 30) of the last code that was accepted. Only later ones are: a code that
    -- somebody looked at over a shoulder is worth nothing.
    last_step bigint not null default 0
);

-- Codes that stand in for a lost second factor: each good once. Made ten at a time; new ones replace the old.
create table platform.recovery_code (
    account_id uuid not null references platform.account on delete cascade,

    -- SHA-256 of the code: 80 random bits, tried at most a few times a minute.
    code_hash bytea not null check (octet_length(code_hash) = 32),

    -- Null: still good.
    used_at timestamptz,

    primary key (account_id, code_hash)
);

-- What happened to an account's security, for its owner: sign-ins, refused second factors, changes. The newest hundred
-- are kept.
create table platform.security_event (
    event_id uuid primary key,
    account_id uuid not null references platform.account on delete cascade,
    at timestamptz not null,

    -- `signed_in`, `password_changed`, …; see `control::security_events::SecurityEventKind`.
    kind text not null,

    address text check (char_length(address) between 2 and 45),
    user_agent text check (char_length(user_agent) <= 300)
);

-- Serves the list on the account's page, and finding what is beyond the newest hundred.
create index security_event_of_account on platform.security_event (account_id, at desc, event_id desc);

-- People can delete their accounts: these serve the columns that say who made something, which are emptied then.
create index app_created_by on platform.app (created_by) where created_by is not null;
create index api_key_created_by on platform.api_key (created_by) where created_by is not null;
