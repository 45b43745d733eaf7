-- Names that more than one statement needs.

-- The devices of a user: the first has a hundredth of all, the others' go around.
create function pg_temp.user_of(p_device bigint) returns bigint
language sql immutable as $$
    select case
        when p_device <= {devices} / 100 then 1
        else 2 + (p_device - {devices} / 100 - 1) % ({users} - 1)
    end
$$;
create function pg_temp.source(p_device bigint) returns text
language sql immutable as $$ select md5('device ' || p_device)::uuid::text $$;
-- The device that wrote a bundle.
create function pg_temp.source_of(p_user bigint, p_seq bigint) returns text
language sql immutable as $$
    select pg_temp.source(case
        when p_user = 1 then 1 + p_seq % greatest({devices} / 100, 1)
        else {devices} / 100 + p_user - 1 + (p_seq % greatest(({devices} - {devices} / 100) / ({users} - 1), 1)) * ({users} - 1)
    end)
$$;
-- An id of version 7: sorts by its time.
create function pg_temp.id_at(p_at timestamptz, p_salt text) returns uuid
language sql immutable as $$
    select (
        lpad(to_hex((extract(epoch from p_at) * 1000)::bigint), 12, '0') || '7' || substr(md5(p_salt), 1, 3)
            || '8' || substr(md5(p_salt), 4, 15)
    )::uuid
$$;
-- A row of the measured table as JSON.
create function pg_temp.item(p_number bigint, p_words text) returns text
language sql immutable as $$
    select json_build_object('amount', p_number, 'body', 'What ' || p_words || ' has.', 'done', false, 'id', 'item-' || p_number,
        'ratio', 0.25, 'title', 'Item, by ' || p_words)::text
$$;
-- A colleague's address, of this app's filling.
create function pg_temp.person(p_number bigint) returns text
language sql immutable as $$ select 'person-' || p_number || '-' || right('{schema}', 6) || '@example.com' $$;
