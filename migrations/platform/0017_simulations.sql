-- What a two-device simulation has shown so far: read by its page, on any node, and gone with the simulation.
create table platform.simulation (
    -- One an app; the scope is in platform.erasure from the moment it begins.
    app_id uuid primary key references platform.app on delete cascade,
    scope_id text collate "C" not null,

    started_by text not null,
    started_at timestamptz not null,

    -- running  its node writes the next step within seconds
    -- done     it has come to its end, or told why it cannot
    state text not null check (state in ('running', 'done')),

    -- The steps: `simulator::story::Story`.
    story jsonb not null,

    -- Of the latest step: a `running` one that is silent for a minute has lost its node.
    told_at timestamptz not null
);
