//! Connections that act as the apps' roles.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::AssertSqlSafe;
use syncline::{
    ids::{AppId, SchemaName},
    ops::{
        config::DatabaseConfig,
        database::{AppPool, Databases, in_schema},
    },
    tables::{catalog::AppCatalog, engine_schema, ident::Ident, spec::WireProfile},
};
use time::macros::datetime;

use crate::support::database::{self, TestDatabase};

/// Two apps on pools of `connections` connections.
async fn two_apps(connections: u32) -> (TestDatabase, Databases, [SchemaName; 2]) {
    let database = database::fresh().await;
    let config = DatabaseConfig {
        app_connections: connections,
        acquire_timeout_seconds: 5,
        ..DatabaseConfig::default()
    };
    let databases = Databases::connect(&database.url, &config).await.unwrap();
    let apps = [AppId::new(), AppId::new()];
    for app in apps {
        let at = datetime!(2026-07-01 12:00 UTC);
        engine_schema::create(&databases.apps, app, WireProfile::Strings, at).await.unwrap();
    }
    (database, databases, apps.map(AppId::schema))
}

async fn role(apps: &AppPool, schema: &SchemaName) -> (String, i32) {
    apps.one(schema, sqlx::query_as("select current_user::text, pg_backend_pid()")).await.unwrap()
}

#[tokio::test]
async fn every_statement_and_transaction_acts_as_the_role_of_its_app() {
    let (_database, databases, [one, other]) = two_apps(1).await;
    let apps = &databases.apps;
    for schema in [&one, &other, &other, &one] {
        assert_eq!(role(apps, schema).await.0, schema.as_str());
        let mut tx = apps.begin(schema).await.unwrap();
        let user: String = sqlx::query_scalar("select current_user::text").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(user, schema.as_str());
        tx.commit().await.unwrap();
    }
    // The wall: another app's table is out of reach, however it is named.
    let sql = in_schema(&other, "select 1 from {schema}._sync_scope");
    let refused = apps.rows(&one, sqlx::query(sql)).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));
    // A statement that was refused leaves the connection in order.
    assert_eq!(role(apps, &one).await.0, one.as_str());
}

#[tokio::test]
async fn an_app_finds_the_connection_that_served_it_last() {
    let (_database, databases, [one, other]) = two_apps(8).await;
    let apps = &databases.apps;
    let first = role(apps, &one).await;
    role(apps, &other).await;
    assert_eq!(role(apps, &one).await, first);
}

/// The first request comes right after it, and would otherwise have to take another connection and teach it the app.
#[tokio::test]
async fn looking_an_app_up_leaves_its_connection_free() {
    let database = database::fresh().await;
    let databases = Databases::connect(&database.url, &DatabaseConfig::default()).await.unwrap();
    let (app, profile) = (AppId::new(), WireProfile::Strings);
    let apps = &databases.apps;
    engine_schema::create(apps, app, profile, datetime!(2026-07-01 12:00 UTC)).await.unwrap();
    engine_schema::migrate(apps, app, profile, datetime!(2026-07-01 12:00 UTC)).await.unwrap();
    assert_eq!(apps.idle_and_used().1, 0);
    AppCatalog::load(apps, app, profile, &Ident::parse("main").unwrap()).await.unwrap();
    assert_eq!(apps.idle_and_used().1, 0);
}

#[tokio::test]
async fn a_statement_is_committed_when_it_answers() {
    let (_database, databases, [one, _]) = two_apps(2).await;
    let apps = &databases.apps;
    let insert = "insert into {schema}._sync_scope (scope_id, state, created_at)
        values ($1, 'uninitialized', now()) returning scope_id";
    for n in 0..20 {
        let scope = format!("scope-{n}");
        apps.rows(&one, sqlx::query(in_schema(&one, insert)).bind(&scope)).await.unwrap();
        let count: i64 = sqlx::query_scalar(in_schema(&one, "select count(*) from {schema}._sync_scope"))
            .fetch_one(apps.as_owner())
            .await
            .unwrap();
        assert_eq!(count, n + 1);
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back_and_gives_its_locks_free() {
    let (_database, databases, [one, _]) = two_apps(2).await;
    let insert = "insert into {schema}._sync_scope (scope_id, state, created_at)
        values ('s', 'uninitialized', now())";
    for _ in 0..3 {
        let mut tx = databases.apps.begin(&one).await.unwrap();
        // Would wait for the one before for ever if that still held its row.
        sqlx::query(in_schema(&one, insert)).execute(&mut *tx).await.unwrap();
        drop(tx);
    }
    let rows = databases.apps.rows(&one, sqlx::query(in_schema(&one, "select from {schema}._sync_scope")));
    assert_eq!(rows.await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_statement_given_up_half_way_does_not_disturb_the_next() {
    let (_database, databases, [one, _]) = two_apps(1).await;
    let apps = &databases.apps;
    let slow = apps.rows(&one, sqlx::query("select pg_sleep(0.3)"));
    tokio::time::timeout(Duration::from_millis(50), slow).await.unwrap_err();
    assert_eq!(role(apps, &one).await.0, one.as_str());
}

/// Far more at once than there are connections, of two apps, half of which go away before they are served or in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_while_connections_are_handed_on_takes_none_along() {
    let (_database, databases, both) = two_apps(3).await;
    let apps = &databases.apps;
    let asked = (0..600).map(|n| {
        let schema = both[n % 2].clone();
        async move {
            let patience = Duration::from_millis(if n % 4 < 2 { 60_000 } else { n as u64 % 40 });
            let asked = tokio::time::timeout(patience, role(apps, &schema)).await;
            if let Ok((user, _)) = &asked {
                assert_eq!(user, schema.as_str());
            }
            asked.is_ok()
        }
    });
    let served = join_all(asked).await.into_iter().filter(|served| *served).count();
    assert!((300..=600).contains(&served), "{served}");
    let all_three = [apps.begin(&both[0]).await, apps.begin(&both[1]).await, apps.begin(&both[0]).await];
    assert!(all_three.iter().all(Result::is_ok));
    assert_eq!(apps.idle_and_used(), (0, 3));
}

#[tokio::test]
async fn connections_that_the_server_has_ended_are_replaced() {
    let (_database, databases, [one, other]) = two_apps(1).await;
    let apps = &databases.apps;
    for schema in [&other, &one] {
        let (_, pid) = role(apps, &one).await;
        let end = AssertSqlSafe(format!("select pg_terminate_backend({pid}, 5000)"));
        sqlx::raw_sql(end).execute(apps.as_owner()).await.unwrap();
        // Whoever has the role already learns of it by failing; nobody does twice.
        let first = apps.rows(schema, sqlx::query("select 1")).await;
        assert!(first.is_ok() || schema == &one);
        assert_eq!(role(apps, schema).await.0, schema.as_str());
    }
}

#[tokio::test]
async fn a_closed_pool_refuses() {
    let (_database, databases, [one, _]) = two_apps(2).await;
    role(&databases.apps, &one).await;
    databases.close().await;
    let refused = databases.apps.begin(&one).await.unwrap_err();
    assert!(matches!(refused, sqlx::Error::PoolClosed));
}
