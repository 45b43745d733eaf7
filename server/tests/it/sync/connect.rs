//! `POST sync/connect` (PROTOCOL.md section 2).

use reqwest::Method;
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::sync_app::{Reply, SyncApp, insert};

#[tokio::test]
async fn an_initialized_scope_is_downloaded() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    for pending in [true, false] {
        assert_eq!(device.connect(pending).await.ok(), json!({"resolution": "remote_authoritative"}));
    }
    let other = device.with_source("dev-2");
    assert_eq!(other.connect(true).await.ok(), json!({"resolution": "remote_authoritative"}));
}

#[tokio::test]
async fn an_empty_scope_is_initialized_by_a_device_without_rows() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    assert_eq!(device.connect(false).await.ok(), json!({"resolution": "initialize_empty"}));
    assert_eq!(device.connect(false).await.ok(), json!({"resolution": "remote_authoritative"}));
}

#[tokio::test]
async fn a_device_with_rows_leases_the_empty_scope_and_others_wait() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    let leased = device.connect(true).await.ok();
    assert_eq!(leased["resolution"], "initialize_local");
    let expires = OffsetDateTime::parse(leased["lease_expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
    let left = expires - app.state.clock.now();
    assert!(left > Duration::minutes(14) && left <= Duration::minutes(15), "{left}");
    let id = leased["initialization_id"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().to_string(), id);

    for pending in [true, false] {
        let waits = device.with_source("dev-2").connect(pending).await.ok();
        assert_eq!(waits["resolution"], "retry_later");
        assert!(waits["retry_after_seconds"].as_i64().unwrap() >= 1);
        assert_eq!(waits["lease_expires_at"], leased["lease_expires_at"]);
        assert!(waits.get("initialization_id").is_none());
    }

    app.advance(Duration::minutes(5));
    let again = device.connect(true).await.ok();
    assert_eq!(again["initialization_id"], leased["initialization_id"]);
    assert_ne!(again["lease_expires_at"], leased["lease_expires_at"]);
    // The lease holder has nothing to upload after all.
    assert_eq!(device.connect(false).await.ok(), json!({"resolution": "initialize_empty"}));
}

#[tokio::test]
async fn an_expired_lease_counts_for_nothing() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    let first = device.connect(true).await.ok();
    app.advance(Duration::minutes(16));
    let other = device.with_source("dev-2").connect(true).await.ok();
    assert_eq!(other["resolution"], "initialize_local");
    assert_ne!(other["initialization_id"], first["initialization_id"]);
    assert_eq!(device.connect(true).await.ok()["resolution"], "retry_later");
    app.advance(Duration::minutes(16));
    assert_eq!(device.connect(false).await.ok(), json!({"resolution": "initialize_empty"}));
}

#[tokio::test]
async fn two_devices_that_connect_at_once_get_one_lease() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..12 {
        let device = device.with_source(&format!("dev-{n}"));
        tasks
            .spawn(async move { device.connect(true).await.ok()["resolution"].as_str().unwrap().to_owned() });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| *answer == "initialize_local").count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| *answer == "retry_later").count(), 11, "{answers:?}");
}

#[tokio::test]
async fn scopes_are_decided_one_by_one() {
    let app = SyncApp::strings().await;
    app.device("ada", "dev-1").await.connect(true).await.ok();
    let bob = app.device("bob", "dev-1").await;
    assert_eq!(bob.connect(false).await.ok(), json!({"resolution": "initialize_empty"}));
    bob.push(1, &[insert("users", "u", json!({"name": "Bob"}))]).await.ok();
}

#[tokio::test]
async fn a_body_that_is_no_connect_is_refused() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "{\"has_local_pending_rows\":1}",
        "{\"has_local_pending_rows\":\"true\"}",
        "{\"has_local_pending_rows\":null}",
        "{\"has_local_pending_rows\":true,\"has_local_pending_rows\":true}",
        "{\"has_local_pending_rows\":true",
        &"[".repeat(100_000),
    ] {
        let request = device.request(Method::POST, "sync/connect").body(body.to_owned());
        Reply::of(request).await.refused(400, "connect_invalid");
    }
    let request = device.request(Method::POST, "sync/connect").body(b"{\"has_local\xff\":true}".to_vec());
    Reply::of(request).await.refused(400, "connect_invalid");
}
