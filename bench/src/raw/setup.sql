drop schema if exists bench_raw cascade;
create schema bench_raw;
create table bench_raw.scope (
    scope_id text collate "C" not null primary key,
    bundle_seq bigint not null
) with (fillfactor = 70);
create table bench_raw.items (
    scope_id text collate "C" not null,
    id text collate "C" not null,
    title text not null,
    body text,
    amount bigint not null,
    ratio double precision,
    done boolean not null,
    primary key (scope_id, id)
);
create table bench_raw.history (
    scope_id text collate "C" not null,
    bundle_seq bigint not null,
    row_ordinal bigint not null,
    row text not null,
    primary key (scope_id, bundle_seq, row_ordinal)
);
create table bench_raw.row_state (
    scope_id text collate "C" not null,
    key text collate "C" not null,
    row_version bigint not null,
    deleted boolean not null,
    primary key (scope_id, key)
);
