-- From when on an end user's tokens count. A token is good until it expires, whoever holds it; a row here ends all that
-- were issued to one user of an app until an instant, minted by us or by the app's own server alike.
--
-- Read with the app by every node (`crate::directory`) and checked in memory, so a request costs no statement. At most some
-- thousands an app (`control::end_user_revocation`): whoever must end more than that replaces the app's signing secret.
-- A row stays until somebody lifts it: the app's own tokens may live for years.
create table platform.end_user_revocation (
    app_id uuid not null references platform.app on delete cascade,

    -- The user as tokens name them. `C`: compared as bytes, like everywhere.
    user_id text collate "C" not null check (char_length(user_id) between 1 and 255),

    -- Tokens whose `iat` is this or earlier are refused, and those that have none.
    revoked_at timestamptz not null,

    -- Serves the load of an app (all of its rows) and the page of a user (one).
    primary key (app_id, user_id)
);
