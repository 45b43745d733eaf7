//! The inbox of refused writes: what is in the way, and what people do about it.

use reqwest::StatusCode;
use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use super::data::{Device, owner};
use crate::support::{
    app::{Answer, TestApp, TestSyncApp},
    browser::{Browser, Page},
    sync_app::request_hash,
};

const INBOX: &str = "/d/acme/notes/rejected";

const DDL: &str = "CREATE TABLE list (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
CREATE TABLE note (
    id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE, list_id TEXT REFERENCES list (id)
);";

async fn push(device: &Device<'_>, number: i64, rows: &[Value]) -> Answer {
    let announced = json!({
        "source_bundle_id": number, "planned_row_count": rows.len(), "canonical_request_hash": request_hash(rows),
    });
    let created = device.post("push-sessions", announced).await;
    let push = created.json()["push_id"].as_str().unwrap_or_else(|| panic!("{}", created.text)).to_owned();
    device.post(&format!("push-sessions/{push}/chunks"), json!({"start_row_ordinal": 0, "rows": rows})).await;
    device.post(&format!("push-sessions/{push}/commit"), json!({})).await
}

fn row(table: &str, id: &str, op: &str, base: i64, payload: Value) -> Value {
    json!({
        "schema": "main", "table": table, "key": {"id": id}, "op": op, "base_row_version": base, "payload": payload,
    })
}

fn note(id: &str, title: &str, list: Option<&str>) -> Value {
    row("note", id, "INSERT", 0, json!({"id": id, "title": title, "list_id": list}))
}

async fn devices(notes: &TestSyncApp) -> (Device<'_>, Device<'_>) {
    let token = notes.token("ada").await;
    let device = |source| Device { app: notes, token: token.clone(), source };
    let (phone, laptop) = (device("phone"), device("laptop"));
    phone.post("connect", json!({"has_local_pending_rows": false})).await;
    (phone, laptop)
}

async fn only_failure(browser: &mut Browser) -> (String, Page) {
    let inbox = browser.get(INBOX).await;
    assert_eq!(inbox.texts("tbody tr").len(), 1, "{}", inbox.html);
    let address = inbox.attribute("tbody th a", "href").unwrap();
    let page = browser.get(&address).await;
    (address, page)
}

/// Press the button that puts the failure into that state.
async fn press(browser: &mut Browser, failure: &str, state: &str) -> Page {
    let token = browser.get(failure).await.csrf();
    let fields = [("csrf_token".to_owned(), token), ("state".to_owned(), state.to_owned())];
    let answer = browser.post(&format!("{failure}/state"), &fields).await;
    browser.follow(&answer).await
}

#[tokio::test]
async fn a_failure_is_resolved_comes_back_and_is_ignored() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let (phone, laptop) = devices(&notes).await;
    push(&phone, 1, &[note("n1", "milk", None)]).await;
    let refused = push(&laptop, 1, &[note("n2", "milk", None)]).await;
    assert_eq!(refused.code(), "push_commit_invalid", "{}", refused.text);
    let mut browser = owner(&app).await;
    let (failure, page) = only_failure(&mut browser).await;
    assert!(
        page.text(".verdict").contains("No two rows of a user in note may have the same title"),
        "{}",
        page.html
    );
    assert_eq!(
        page.texts(".obstacle > span:first-child"),
        ["note n1 has the value already."],
        "{}",
        page.html
    );
    assert_eq!(page.attribute(".obstacle a", "href").unwrap(), "/d/acme/notes/history/ada/rows/note/n1");

    let page = press(&mut browser, &failure, "resolved").await;
    assert!(page.text(".verdict-label").starts_with("resolved"), "{}", page.html);
    assert!(page.text(".verdict-label").contains("by owner@acme.example"), "{}", page.html);
    push(&laptop, 1, &[note("n2", "milk", None)]).await;
    let (_, page) = only_failure(&mut browser).await;
    assert!(page.text(".verdict-label").starts_with("open"), "it came back: {}", page.html);
    assert!(!page.text(".verdict-label").contains("owner@"), "{}", page.html);

    press(&mut browser, &failure, "ignored").await;
    push(&laptop, 1, &[note("n2", "milk", None)]).await;
    let (_, page) = only_failure(&mut browser).await;
    assert!(page.text(".verdict-label").starts_with("ignored"), "{}", page.html);
    assert!(page.text(".facts").contains("3, the first"), "{}", page.html);
    assert_eq!(browser.get(&format!("{INBOX}?state=open")).await.texts("tbody tr").len(), 0);
    let done = browser.get("/d/acme/audit").await.texts("tbody td[data-label=What]");
    assert_eq!(done.iter().filter(|action| *action == "rejected_write.state_changed").count(), 2, "{done:?}");
    let odd = browser.post(&format!("{failure}/state"), &[("csrf_token".to_owned(), page.csrf())]).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_data_is_fixed_and_the_device_gets_through() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let (phone, laptop) = devices(&notes).await;
    push(&phone, 1, &[row("list", "l", "INSERT", 0, json!({"id": "l", "name": "food"}))]).await;
    push(&phone, 2, &[row("list", "l", "DELETE", 1, Value::Null)]).await;
    push(&laptop, 1, &[note("n", "milk", Some("l"))]).await;
    let mut browser = owner(&app).await;
    let (failure, page) = only_failure(&mut browser).await;
    assert_eq!(
        page.texts(".obstacle > span:first-child"),
        ["list l is referred to, but bundle 2 deleted it."],
        "{}",
        page.html
    );
    let history = page.attribute(".obstacle a", "href").unwrap();
    let restore = format!("{history}/restore");
    let shown = browser.submit(&history, &format!("{restore}/preview"), &[]).await;
    let written = browser.post(&restore, &shown.form(&restore)).await;
    assert!(written.status.is_redirection(), "{}", written.html);

    let through = push(&laptop, 1, &[note("n", "milk", Some("l"))]).await;
    assert_eq!(through.status, StatusCode::OK, "{}", through.text);
    app.state().engine.write_device_facts().await;
    let page = browser.get(&failure).await;
    assert!(page.text(".verdict-label").starts_with("resolved"), "{}", page.html);
}

#[tokio::test]
async fn what_refers_to_a_row_that_is_to_be_deleted_is_named() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let (phone, laptop) = devices(&notes).await;
    let list = row("list", "l", "INSERT", 0, json!({"id": "l", "name": "food"}));
    push(&phone, 1, &[list, note("n", "milk", Some("l"))]).await;
    push(&laptop, 1, &[row("list", "l", "DELETE", 1, Value::Null)]).await;
    push(&phone, 2, &[note("m", "eggs", Some("nowhere"))]).await;
    let mut browser = owner(&app).await;
    let mut said = Vec::new();
    for address in browser.get(INBOX).await.links("tbody th a") {
        said.extend(browser.get(&address).await.texts(".obstacle > span:first-child"));
    }
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "list nowhere is referred to, but was never uploaded.",
            "note n still refers to what the device deletes.",
        ]
    );
}
