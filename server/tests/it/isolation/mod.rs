//! No request with another tenant's, app's or user's credential sees or changes anything, or learns that it exists
//! (DESIGN.md, promise 2).
//!
//! The routes are read from `http/routes.rs`, where every URL is. Each group of them is asked by nobody, by somebody
//! with a made-up credential, by those with a credential for something else, by those whose role is too low, and by
//! those who may. A route that a matrix does not know fails the test until somebody has thought about it.

mod database;
mod devices;
mod people;
mod servers;

use sqlx::{AssertSqlSafe, PgPool};
use syncline::tables::spec::WireProfile;

use crate::support::{
    app::{TestApp, TestSyncApp, TestTenant},
    device::schema::DDL,
    routes::{self, Route, routes_of},
};

/// Two tenants that know nothing of each other; both have an app `notes`, and the first has another one.
struct Neighbours {
    server: TestApp,
    acme: TestTenant,
    notes: TestSyncApp,
    /// Acme's other app.
    tasks: TestSyncApp,
    /// The stranger's app.
    foreign: TestSyncApp,
}

impl Neighbours {
    async fn new() -> Self {
        let server = TestApp::start().await;
        let (acme, globex) = (server.tenant("acme").await, server.tenant("globex").await);
        let create = |owner: &TestTenant, slug: &'static str| {
            let owner = owner.clone();
            let server = &server;
            async move { server.create_app_of(&owner, slug, WireProfile::Strings, DDL).await }
        };
        let notes = create(&acme, "notes").await;
        let tasks = create(&acme, "tasks").await;
        let foreign = create(&globex, "notes").await;
        Self { server, acme, notes, tasks, foreign }
    }
}

/// Everything that is stored, as one number a table: what a request that is refused must not change. Sessions, what
/// keys were last used for, what people are told of their sign-ins, what is known of devices and what is counted are no
/// such thing.
async fn fingerprint(pool: &PgPool) -> Vec<(String, Option<String>)> {
    let tables: Vec<String> = sqlx::query_scalar(
        r"select format('%I.%I', schemaname, tablename)
          from pg_tables
          where (schemaname = 'platform' or schemaname like 'app\_%')
              and tablename not in (
                  'session', 'security_event', '_sync_device', '_sync_device_event', '_sync_rollup',
                  '_sync_table_counter', '_sync_table_day'
              )
          order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut all = Vec::new();
    for table in tables {
        let sql = format!(
            "select md5(string_agg((to_jsonb(t) - 'last_used_at')::text, ',' order by (to_jsonb(t))::text)) from {table} t"
        );
        all.push((table, sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()));
    }
    all
}

#[test]
fn every_group_of_routes_has_a_matrix() {
    const KNOWN: [&str; 6] =
        ["for_operators", "for_tenants_servers", "for_devices", "for_browsers", "for_visitors", "for_people"];
    for group in routes::groups() {
        assert!(KNOWN.contains(&group.as_str()), "{group} needs a matrix of who may ask what");
    }
    let (all, known) = routes::count_of(&KNOWN);
    assert_eq!(all, known);
}

#[test]
fn public_pages_are_these_and_no_others() {
    let mut public: Vec<String> = ["for_operators", "for_browsers", "for_visitors"]
        .into_iter()
        .flat_map(routes_of)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    public.sort();
    let known = [
        "GET /",
        "GET /invite/{token}",
        "GET /invite/{token}/sign-up",
        "GET /livez",
        "GET /metrics",
        "GET /readyz",
        "GET /sign-in",
        "GET /sign-in/code",
        "GET /sign-up",
        "GET /static/{*address}",
        "POST /invite/{token}/sign-up",
        "POST /sign-in",
        "POST /sign-in/code",
        "POST /sign-up",
    ];
    assert_eq!(public, known);
}
