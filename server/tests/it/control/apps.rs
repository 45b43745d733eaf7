//! The life of an app: made, found by every node, interrupted, completed, deleted without a trace.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::PgPool;
use syncline::{
    control::{
        apps::{
            AppState,
            life::{CreateAppError, DeleteAppError, LogicalSchema, NewApp},
        },
        slugs::Slug,
        tenants::AppName,
    },
    ids::AppId,
    tables::{engine_schema, spec::WireProfile},
};
use time::Duration;

use crate::support::app::{Answer, TestApp, TestSyncApp};

fn new_app(slug: &str, profile: WireProfile) -> NewApp {
    NewApp {
        name: AppName::parse("My notes").unwrap(),
        slug: Slug::parse_new(slug).unwrap(),
        profile,
        logical_schema: LogicalSchema::parse("main").unwrap(),
    }
}

/// How many schemas and roles there are of this app, and rows of the control plane that name it.
async fn traces(pool: &PgPool, app: &TestSyncApp) -> (i64, i64, i64) {
    let schema = app.app.app_id.schema();
    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).bind(schema.as_str()).fetch_one(pool).await.unwrap()
    };
    let rows: i64 = sqlx::query_scalar(
        "select (select count(*) from platform.app where app_id = $1)
              + (select count(*) from platform.api_key where app_id = $1)
              + (select count(*) from platform.app_end_user_auth where app_id = $1)
              + (select count(*) from platform.change_log where app_id = $1)",
    )
    .bind(app.app.app_id)
    .fetch_one(pool)
    .await
    .unwrap();
    (
        count("select count(*) from pg_namespace where nspname = $1").await,
        count("select count(*) from pg_roles where rolname = $1").await,
        rows,
    )
}

#[tokio::test]
async fn deleting_an_app_takes_its_name_and_leaves_nothing() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "create table t (id text primary key not null);").await;
    let there = app.another_node().await;
    let elsewhere = TestSyncApp { base_url: notes.base_url.replace(app.url(), &there.url), ..notes.clone() };
    let (pool, control) = (app.pool().await, &app.state().control);
    let actor = notes.owner.owner.actor();
    let refused = control.delete_app(&actor, &notes.app, "notes").await.unwrap_err();
    assert!(matches!(refused, DeleteAppError::NameDiffers));
    let (schemas, roles, rows) = traces(&pool, &notes).await;
    assert!(schemas == 1 && roles == 1 && rows >= 4);
    let ask = async || elsewhere.call(Method::GET, "api/keys", &notes.secret_key, None).await;
    assert_eq!(ask().await.status, StatusCode::OK);

    control.delete_app(&actor, &notes.app, "App notes").await.unwrap();
    assert_eq!(traces(&pool, &notes).await, (0, 0, 0));
    // The other node has noticed by itself: no app, in the words for one that never was.
    let (gone, never) = (ask().await, notes.call(Method::GET, "../nothing/api/keys", "x", None).await);
    assert_eq!((gone.status, &gone.text), (StatusCode::NOT_FOUND, &never.text));
    // Its end is on record, and its address is free.
    let actions: Vec<_> = control
        .audit_entries(notes.owner.tenant.tenant_id, &Default::default(), None, 2)
        .await
        .unwrap()
        .entries;
    assert_eq!(
        actions.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(),
        ["app.deleted", "app.deletion_begun"]
    );
    app.create_app_of(&notes.owner, "notes", WireProfile::Numbers, "").await;
    app.state().directory.refresh().await;
}

#[tokio::test]
async fn an_app_whose_creation_stopped_half_way_is_completed() {
    let app = TestApp::start().await;
    let owner = app.tenant("acme").await;
    let control = &app.state().control;
    let actor = owner.owner.actor();
    let made =
        control.create_app(&actor, &owner.tenant, &new_app("notes", WireProfile::Strings)).await.unwrap();
    let taken = control.create_app(&actor, &owner.tenant, &new_app("notes", WireProfile::Strings)).await;
    assert!(matches!(taken, Err(CreateAppError::SlugTaken)));

    // As it is when the process dies after making the schema and before saying so.
    let pool = app.pool().await;
    let interrupt = async || {
        sqlx::query("update platform.app set state = 'creating'").execute(&pool).await.unwrap();
    };
    interrupt().await;
    let other = control.create_app(&actor, &owner.tenant, &new_app("notes", WireProfile::Numbers)).await;
    assert!(matches!(other, Err(CreateAppError::SlugTaken)));
    let again =
        control.create_app(&actor, &owner.tenant, &new_app("notes", WireProfile::Strings)).await.unwrap();
    assert_eq!((again.app_id, again.state), (made.app_id, AppState::Ready));

    interrupt().await;
    assert_eq!(control.resume_interrupted().await.unwrap(), 0, "it may still be under way");
    assert!(app.state().directory.find("acme", "notes").await.unwrap().is_none());
    app.clock.advance(Duration::minutes(2));
    assert_eq!(control.resume_interrupted().await.unwrap(), 1);
    app.state().directory.refresh().await;
    assert!(app.state().directory.find("acme", "notes").await.unwrap().is_some());
}

#[tokio::test]
async fn an_app_whose_deletion_stopped_half_way_is_removed() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let pool = app.pool().await;
    sqlx::query("update platform.app set state = 'deleting'").execute(&pool).await.unwrap();
    assert_eq!(app.state().control.resume_interrupted().await.unwrap(), 1);
    assert_eq!(traces(&pool, &notes).await, (0, 0, 0));
}

#[tokio::test]
async fn many_who_make_the_same_app_at_once_make_one() {
    let app = TestApp::start().await;
    let owner = app.tenant("acme").await;
    let made = futures_util::future::join_all((0..6).map(|_| {
        let (control, owner) = (app.state().control.clone(), owner.clone());
        async move {
            let new = new_app("notes", WireProfile::Strings);
            control.create_app(&owner.owner.actor(), &owner.tenant, &new).await
        }
    }))
    .await;
    let apps = app.state().control.apps(owner.tenant.tenant_id).await.unwrap();
    assert_eq!((apps.len(), apps[0].state), (1, AppState::Ready));
    for outcome in made {
        assert!(matches!(outcome, Ok(_) | Err(CreateAppError::SlugTaken)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_unknown_tenant_and_an_unknown_app_get_one_answer() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let mut bodies = Vec::new();
    for path in [
        "../nothing",
        "../../nobody/notes",
        "../../acme/NOTES",
        "../../a%00b/notes",
        "../../..%2f/x",
        "../n'--",
    ] {
        let answer =
            notes.call(Method::POST, &format!("{path}/auth/token"), &notes.secret_key, Some(json!({}))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        bodies.push(answer.text);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
}

#[tokio::test]
async fn an_unreachable_control_plane_is_a_503() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    app.state().databases.platform.close().await;
    let answer = notes.call(Method::GET, "api/keys", &notes.secret_key, None).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable")
    );
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn the_audit_log_cannot_be_rewritten() {
    let app = TestApp::start().await;
    let owner = app.tenant("acme").await;
    let pool = app.pool().await;
    assert!(sqlx::query("update platform.audit set actor_label = 'x'").execute(&pool).await.is_err());
    assert!(sqlx::query("delete from platform.audit").execute(&pool).await.is_err());
    sqlx::query("delete from platform.tenant").execute(&pool).await.unwrap();
    let left = app
        .state()
        .control
        .audit_entries(owner.tenant.tenant_id, &Default::default(), None, 10)
        .await
        .unwrap()
        .entries;
    assert!(left.is_empty());
}

#[tokio::test]
async fn an_app_of_an_older_server_is_brought_up_to_date_before_it_is_served_and_by_the_job() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Numbers, "").await;
    let tasks = app.create_app_of(&notes.owner, "tasks", WireProfile::Strings, "").await;
    let pool = app.pool().await;
    // Connections of its own, that have never seen the roles that go.
    let older = app.another_node().await;
    let apps = &older.state.databases.apps;
    // As if a server that knew only the first migrations had made them.
    for (n, of) in [&notes, &tasks].into_iter().enumerate() {
        engine_schema::drop(apps, of.app.app_id).await.unwrap();
        let (profile, version) = (of.app.profile, 8 - n as i32);
        engine_schema::create_at_version(apps, of.app.app_id, profile, app.clock.now(), version)
            .await
            .unwrap();
    }
    sqlx::query("update platform.app set engine_version = 0").execute(&pool).await.unwrap();
    let version = async |of: &TestSyncApp| -> i32 {
        let sql = format!("select max(version) from {}._sync_migration", of.app.app_id.schema());
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    };

    let newer = app.another_node().await;
    let url = notes.base_url.replace(app.url(), &newer.url);
    let notes = TestSyncApp { base_url: url.clone(), ..notes };
    let token = notes.token("ada").await;
    let capabilities = reqwest::Client::new()
        .get(format!("{url}/sync/capabilities"))
        .bearer_auth(token)
        .header("Oversync-Source-ID", "phone");
    assert_eq!(Answer::of(capabilities).await.status, StatusCode::OK);
    assert_eq!(version(&notes).await, engine_schema::known_version());

    newer.state.control.bring_all_up_to_date().await.unwrap();
    assert_eq!(version(&tasks).await, engine_schema::known_version());
    assert_eq!(newer.state.control.bring_all_up_to_date().await.unwrap(), 0);
}

/// Requests, the job and other nodes come upon an app that a newer server has to bring up to date at the same time.
#[tokio::test]
async fn an_app_is_brought_up_to_date_once_whoever_is_at_it() {
    let app = TestApp::start().await;
    let apps = &app.state().databases.apps;
    for version in [0, 1, 9, 16] {
        let (id, profile, at) = (AppId::new(), WireProfile::Strings, app.clock.now());
        engine_schema::create_at_version(apps, id, profile, at, version).await.unwrap();
        let all = (0..6).map(|_| engine_schema::migrate(apps, id, profile, at));
        join_all(all).await.into_iter().collect::<Result<Vec<()>, _>>().unwrap();
        let sql = format!("select version from {}._sync_migration order by version", id.schema());
        let run: Vec<i32> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&app.pool().await).await.unwrap();
        assert_eq!(run, (1..=engine_schema::known_version()).collect::<Vec<_>>());
    }
}
