//! Minting tokens, and which tokens open an app.

use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use syncline::{
    control::end_user_auth::{JwtSecretChange, NewEndUserAuthSettings},
    tables::spec::WireProfile,
};
use time::Duration;

use crate::support::app::{Answer, TestApp, TestSyncApp};

const OWN_SECRET: &str = "the app's own hs256 secret";

/// A request that needs nothing but a good token and a source.
async fn capabilities(app: &TestSyncApp, token: &str) -> Answer {
    let request = reqwest::Client::new()
        .get(format!("{}/sync/capabilities", app.base_url))
        .header("oversync-source-id", "device-1");
    Answer::of(if token.is_empty() { request } else { request.bearer_auth(token) }).await
}

async fn mint(app: &TestSyncApp, body: Value) -> Answer {
    app.call(Method::POST, "auth/token", &app.secret_key, Some(body)).await
}

fn own_token(app: &TestApp, claims: Value) -> String {
    let mut all = json!({ "sub": "ada", "exp": (app.clock.now() + Duration::minutes(5)).unix_timestamp() });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    jsonwebtoken::encode(&Header::default(), &all, &EncodingKey::from_secret(OWN_SECRET.as_bytes())).unwrap()
}

fn settings(issuer: Option<&str>, scope_claim: Option<&str>) -> NewEndUserAuthSettings {
    NewEndUserAuthSettings {
        jwt_secret: JwtSecretChange::Set(OWN_SECRET.to_owned()),
        issuer: issuer.map(str::to_owned),
        audience: None,
        clock_skew_seconds: 0,
        user_claim: "sub".to_owned(),
        scope_claim: scope_claim.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_minted_token_opens_its_scope_until_it_expires() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let minted = mint(&notes, json!({ "user_id": "ada", "ttl_seconds": 60 })).await;
    assert_eq!(minted.status, StatusCode::OK, "{}", minted.text);
    let token = minted.json()["access_token"].as_str().unwrap().to_owned();
    let mut rest = minted.json();
    rest.as_object_mut().unwrap().remove("access_token");
    assert_eq!(
        rest,
        json!({ "token_type": "Bearer", "expires_in": 60, "user_id": "ada", "scope_id": "ada" })
    );
    assert_eq!(capabilities(&notes, &token).await.status, StatusCode::OK);

    app.clock.advance(Duration::seconds(61));
    let refused = capabilities(&notes, &token).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::UNAUTHORIZED, "authentication_failed")
    );
    assert_eq!(refused.json()["message"], "The bearer token has expired. Get a new one.");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_token_request_with_something_wrong_says_what() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    for (body, says) in [
        (json!({}), "missing field `user_id`"),
        (json!({ "user_id": 7 }), "expected a string"),
        (json!({ "user_id": "" }), "1 to 255 characters"),
        (json!({ "user_id": "x".repeat(256) }), "1 to 255 characters"),
        (json!({ "user_id": "a\u{0}b" }), "control characters"),
        (json!({ "user_id": "ada", "scope_id": "" }), "scope_id"),
        (json!({ "user_id": "ada", "ttl_seconds": 0 }), "from 1 to 2592000"),
        (json!({ "user_id": "ada", "ttl_seconds": 1e300 }), "ttl_seconds"),
        (json!({ "user_id": "ada", "ttl_seconds": i64::MAX }), "from 1 to 2592000"),
        (json!({ "user_id": "ada", "scope": "x" }), "unknown field `scope`"),
    ] {
        let answer = mint(&notes, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_request"),
            "{body}"
        );
        assert!(answer.text.contains(says), "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_with_a_sentence() {
    let app = TestApp::start_with(|config| config.limits.max_request_bytes = 64 * 1024).await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let send = async |content_type: &str, body: Vec<u8>| {
        let request = reqwest::Client::new()
            .post(format!("{}/auth/token", notes.base_url))
            .bearer_auth(&notes.secret_key)
            .header("content-type", content_type)
            .body(body);
        let answer = Answer::of(request).await;
        assert!(answer.json()["message"].is_string(), "{}", answer.text);
        (answer.status.as_u16(), answer.code())
    };
    let json = "application/json";
    let invalid = (400, "invalid_request".to_owned());
    assert_eq!(send(json, b"{".to_vec()).await, invalid);
    assert_eq!(send(json, b"".to_vec()).await, invalid);
    assert_eq!(send(json, b"{\"user_id\":\"\xff\"}".to_vec()).await, invalid);
    assert_eq!(send(json, b"{\"user_id\":\"a\",\"user_id\":\"b\"}".to_vec()).await, invalid);
    assert_eq!(send(json, b"[".repeat(60_000)).await, invalid);
    assert_eq!(send(json, b" ".repeat(65 * 1024)).await, (413, "request_too_large".to_owned()));
    assert_eq!(send("text/plain", b"{}".to_vec()).await, (415, "unsupported_media_type".to_owned()));
}

#[tokio::test]
async fn only_a_good_secret_key_of_this_app_mints() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let other = app.create_app_of(&notes.owner, "other", WireProfile::Strings, "").await;
    let body = || Some(json!({ "user_id": "ada" }));
    let mint = async |key: &str| {
        let answer = notes.call(Method::POST, "auth/token", key, body()).await;
        (answer.status.as_u16(), answer.code())
    };
    let unauthenticated = (401, "authentication_failed".to_owned());
    assert_eq!(mint("").await, unauthenticated);
    assert_eq!(mint("sk_live_wrong").await, unauthenticated);
    assert_eq!(mint(&other.secret_key).await, unauthenticated);
    assert_eq!(mint(&notes.token("ada").await).await, unauthenticated);
    assert_eq!(mint(&notes.publishable_key).await, (403, "secret_key_required".to_owned()));
}

#[tokio::test]
async fn the_apps_own_jwt_is_accepted_as_its_settings_say_on_every_node() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let there = app.another_node().await;
    let on_the_other_node =
        TestSyncApp { base_url: notes.base_url.replace(app.url(), &there.url), ..notes.clone() };
    let token = own_token(&app, json!({ "iss": "https://app.example" }));
    let refused = capabilities(&on_the_other_node, &token).await;
    assert_eq!(refused.json()["message"], "The bearer token was not issued for this app.");

    let control = &app.state().control;
    let actor = notes.owner.owner.actor();
    let change = async |settings: &NewEndUserAuthSettings| {
        control.change_end_user_auth(&actor, &notes.app, settings).await.unwrap();
        // Effective on the other node when it has polled, which it does by itself within a second.
        there.state.directory.poll().await.unwrap();
    };
    change(&settings(Some("https://app.example"), None)).await;
    assert_eq!(capabilities(&on_the_other_node, &token).await.status, StatusCode::OK);

    change(&settings(Some("https://other.example"), None)).await;
    let refused = capabilities(&on_the_other_node, &token).await;
    assert_eq!(refused.json()["message"], "The bearer token is from another issuer (iss).");
    assert!(!refused.text.contains("other.example"), "settings are nobody's business");

    change(&settings(None, Some("team"))).await;
    let refused = capabilities(&on_the_other_node, &token).await;
    assert_eq!(refused.json()["message"], "The bearer token names no acceptable scope.");
    let with_team = own_token(&app, json!({ "team": "blue" }));
    assert_eq!(capabilities(&on_the_other_node, &with_team).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_change_is_effective_on_every_node_within_a_second_by_itself() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let there = app.another_node().await;
    let elsewhere = TestSyncApp { base_url: notes.base_url.replace(app.url(), &there.url), ..notes.clone() };
    let token = own_token(&app, json!({}));
    assert_eq!(capabilities(&elsewhere, &token).await.status, StatusCode::UNAUTHORIZED);
    let changed = std::time::Instant::now();
    app.state()
        .control
        .change_end_user_auth(&notes.owner.owner.actor(), &notes.app, &settings(None, None))
        .await
        .unwrap();
    while capabilities(&elsewhere, &token).await.status != StatusCode::OK {
        assert!(changed.elapsed() < std::time::Duration::from_secs(5), "the other node never noticed");
    }
}

#[tokio::test]
async fn a_device_needs_a_token_and_one_source_id() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let token = notes.token("ada").await;
    let send = async |headers: &[(&str, &str)]| {
        let mut request = reqwest::Client::new().get(format!("{}/sync/capabilities", notes.base_url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request).await;
        (answer.status.as_u16(), answer.code())
    };
    let bearer = format!("Bearer {token}");
    let unauthenticated = (401, "authentication_failed".to_owned());
    let invalid = (400, "invalid_request".to_owned());
    assert_eq!(send(&[("oversync-source-id", "d")]).await, unauthenticated);
    assert_eq!(send(&[("authorization", "Basic eDp5"), ("oversync-source-id", "d")]).await, unauthenticated);
    assert_eq!(
        send(&[("authorization", "Bearer x.y.z"), ("oversync-source-id", "d")]).await,
        unauthenticated
    );
    assert_eq!(send(&[("authorization", &bearer)]).await, invalid);
    assert_eq!(send(&[("authorization", &bearer), ("oversync-source-id", "a b")]).await, invalid);
    assert_eq!(
        send(&[("authorization", &bearer), ("oversync-source-id", "server:dashboard")]).await,
        invalid
    );
    let twice =
        [("authorization", bearer.as_str()), ("oversync-source-id", "a"), ("oversync-source-id", "b")];
    assert_eq!(send(&twice).await, invalid);
    assert_eq!(send(&[("authorization", &bearer), ("oversync-source-id", "d")]).await.0, 200);
}
