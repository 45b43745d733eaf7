//! Keys over the API: issued once, listed without their secret, revoked at once.

use reqwest::{Method, StatusCode};
use serde_json::json;
use syncline::{
    control::api_keys::{KeyKind, KeyScope, NewApiKey},
    tables::spec::WireProfile,
};
use time::Duration;

use crate::support::app::{TestApp, TestSyncApp};

async fn mints(app: &TestSyncApp, key: &str) -> bool {
    let answer = app.call(Method::POST, "auth/token", key, Some(json!({ "user_id": "ada" }))).await;
    answer.status == StatusCode::OK
}

#[tokio::test]
async fn a_key_is_issued_used_listed_and_revoked() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let body = json!({ "name": "backend", "kind": "secret", "scopes": ["tokens"] });
    let issued = notes.call(Method::POST, "api/keys", &notes.secret_key, Some(body)).await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    assert_eq!(issued.headers["cache-control"], "no-store");
    let (id, token) = (issued.json()["id"].clone(), issued.json()["token"].as_str().unwrap().to_owned());
    assert!(token.starts_with("sk_live_") && token.len() > 40);
    assert!(mints(&notes, &token).await);

    // Uses are collected, and written in batches.
    app.state().control.write_key_uses().await.unwrap();
    let list = notes.call(Method::GET, "api/keys", &notes.secret_key, None).await;
    assert!(!list.text.contains(&token), "the secret is shown again");
    let entry = list.json()["keys"][0].clone();
    assert_eq!(
        (&entry["id"], &entry["name"], &entry["scopes"]),
        (&id, &json!("backend"), &json!(["tokens"]))
    );
    assert!(entry["last_used_at"].is_string() && entry["revoked_at"].is_null(), "{entry}");
    assert!(token.starts_with(entry["prefix"].as_str().unwrap()));

    let path = format!("api/keys/{}", id.as_str().unwrap());
    let revoked = notes.call(Method::DELETE, &path, &notes.secret_key, None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert!(!mints(&notes, &token).await);
    let answer = notes.call(Method::POST, "auth/token", &token, Some(json!({ "user_id": "ada" }))).await;
    assert_eq!(answer.json()["message"], "This API key was revoked.");
    assert_eq!(
        notes.call(Method::DELETE, &path, &notes.secret_key, None).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_revocation_is_effective_at_once_on_every_node() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let there = app.another_node().await;
    let elsewhere = TestSyncApp { base_url: notes.base_url.replace(app.url(), &there.url), ..notes.clone() };
    assert!(mints(&elsewhere, &notes.secret_key).await);
    let control = &app.state().control;
    let keys = control.api_keys(&notes.app).await.unwrap();
    let secret = keys.iter().find(|key| key.kind == KeyKind::Secret).unwrap().api_key_id;
    assert!(control.revoke_api_key(&notes.owner.owner.actor(), &notes.app, secret).await.unwrap());
    assert!(!mints(&elsewhere, &notes.secret_key).await);
}

#[tokio::test]
async fn a_key_expires() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let soon = app.clock.now() + Duration::hours(1);
    let new = NewApiKey {
        expires_at: Some(soon),
        ..NewApiKey::unrestricted(KeyKind::Secret, "short-lived").unwrap()
    };
    let issued =
        app.state().control.issue_api_key(&notes.owner.owner.actor(), &notes.app, new).await.unwrap();
    assert!(mints(&notes, issued.token.expose()).await);
    app.clock.advance(Duration::hours(1));
    assert!(!mints(&notes, issued.token.expose()).await);
    let answer = notes.call(Method::GET, "api/keys", issued.token.expose(), None).await;
    assert_eq!(answer.json()["message"], "This API key has expired.");
}

#[tokio::test]
async fn a_key_may_do_only_what_its_scopes_say_and_give_no_more_away() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let new = NewApiKey {
        scopes: vec![KeyScope::Keys],
        ..NewApiKey::unrestricted(KeyKind::Secret, "keys only").unwrap()
    };
    let issued =
        app.state().control.issue_api_key(&notes.owner.owner.actor(), &notes.app, new).await.unwrap();
    let key = issued.token.expose();
    let missing = (StatusCode::FORBIDDEN, "key_scope_missing".to_owned());
    let ask = async |method: Method, path: &str, body| {
        let answer = notes.call(method, path, key, body).await;
        (answer.status, answer.code())
    };
    assert_eq!(ask(Method::POST, "auth/token", Some(json!({ "user_id": "ada" }))).await, missing);
    assert_eq!(ask(Method::GET, "api/schema", None).await, missing);
    let more = json!({ "name": "x", "kind": "secret", "scopes": ["keys", "data"] });
    assert_eq!(ask(Method::POST, "api/keys", Some(more)).await, missing);
    let same = json!({ "name": "x", "kind": "secret" });
    assert_eq!(ask(Method::POST, "api/keys", Some(same)).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_request_with_something_wrong_says_what() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    for (body, says) in [
        (json!({ "name": "", "kind": "secret" }), "Give it a name"),
        (json!({ "name": "a\u{7}b", "kind": "secret" }), "control characters"),
        (json!({ "name": "x", "kind": "root" }), "unknown variant `root`"),
        (json!({ "name": "x", "kind": "secret", "scopes": ["everything"] }), "unknown variant"),
        (json!({ "name": "x", "kind": "publishable", "scopes": ["data"] }), "has no scopes"),
        (json!({ "name": "x", "kind": "secret", "expires_at": "2001-01-01T00:00:00Z" }), "in the future"),
        (json!({ "name": "x", "kind": "secret", "expires_at": "tomorrow" }), "expected"),
    ] {
        let answer = notes.call(Method::POST, "api/keys", &notes.secret_key, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
        assert!(answer.text.contains(says), "{body}: {}", answer.text);
    }
    for id in
        ["nothing", "app_0192f0c1a5d87c0bb1c5a1f0e5b7d9a3", "key_0192f0c1a5d87c0bb1c5a1f0e5b7d9a3", "%FF"]
    {
        let answer = notes.call(Method::DELETE, &format!("api/keys/{id}"), &notes.secret_key, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}: {}", answer.text);
    }
}
