-- The tenant's people, and an audit log of a busy year.
insert into platform.account (account_id, email, email_key, password_hash, created_at)
select pg_temp.id_at(now() - make_interval(hours => n), 'account {schema}' || n), pg_temp.person(n),
    pg_temp.person(n), '$argon2id$', now() - make_interval(hours => n)
from generate_series(1, 2000) n;

insert into platform.member (tenant_id, account_id, role, created_at)
select '{tenant}', a.account_id, (array['admin', 'developer', 'viewer', 'viewer'])[1 + n % 4], a.created_at
from generate_series(1, 2000) n
join platform.account a on a.email_key = pg_temp.person(n);

insert into platform.audit (
    audit_id, tenant_id, at, actor_kind, actor, actor_label, action, subject, subject_label, detail, address, app, app_label
)
select pg_temp.id_at(e.at, 'audit {schema}' || e.n), '{tenant}', e.at, 'account', 'acc_' || md5('actor ' || e.n % 50),
    pg_temp.person(1 + e.n % 50),
    (array['rows.written', 'api_key.issued', 'api_key.revoked', 'member.role_changed', 'app.settings_changed'])[1 + e.n % 5],
    '{schema}', 'An app', jsonb_build_object('table', '{table}', 'keys', e.n % 90), '203.0.113.9',
    '{schema}', 'An app'
from (select n, now() - make_interval(mins => n * 6) as at from generate_series(1, 100000) n) e
order by e.at;
