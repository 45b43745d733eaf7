//! One user: what they take, a token to try things, and their erasure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;
use syncline::{erasure, ids::ScopeId, sync::erase::TABLES, tables::spec::WireProfile};

use crate::support::{
    app::{Answer, TestApp, TestSyncApp},
    browser::Browser,
    device::{
        Device,
        schema::{DDL, Profile, Row, RowId, Value},
        transport::Transport,
    },
};

async fn owner(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    browser
}

/// The tables of the app's schema that still hold something of the scope, with how much.
pub(super) async fn left_of(app: &TestApp, notes: &TestSyncApp, scope: &str) -> Vec<(String, i64)> {
    let pool = app.pool().await;
    let schema = notes.app.app_id.schema();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, a.attname::text
         from pg_attribute a
         join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
         where c.relnamespace = $1::regnamespace and a.attname in ('scope_id', '_sync_scope_id')
         order by 1",
    )
    .bind(schema.as_str())
    .fetch_all(&pool)
    .await
    .unwrap();
    let engines: Vec<&str> = columns
        .iter()
        .filter(|(table, _)| table.starts_with("_sync_") && table != "_sync_scope")
        .map(|(table, _)| table.as_str())
        .collect();
    for table in &engines {
        assert!(TABLES.contains(table), "sync/erase.rs does not know that {table} holds something of scopes");
    }
    let mut left = Vec::new();
    for (table, column) in &columns {
        let sql = format!("select count(*) from {schema}.\"{table}\" where {column} = $1");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).bind(scope).fetch_one(&pool).await.unwrap();
        if count > 0 {
            left.push((table.clone(), count));
        }
    }
    left
}

async fn device(notes: &TestSyncApp, profile: Profile, user: &str, name: &str) -> Device {
    let token = notes.token(user).await;
    let mut device = Device::new(name, profile, Transport::new(Client::new(), &notes.base_url, token));
    device.may_be_erased = true;
    device
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn row(values: &[(&'static str, Value)]) -> Row {
    values.iter().cloned().collect()
}

/// A folder, a user, and a comment that answers another.
fn fill(device: &mut Device) {
    let note = "0197f0c2-a4f8-7c3e-b1d2-f60a9be40000";
    let uuid = |id: &str| text(id);
    device.put(
        RowId::new("users", "u"),
        row(&[
            ("id", text("u")),
            ("name", text("Ada")),
            ("age", Value::Null),
            ("score", Value::Null),
            ("active", Value::Bool(true)),
            ("balance", Value::Null),
        ]),
    );
    device.put(
        RowId::new("notes", note),
        row(&[
            ("id", uuid(note)),
            ("user_id", text("u")),
            ("tag_id", Value::Null),
            ("folder_id", Value::Null),
            ("body", text("b")),
            ("weight", Value::Null),
            ("pinned", Value::Null),
            ("data", Value::Null),
        ]),
    );
    for (id, answers) in [("c1", Value::Null), ("c2", text("c1"))] {
        device.put(
            RowId::new("comments", id),
            row(&[("id", text(id)), ("note_id", uuid(note)), ("reply_to", answers), ("body", text("b"))]),
        );
    }
}

async fn synced(device: &mut Device) {
    for _ in 0..20 {
        if device.sync().await.is_ok() && device.is_clean() {
            return;
        }
    }
    panic!("{} does not come to rest", device.name);
}

#[tokio::test]
async fn an_erased_user_leaves_a_number_and_their_devices_start_over() {
    for (profile, wire) in
        [(Profile::Strings, WireProfile::Strings), (Profile::Numbers, WireProfile::Numbers)]
    {
        let app = TestApp::start().await;
        let notes = app.create_app(wire, DDL).await;
        let (mut phone, mut laptop) =
            (device(&notes, profile, "ada", "phone").await, device(&notes, profile, "ada", "laptop").await);
        let mut other = device(&notes, profile, "grace", "phone").await;
        for device in [&mut phone, &mut laptop, &mut other] {
            if device.name == "phone" {
                fill(device);
            }
            synced(device).await;
        }
        assert_eq!(laptop.rows().differences(phone.rows()), Vec::<String>::new());
        // More rows than one batch takes, in a table that refers to itself.
        let schema = notes.app.app_id.schema();
        let many = format!(
            "insert into {schema}.comments (_sync_scope_id, id, note_id, reply_to, body)
             select 'ada', 'm' || n, '0197f0c2-a4f8-7c3e-b1d2-f60a9be40000', 'c1', 'b' from generate_series(1, 2500) n"
        );
        let mut tx = app.state().databases.apps.begin(&schema).await.unwrap();
        sqlx::query(AssertSqlSafe(many)).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        app.state().engine.write_device_facts().await;
        let before = left_of(&app, &notes, "grace").await;

        let mut browser = owner(&app).await;
        let page = browser.get("/d/acme/notes/users/ada").await;
        assert!(page.texts(".row-link").iter().any(|text| text.contains("2 502 rows")), "{}", page.html);
        let (at, action) = ("/d/acme/notes/users/ada", "/d/acme/notes/users/ada/erase");
        let wrong = browser.submit(at, action, &[("confirmation", "Ada")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(wrong.error_at("confirmation").contains("exactly"));
        let done = browser.submit(at, action, &[("confirmation", "ada")]).await;
        let page = browser.follow(&done).await;
        assert!(page.text(".notice.done").contains("is erased"), "{}", page.html);
        assert!(page.text(".lede").contains("was erased"));

        let left = left_of(&app, &notes, "ada").await;
        let expected = ["_sync_bundle", "_sync_scope", "_sync_source"].map(|table| (table.to_owned(), 1));
        assert_eq!(left, expected);
        assert_eq!(left_of(&app, &notes, "grace").await, before);

        synced(&mut phone).await;
        assert_eq!(phone.rows().keys("users"), []);
        fill(&mut phone);
        synced(&mut phone).await;
        synced(&mut laptop).await;
        assert_eq!(laptop.rows().differences(phone.rows()), Vec::<String>::new());
        assert_eq!(laptop.rows().keys("comments").len(), 2);

        let log = browser.get("/d/acme/audit").await;
        assert!(log.texts("td").iter().any(|text| text.contains("user.erased")), "{}", log.html);
    }
}

#[tokio::test]
async fn devices_that_push_while_their_user_is_erased_hear_of_it_in_the_protocols_words() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Numbers, "create table n (id text primary key not null)").await;
    let token = notes.token("ada").await;
    let over = Arc::new(AtomicBool::new(false));
    let devices: Vec<_> = (0..4)
        .map(|n| {
            let (base, token, over) = (notes.base_url.clone(), token.clone(), Arc::clone(&over));
            tokio::spawn(async move { push_until(&base, &token, n, &over).await })
        })
        .collect();
    let scope = ScopeId::parse("ada").unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let actor = notes.owner.owner.actor();
        app.state().control.request_erasure(&actor, &notes.app, &scope).await.unwrap();
        let patience = Duration::from_secs(20);
        assert!(
            erasure::run_user_now(app.state(), &notes.app, &scope, "x".to_owned(), patience).await.unwrap()
        );
    }
    over.store(true, Ordering::SeqCst);
    let mut committed = 0;
    for device in devices {
        for (status, code) in device.await.unwrap() {
            assert!(status < 500 || status == 503, "{status} {code}");
            committed += usize::from(status == 200);
        }
    }
    assert!(committed > 0, "nobody got anything committed in between");
}

/// Push one new row after the other, each from a new source, and tell how it went.
async fn push_until(base: &str, token: &str, device: usize, over: &AtomicBool) -> Vec<(u16, String)> {
    let client = Client::new();
    let mut answers = Vec::new();
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let source = format!("d{device}-{n}");
        let post = |path: String, body: Json| {
            let request = client.post(format!("{base}/sync/{path}")).bearer_auth(token);
            Answer::of(request.header("Oversync-Source-ID", &source).json(&body))
        };
        let note = |answer: &Answer| (answer.status.as_u16(), answer.text.clone());
        post("connect".to_owned(), json!({"has_local_pending_rows": false})).await;
        let created =
            post("push-sessions".to_owned(), json!({"source_bundle_id": 1, "planned_row_count": 1})).await;
        let Some(push) = created.json()["push_id"].as_str().map(str::to_owned) else {
            answers.push(note(&created));
            continue;
        };
        let id = format!("{device}-{n}");
        let rows = json!([{"schema": "main", "table": "n", "key": {"id": id}, "op": "INSERT", "base_row_version": 0,
            "payload": {"id": id}}]);
        let staged =
            post(format!("push-sessions/{push}/chunks"), json!({"start_row_ordinal": 0, "rows": rows})).await;
        if staged.status != StatusCode::OK {
            answers.push(note(&staged));
            continue;
        }
        answers.push(note(&post(format!("push-sessions/{push}/commit"), json!({})).await));
    }
    answers
}

#[tokio::test]
async fn an_interrupted_erasure_is_resumed_and_what_came_late_is_swept() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let mut phone = device(&notes, Profile::Strings, "ada", "phone").await;
    fill(&mut phone);
    synced(&mut phone).await;
    let scope = ScopeId::parse("ada").unwrap();
    let actor = notes.owner.owner.actor();
    // Asked for, and then the node went away.
    app.state().control.request_erasure(&actor, &notes.app, &scope).await.unwrap();
    erasure::run_due(app.state()).await.unwrap();
    let schema = notes.app.app_id.schema();
    let late = format!(
        "insert into {schema}._sync_device (scope_id, source_id, first_seen_at, last_seen_at)
         values ('ada', 'late', now() - interval '1 minute', now() - interval '1 minute')"
    );
    sqlx::query(AssertSqlSafe(late)).execute(&app.pool().await).await.unwrap();
    // The server's own job may be at it already.
    let pool = app.pool().await;
    for _ in 0..100 {
        app.clock.advance(time::Duration::seconds(10));
        erasure::run_due(app.state()).await.unwrap();
        let open = "select count(*) from platform.erasure";
        if sqlx::query_scalar::<_, i64>(open).fetch_one(&pool).await.unwrap() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: Vec<_> = left_of(&app, &notes, "ada").await.into_iter().map(|(table, _)| table).collect();
    assert_eq!(left, ["_sync_bundle", "_sync_scope", "_sync_source"]);
    let open: i64 =
        sqlx::query_scalar("select count(*) from platform.erasure").fetch_one(&pool).await.unwrap();
    assert_eq!(open, 0);
}

#[tokio::test]
async fn a_short_token_is_shown_once_works_and_is_audited() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let mut phone = device(&notes, Profile::Strings, "ada", "phone").await;
    fill(&mut phone);
    synced(&mut phone).await;
    let mut browser = owner(&app).await;
    let (at, action) = ("/d/acme/notes/users/ada", "/d/acme/notes/users/ada/token");
    let page = browser.submit(at, action, &[("minutes", "5")]).await;
    let token = page.text(".issued pre");
    // The token is good; only the device's name is missing.
    let answer = notes.call(Method::GET, "sync/capabilities", &token, None).await;
    assert_eq!(answer.code(), "invalid_request", "{}", answer.text);
    assert!(!browser.get(at).await.html.contains(&token));
    app.clock.advance(time::Duration::minutes(7));
    let answer = notes.call(Method::GET, "sync/capabilities", &token, None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let too_long = browser.submit(at, action, &[("minutes", "600")]).await;
    assert_eq!(too_long.status, StatusCode::UNPROCESSABLE_ENTITY);
    let log = browser.get("/d/acme/audit").await.html;
    assert!(log.contains("user.token_minted") && !log.contains(&token));
}
