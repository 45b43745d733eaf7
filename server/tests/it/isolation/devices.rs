//! The oversync protocol: a token is good for one user of one app.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{Neighbours, Route, fingerprint, routes_of};
use crate::support::{
    app::{Answer, TestSyncApp},
    device::{
        canonical,
        schema::{Profile, RowId, Value},
    },
};

/// What strangers may see: nothing in it is about tenants' data.
const WITHOUT_TOKEN: [&str; 2] = ["/t/{tenant}/{app}/syncx/health", "/t/{tenant}/{app}/syncx/status"];

async fn ask(url: &str, method: &Method, token: &str, body: Option<Json>) -> Answer {
    let mut request = Client::new().request(method.clone(), url).header("Oversync-Source-ID", "somebody");
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::of(request).await
}

/// The URL of a route at a server, for an app, with these ids in it.
fn url(server: &str, route: &Route, tenant: &str, app: &str, push: &str, snapshot: &str) -> String {
    let path = route
        .path
        .replace("{tenant}", tenant)
        .replace("{app}", app)
        .replace("{push_id}", push)
        .replace("{snapshot_id}", snapshot)
        .replace("{bundle_seq}", "1")
        .replace("{version}", "1");
    assert!(!path.contains('{'), "this matrix does not know how to fill in {path}");
    format!("{server}{path}")
}

/// What a user has open and has written.
pub(super) struct Open {
    token: String,
    push: String,
    snapshot: String,
    row: Json,
}

/// A user with a committed row, a push session with a row in it, and a snapshot session.
pub(super) async fn open(app: &TestSyncApp, user: &str) -> Open {
    let token = app.token(user).await;
    let call = |method: Method, path: &'static str, body: Json| {
        let url = format!("{}/{path}", app.base_url);
        let token = token.clone();
        async move { ask(&url, &method, &token, Some(body)).await }
    };
    let connected = call(Method::POST, "sync/connect", json!({ "has_local_pending_rows": false })).await;
    assert_eq!(connected.status, StatusCode::OK, "{}", connected.text);
    let mut push = String::new();
    let mut row = Json::Null;
    for number in 1..=2 {
        row = json!({
            "schema": "main", "table": "folders", "key": { "id": format!("f{number}") }, "op": "INSERT",
            "base_row_version": 0, "payload": { "id": format!("f{number}"), "title": format!("secret of {user}") },
        });
        let hash = canonical::request_hash(Profile::Strings, std::slice::from_ref(&row));
        let body =
            json!({ "source_bundle_id": number, "planned_row_count": 1, "canonical_request_hash": hash });
        let created = call(Method::POST, "sync/push-sessions", body).await;
        push = created.json()["push_id"].as_str().unwrap_or_else(|| panic!("{}", created.text)).to_owned();
        let url = format!("{}/sync/push-sessions/{push}", app.base_url);
        let chunk = json!({ "start_row_ordinal": 0, "rows": [row] });
        let staged = ask(&format!("{url}/chunks"), &Method::POST, &token, Some(chunk)).await;
        assert_eq!(staged.status, StatusCode::OK, "{}", staged.text);
        if number == 1 {
            let committed = ask(&format!("{url}/commit"), &Method::POST, &token, Some(json!({}))).await;
            assert_eq!(committed.status, StatusCode::OK, "{}", committed.text);
        }
    }
    let session = call(Method::POST, "sync/snapshot-sessions", json!({})).await;
    let snapshot =
        session.json()["snapshot_id"].as_str().unwrap_or_else(|| panic!("{}", session.text)).to_owned();
    Open { token, push, snapshot, row }
}

#[tokio::test]
async fn a_route_of_devices_is_closed_to_every_other_credential() {
    let neighbours = Neighbours::new().await;
    let mine = open(&neighbours.notes, "alice").await;
    let pool = neighbours.server.pool().await;
    let expired = neighbours.notes.token("alice").await;
    neighbours.server.clock.advance(time::Duration::hours(2));
    let token = neighbours.notes.token("alice").await;
    let credentials = [
        ("nobody", String::new()),
        ("made up", "made-up".to_owned()),
        ("a token cut short", token[..token.len() - 4].to_owned()),
        ("an expired token", expired),
        ("the app's secret key", neighbours.notes.secret_key.clone()),
        ("the app's publishable key", neighbours.notes.publishable_key.clone()),
        ("a token of the tenant's other app", neighbours.tasks.token("alice").await),
        ("a token of another tenant's app of the same name", neighbours.foreign.token("alice").await),
    ];
    let before = fingerprint(&pool).await;
    for route in routes_of("for_devices") {
        let url = url(neighbours.server.url(), &route, "acme", "notes", &mine.push, &mine.snapshot);
        for (who, credential) in &credentials {
            let answer = ask(&url, &route.method, credential, None).await;
            if WITHOUT_TOKEN.contains(&route.path.as_str()) {
                assert_eq!(answer.status, StatusCode::OK, "{who}: {url}: {}", answer.text);
                assert!(!answer.text.contains("secret of"), "{who}: {url}: {}", answer.text);
                continue;
            }
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{who}: {} {url}: {}",
                route.method,
                answer.text
            );
            assert_eq!(answer.code(), "authentication_failed", "{who}: {url}");
        }
    }
    assert_eq!(fingerprint(&pool).await, before);
}

#[tokio::test]
async fn an_app_that_is_not_there_and_one_of_another_tenant_look_alike() {
    let neighbours = Neighbours::new().await;
    let token = neighbours.notes.token("alice").await;
    let id = uuid::Uuid::new_v4().to_string();
    for route in routes_of("for_devices") {
        let url_of = |tenant: &str, app: &str| url(neighbours.server.url(), &route, tenant, app, &id, &id);
        let absent = ask(&url_of("acme", "no-such-app"), &route.method, &token, None).await;
        let no_tenant = ask(&url_of("no-such-tenant", "notes"), &route.method, &token, None).await;
        // The app is acme's, under a tenant that has none of this name.
        let elsewhere = ask(&url_of("globex", "tasks"), &route.method, &token, None).await;
        assert_eq!(absent.status, StatusCode::NOT_FOUND, "{} {}", route.path, absent.text);
        for other in [no_tenant, elsewhere] {
            assert_eq!((other.status, &other.text), (absent.status, &absent.text), "{}", route.path);
        }
    }
}

#[tokio::test]
async fn a_user_cannot_touch_what_another_user_has_open() {
    let neighbours = Neighbours::new().await;
    let alice = open(&neighbours.notes, "alice").await;
    let mallory = open(&neighbours.notes, "mallory").await;
    let twin = open(&neighbours.tasks, "alice").await;
    let pool = neighbours.server.pool().await;
    let before = fingerprint(&pool).await;
    for route in routes_of("for_devices") {
        let code = if route.path.contains("{push_id}") {
            "push_session"
        } else if route.path.contains("{snapshot_id}") {
            "snapshot_session"
        } else {
            continue;
        };
        let body =
            route.path.ends_with("/chunks").then(|| json!({ "start_row_ordinal": 1, "rows": [alice.row] }));
        let url_of =
            |app: &str| url(neighbours.server.url(), &route, "acme", app, &alice.push, &alice.snapshot);
        let others = ask(&url_of("notes"), &route.method, &mallory.token, body.clone()).await;
        assert_eq!(others.status, StatusCode::FORBIDDEN, "{} {}: {}", route.method, route.path, others.text);
        assert_eq!(others.code(), format!("{code}_forbidden"));
        // The same user name in another app is another user, to whom the id means nothing.
        let elsewhere = ask(&url_of("tasks"), &route.method, &twin.token, body).await;
        assert_eq!(
            elsewhere.status,
            StatusCode::NOT_FOUND,
            "{} {}: {}",
            route.method,
            route.path,
            elsewhere.text
        );
        assert_eq!(elsewhere.code(), format!("{code}_not_found"));
    }
    assert_eq!(fingerprint(&pool).await, before);

    // What was attacked goes on as if nothing had happened.
    let base = &neighbours.notes.base_url;
    let commit = format!("{base}/sync/push-sessions/{}/commit", alice.push);
    let committed = ask(&commit, &Method::POST, &alice.token, Some(json!({}))).await;
    assert_eq!(committed.json()["bundle_seq"], 2, "{}", committed.text);
    let chunk = format!("{base}/sync/snapshot-sessions/{}?after_row_ordinal=0&max_rows=10", alice.snapshot);
    let chunk = ask(&chunk, &Method::GET, &alice.token, None).await;
    assert_eq!(chunk.json()["rows"].as_array().map(Vec::len), Some(1), "{}", chunk.text);
}

#[tokio::test]
async fn every_answer_to_a_user_is_about_their_own_rows() {
    let neighbours = Neighbours::new().await;
    let alice = open(&neighbours.notes, "alice").await;
    let bob = open(&neighbours.notes, "bob").await;
    for route in routes_of("for_devices").into_iter().filter(|route| route.method == Method::GET) {
        if route.path.ends_with("/watch") {
            // Tells numbers only, and does not end.
            continue;
        }
        for (who, other, session) in [("alice", "bob", &alice), ("bob", "alice", &bob)] {
            let mut url =
                url(neighbours.server.url(), &route, "acme", "notes", &session.push, &session.snapshot);
            if route.path.ends_with("/pull") {
                url.push_str("?after_bundle_seq=0");
            } else if route.path.contains("{snapshot_id}") {
                url.push_str("?after_row_ordinal=0&max_rows=10");
            }
            let answer = ask(&url, &route.method, &session.token, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{url}: {}", answer.text);
            assert!(!answer.text.contains(&format!("secret of {other}")), "{who} reads of {other} at {url}");
        }
    }
    // The same key in both scopes is two rows.
    let mut device = {
        let transport = crate::support::device::transport::Transport::new(
            Client::new(),
            &neighbours.notes.base_url,
            alice.token.clone(),
        );
        crate::support::device::Device::new("reader", Profile::Strings, transport)
    };
    device.sync().await.unwrap();
    let row = device.rows().get(&RowId::new("folders", "f1")).expect("alice's row").clone();
    assert_eq!(row["title"], Value::Text("secret of alice".to_owned()));
}

#[tokio::test]
async fn users_of_one_scope_share_it_and_users_of_another_do_not() {
    let neighbours = Neighbours::new().await;
    let mut tokens = Vec::new();
    for (user, scope) in
        [("ann", "team"), ("ben", "team"), ("team", "team"), ("eve", "other"), ("ann", "ann")]
    {
        tokens.push(neighbours.notes.token_in_scope(user, scope).await);
    }
    let device = |n: usize| {
        let transport = crate::support::device::transport::Transport::new(
            Client::new(),
            &neighbours.notes.base_url,
            tokens[n].clone(),
        );
        crate::support::device::Device::new(&format!("device-{n}"), Profile::Strings, transport)
    };
    let id = RowId::new("folders", "shared");
    let row = [("id", Value::Text("shared".to_owned())), ("title", Value::Text("ours".to_owned()))];
    let mut ann = device(0);
    assert!(ann.put(id.clone(), row.into()));
    ann.sync().await.unwrap();
    for (n, sees) in [(1, true), (2, true), (3, false), (4, false)] {
        let mut other = device(n);
        other.sync().await.unwrap();
        assert_eq!(other.rows().get(&id).is_some(), sees, "device {n}");
    }
}
