-- What was written: bundles as they are served, the version of every row, and the effects of the transaction in flight.

-- One committed transaction of a scope. Pull reads it by (scope, sequence); a re-created push finds its own commit by
-- (scope, source, source's number).
create table {schema}._sync_bundle (
    scope_id text collate "C" not null,
    bundle_seq bigint not null,
    source_id text collate "C" not null,
    source_bundle_id bigint not null,
    row_count integer not null,
    -- Bytes of the bundle's bodies in _sync_bundle_rows with what joins them: what a pull page is measured and cut by.
    byte_count bigint not null,
    -- Lowercase hex SHA-256 (PROTOCOL.md section 3).
    bundle_hash text not null,
    -- As announced by the device; null for the server's own writers and where the profile has none.
    request_hash text,
    -- The schema version whose columns the rows carry.
    schema_version integer not null,
    -- The end user whose token pushed it, or null.
    user_id text,
    -- For server writers: the account or key that wrote, in words an administrator knows. Null for devices.
    written_by text,
    committed_at timestamptz not null,
    primary key (scope_id, bundle_seq),
    constraint bundle_once_per_source unique (scope_id, source_id, source_bundle_id)
)
-- next
-- The rows of a bundle in the form they are served in: JSON objects joined by a comma and a line feed, which occurs
-- nowhere inside them. Serving a page is copying bytes; cutting one is finding line feeds.
create table {schema}._sync_bundle_rows (
    scope_id text collate "C" not null,
    bundle_seq bigint not null,
    -- Ordinal of the segment's first row. Segments hold up to 500 rows, and fewer where rows are so big that these would
    -- have more than some 256 KiB, so that no reader has to hold much at once.
    first_ordinal integer not null,
    row_count integer not null,
    body text not null,
    -- Per row the version it had before (0: none), so a row's history is walked backwards without an index of its own.
    prior_versions bigint[] not null,
    primary key (scope_id, bundle_seq, first_ordinal)
)
-- next
-- lz4 costs a push a fraction of what PostgreSQL's own compression does. A server that was built without it keeps to that.
do $$
begin
    alter table {schema}._sync_bundle_rows alter column body set compression lz4;
exception when feature_not_supported then
    null;
end
$$
-- next
-- The version of every row that ever was. Tombstones stay: an INSERT over one must name its version.
create table {schema}._sync_row (
    scope_id text collate "C" not null,
    table_no integer not null,
    key text collate "C" not null,
    -- The bundle that last touched the row.
    row_version bigint not null,
    deleted boolean not null,
    primary key (scope_id, table_no, key)
) with (fillfactor = 85)
-- next
-- What the transaction in flight has done to synced rows so far, in order; sealing empties it before COMMIT, so no other
-- transaction ever sees a row here and a crash loses nothing.
create unlogged table {schema}._sync_effect (
    scope_id text collate "C" not null,
    effect_no bigint not null,
    table_no integer not null,
    key text collate "C" not null,
    -- I, U or D.
    op text not null,
    -- The full row after the effect as canonical JSON; null for D.
    payload text,
    -- The same as it enters the bundle hash where that differs (profile numbers); null otherwise.
    hash_payload text,
    primary key (scope_id, effect_no)
)
-- next
-- Scopes that plain SQL has written to in the transaction in flight and that COMMIT must seal.
create unlogged table {schema}._sync_pending (
    scope_id text collate "C" not null primary key
)
-- next
-- The number form of RFC 8785 (ECMAScript's Number::toString, which is also Go's for JSON) of a binary64. Capture calls it
-- only outside [1e-4, 1e15), where PostgreSQL's shortest form has another layout. Null for NaN and the infinities.
create function {schema}._sync_float_text(p_value double precision) returns text
language plpgsql immutable strict set search_path = pg_catalog as $$
declare
    v_text text := abs(p_value)::text;
    v_sign text := case when p_value < 0 then '-' else '' end;
    v_digits text;
    v_exponent integer;
    v_down text;
    v_up text;
begin
    if p_value = 0 then
        return '0';
    elsif p_value in ('NaN', 'Infinity', '-Infinity') then
        return null;
    elsif strpos(v_text, 'e') = 0 then
        return v_sign || v_text;
    end if;

    v_exponent := split_part(v_text, 'e', 2)::integer;
    v_digits := replace(split_part(v_text, 'e', 1), '.', '');
    -- PostgreSQL takes the shortest number strictly between the midpoints to the neighbours; a midpoint that reads back as
    -- the value may be shorter. From 2^53 on midpoints are integers and some have few digits; below all are too long.
    while abs(p_value) >= 9007199254740992 and length(v_digits) > 1 loop
        v_down := left(v_digits, -1);
        v_up := (v_down::numeric + 1)::text;
        if (v_down || 'e' || v_exponent - length(v_down) + 1)::double precision = abs(p_value) then
            v_digits := v_down;
        elsif (v_up || 'e' || v_exponent - length(v_down) + 1)::numeric <= 1.7976931348623157e308
                and (v_up || 'e' || v_exponent - length(v_down) + 1)::double precision = abs(p_value) then
            v_exponent := v_exponent + length(v_up) - length(v_down);
            v_digits := rtrim(v_up, '0');
        else
            exit;
        end if;
    end loop;
    v_text := left(v_digits, 1) || case when length(v_digits) > 1 then '.' || substr(v_digits, 2) else '' end;
    if v_exponent >= 21 or v_exponent < -6 then
        return v_sign || v_text || 'e' || case when v_exponent > 0 then '+' else '-' end || abs(v_exponent);
    elsif v_exponent < 0 then
        return v_sign || '0.' || repeat('0', -v_exponent - 1) || v_digits;
    elsif length(v_digits) <= v_exponent + 1 then
        return v_sign || rpad(v_digits, v_exponent + 1, '0');
    else
        return v_sign || left(v_digits, v_exponent + 1) || '.' || substr(v_digits, v_exponent + 2);
    end if;
end
$$
-- next
-- A text as the JSON string that enters bundle hashes.
create function {schema}._sync_hash_text(p_text text) returns text
language sql stable strict as $$ select {hash_text} $$
