-- Scopes of apps that are to be erased: by a person who said so, or because a simulation left them behind.
--
-- Erasing takes as long as the scope has rows, so it is written down here first and done by whoever comes: the node that
-- was asked, at once, or any other that finds it due, which is also how an interrupted one is resumed. The row goes when
-- nothing is left to do.
create table platform.erasure (
    app_id uuid not null references platform.app on delete cascade,
    scope_id text collate "C" not null,

    -- user        a person asked for it; the scope's number stays behind, so that devices that come back start over
    -- simulation  what a simulation made, up to its last trace
    kind text not null check (kind in ('user', 'simulation')),

    -- Who asked, in words an administrator knows.
    requested_by text not null,
    requested_at timestamptz not null,

    -- When to do it, or look again. Whoever begins moves it forward, so that nobody else begins meanwhile.
    due_at timestamptz not null,

    -- Set when everything was erased for the first time. Some seconds later it is looked again for what requests that
    -- were under way have left behind, and then the row goes.
    erased_at timestamptz,

    primary key (app_id, scope_id)
);

-- Serves the job that looks for what is due.
create index erasure_by_due on platform.erasure (due_at);

-- One simulation an app, over all nodes.
create unique index one_simulation_an_app on platform.erasure (app_id) where kind = 'simulation' and erased_at is null;
