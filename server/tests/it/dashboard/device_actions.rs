//! What people do to a device from its page: retire it, and end its user's tokens.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::{
    app::{TestApp, TestSyncApp},
    browser::{Browser, Page},
    sync_app::SyncClient,
};

const DDL: &str = "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL);";
/// Longer than the second that is promised takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn note(id: &str) -> Value {
    json!({
        "schema": "main", "table": "note", "key": {"id": id}, "op": "INSERT", "base_row_version": 0,
        "payload": {"id": id, "title": id},
    })
}

/// A server whose clock has moved past the second in which `phone` of `ada` got its token, and that device, known.
async fn with_device() -> (TestApp, TestSyncApp, SyncClient) {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let phone = SyncClient::of(&notes, &notes.token("ada").await, "phone");
    phone.connect(false).await.ok();
    phone.push(1, &[note("n1")]).await.ok();
    app.state().engine.write_device_facts().await;
    app.clock.advance(time::Duration::seconds(2));
    (app, notes, phone)
}

async fn owner(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    browser
}

async fn stream(device: &SyncClient) -> reqwest::Response {
    let answer = device.request(Method::GET, "sync/watch?after_bundle_seq=1").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

/// That the stream ends, and soon.
async fn ends(mut stream: reqwest::Response) {
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the stream ends");
}

/// That the stream is open after a moment.
async fn goes_on(stream: &mut reqwest::Response) {
    assert!(tokio::time::timeout(Duration::from_millis(1_500), stream.chunk()).await.is_err());
}

async fn audited(browser: &mut Browser, action: &str) -> Page {
    let log = browser.get("/d/acme/audit").await;
    assert!(log.texts("tbody code").contains(&action.to_owned()), "{}", log.html);
    log
}

#[tokio::test]
async fn revoked_tokens_open_nothing_any_more_and_streams_end_on_every_node() {
    let (app, notes, phone) = with_device().await;
    let node = app.another_node().await;
    let there = phone.at(&notes.base_url.replace(app.url(), &node.url));
    let bob = SyncClient::of(&notes, &notes.token_in_scope("bob", "ada").await, "tablet");
    let (here, elsewhere, mut bobs) = (stream(&phone).await, stream(&there).await, stream(&bob).await);
    let mut browser = owner(&app).await;
    let (page, action) = ("/d/acme/notes/devices/ada/phone", "/d/acme/notes/users/ada/revoke-tokens");
    let done = browser.submit(page, action, &[]).await;
    assert_eq!(done.location(), page);
    ends(here).await;
    ends(elsewhere).await;
    let message = phone.get("sync/pull").await.refused(401, "authentication_failed");
    assert_eq!(message, "The bearer token was revoked. Sign in again.");
    there.get("sync/pull").await.refused(401, "authentication_failed");

    // Another user of the same scope goes on, and so does this one after a new sign-in.
    goes_on(&mut bobs).await;
    app.clock.advance(time::Duration::seconds(1));
    let again = SyncClient::of(&notes, &notes.token("ada").await, "phone");
    again.get("sync/pull").await.ok();
    audited(&mut browser, "end_user.tokens_revoked").await;
    let shown = browser.get(page).await;
    assert!(shown.text("#tokens").contains("until just now is refused"), "{}", shown.text("#tokens"));

    browser.submit(page, "/d/acme/notes/users/ada/lift-revocation", &[]).await.location();
    phone.get("sync/pull").await.ok();
    audited(&mut browser, "end_user.revocation_lifted").await;
}

#[tokio::test]
async fn a_retired_device_is_told_to_go_on_as_another_and_can() {
    let (app, _, phone) = with_device().await;
    let open = stream(&phone).await;
    let mut other = stream(&phone.with_source("tablet")).await;
    let mut browser = owner(&app).await;
    let (page, action) = ("/d/acme/notes/devices/ada/phone", "/d/acme/notes/devices/ada/phone/retire");
    assert_eq!(browser.submit(page, action, &[]).await.location(), page);
    ends(open).await;
    goes_on(&mut other).await;

    let shown = browser.get(page).await;
    assert_eq!(shown.text(".verdict p:nth-of-type(2)"), "Retired by hand: it may not upload any more.");
    assert!(shown.texts("#retire").is_empty(), "it cannot be retired twice");
    audited(&mut browser, "device.retired").await;

    let refused = phone.create(2, &[note("n2")]).await;
    refused.refused(409, "source_retired");
    assert_eq!(refused.body["source_id"], "phone");
    let successor = refused.body["replaced_by_source_id"].as_str().expect("a successor to adopt").to_owned();
    phone.request(Method::GET, "sync/watch").send().await.unwrap().error_for_status().unwrap_err();
    let replacement =
        json!({"previous_source_id": "phone", "new_source_id": successor, "reason": "source_retired"});
    let session =
        phone.post("sync/snapshot-sessions", &json!({"source_replacement": replacement})).await.ok();
    assert_eq!(session["row_count"], 1);
    phone.with_source(&successor).push(1, &[note("n2")]).await.ok();

    let csrf = [("csrf_token".to_owned(), shown.csrf())];
    let again = browser.post(action, &csrf).await;
    assert!(browser.follow(&again).await.text(".notice").contains("retired before"));
    let nobody = browser.post("/d/acme/notes/devices/ada/nobody/retire", &csrf).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}
