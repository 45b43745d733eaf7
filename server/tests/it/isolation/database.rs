//! The wall in the database: the role of an app reaches nothing but the app's schema.

use sqlx::{AssertSqlSafe, PgPool};

use super::Neighbours;

/// What PostgreSQL says to a statement run as an app's role: its SQLSTATE, or `ok`.
async fn as_role(pool: &PgPool, role: &str, sql: &str) -> String {
    let mut tx = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("set local role {role}"))).execute(&mut *tx).await.unwrap();
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await {
        Ok(_) => "ok".to_owned(),
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        Err(error) => panic!("{sql}: {error}"),
    }
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn an_apps_role_reaches_nothing_but_its_own_schema() {
    let neighbours = Neighbours::new().await;
    let pool = neighbours.server.pool().await;
    let own = neighbours.notes.app.app_id.schema();
    let role = own.as_str();
    assert_eq!(as_role(&pool, role, &format!("select * from {own}.notes")).await, "ok");
    for other in [neighbours.tasks.app.app_id.schema(), neighbours.foreign.app.app_id.schema()] {
        for sql in [
            format!("select * from {other}.notes"),
            format!("select * from {other}._sync_bundle_rows"),
            format!("insert into {other}.folders values ('s', 'f', 't')"),
            format!("update {other}._sync_scope set bundle_seq = 0"),
            format!("delete from {other}.users"),
            format!("truncate {other}.users"),
            format!("drop table {other}.users"),
            format!("create table {other}.mine (a int)"),
            format!("drop schema {other} cascade"),
            format!("select {other}._sync_hash_text('x')"),
            format!("grant {other} to {role}"),
        ] {
            assert_eq!(as_role(&pool, role, &sql).await, INSUFFICIENT_PRIVILEGE, "{sql}");
        }
    }
    for sql in [
        "select * from platform.account",
        "select * from platform.api_key",
        "select * from platform.app_end_user_auth",
        "select * from platform.session",
        "insert into platform.change (number) values (1)",
        "delete from platform.tenant",
        "create table platform.mine (a int)",
        "create table public.mine (a int)",
        "create schema mine",
        "create role mine",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "alter role current_user superuser",
    ] {
        assert_eq!(as_role(&pool, role, sql).await, INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

#[tokio::test]
async fn every_app_has_a_role_of_its_own_that_cannot_log_in() {
    let neighbours = Neighbours::new().await;
    let pool = neighbours.server.pool().await;
    for app in [&neighbours.notes, &neighbours.tasks, &neighbours.foreign] {
        let schema = app.app.app_id.schema();
        let facts: (bool, bool, bool, bool, String, i64) = sqlx::query_as(
            "select r.rolcanlogin, r.rolsuper, r.rolcreaterole, r.rolbypassrls,
                 (select pg_get_userbyid(n.nspowner)::text from pg_namespace n where n.nspname = r.rolname),
                 (select count(*) from pg_auth_members m where m.member = r.oid)
             from pg_roles r
             where r.rolname = $1",
        )
        .bind(schema.as_str())
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(facts, (false, false, false, false, schema.as_str().to_owned(), 0));
    }
}

#[tokio::test]
async fn nothing_in_an_apps_schema_refers_to_anything_outside() {
    let neighbours = Neighbours::new().await;
    let pool = neighbours.server.pool().await;
    let crossing: Vec<String> = sqlx::query_scalar(
        r"select c.conname::text
          from pg_constraint c
          join pg_class t on t.oid = c.conrelid
          join pg_class p on p.oid = c.confrelid
          where c.contype = 'f' and t.relnamespace <> p.relnamespace",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(crossing.is_empty(), "{crossing:?}");
    let without_scope: Vec<String> = sqlx::query_scalar(
        r"select t.relname::text
          from pg_class t
          join pg_namespace n on n.oid = t.relnamespace
          join pg_index i on i.indrelid = t.oid and i.indisprimary
          join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
          where n.nspname = $1 and a.attname not in ('scope_id', '_sync_scope_id')
          order by 1",
    )
    .bind(neighbours.notes.app.app_id.schema().as_str())
    .fetch_all(&pool)
    .await
    .unwrap();
    // What describes the app itself, and what is counted of all of it, belongs to no scope.
    let of_the_app = [
        "_sync_migration",
        "_sync_rollup",
        "_sync_schema_version",
        "_sync_table",
        "_sync_table_counter",
        "_sync_table_day",
    ];
    assert_eq!(without_scope, of_the_app);
}

#[tokio::test]
async fn what_belongs_to_an_app_or_tenant_goes_with_it() {
    let neighbours = Neighbours::new().await;
    let pool = neighbours.server.pool().await;
    let staying: Vec<String> = sqlx::query_scalar(
        r"select format('%I.%I', t.relname, a.attname)
          from pg_attribute a
          join pg_class t on t.oid = a.attrelid and t.relkind = 'r'
          where t.relnamespace = 'platform'::regnamespace and a.attname in ('app_id', 'tenant_id') and not a.attisdropped
              and not exists (
                  select from pg_constraint c
                  where c.conrelid = t.oid and c.contype = 'f' and c.confdeltype = 'c' and a.attnum = any (c.conkey)
              )
              and not exists (
                  select from pg_index i where i.indrelid = t.oid and i.indisprimary and i.indkey[0] = a.attnum
                      and i.indnatts = 1
              )
          order by 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    // The audit log remembers what is gone, and the change log tells the nodes that it went.
    let meant = ["audit.app_id", "audit.tenant_id", "change_log.app_id"];
    assert!(staying.iter().all(|column| meant.contains(&column.as_str())), "{staying:?}");
}
