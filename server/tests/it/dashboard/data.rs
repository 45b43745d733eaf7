//! The pages that show an app's data, with two devices of which one loses a conflict.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    app::{Answer, TestApp, TestSyncApp},
    browser::Browser,
    sync_app::request_hash,
};
use syncline::tables::spec::WireProfile;

const DDL: &str =
    "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE, done BOOLEAN);";

/// A device of the user `ada/<b>`.
pub(super) struct Device<'a> {
    pub(super) app: &'a TestSyncApp,
    pub(super) token: String,
    pub(super) source: &'static str,
}

impl Device<'_> {
    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        let request = Client::new()
            .request(Method::POST, format!("{}/sync/{path}", self.app.base_url))
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", self.source)
            .json(&body);
        Answer::of(request).await
    }

    async fn push(&self, number: i64, op: &str, base: i64, title: &str) -> Answer {
        let payload = json!({"id": "n1", "title": title, "done": "1"});
        let rows = [json!({
            "schema": "main", "table": "note", "key": {"id": "n1"}, "op": op, "base_row_version": base, "payload": payload,
        })];
        let announced = json!({
            "source_bundle_id": number, "planned_row_count": 1, "canonical_request_hash": request_hash(&rows),
        });
        let created = self.post("push-sessions", announced).await;
        let push = created.json()["push_id"].as_str().unwrap().to_owned();
        self.post(&format!("push-sessions/{push}/chunks"), json!({"start_row_ordinal": 0, "rows": rows}))
            .await;
        self.post(&format!("push-sessions/{push}/commit"), json!({})).await
    }
}

pub(super) async fn owner(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    browser
}

/// Bundle 1 and 2 by `phone`; `laptop` has lost a conflict over bundle 2.
pub(super) async fn with_conflict(app: &TestApp) -> TestSyncApp {
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let token = notes.token_in_scope("ada", "ada/<b>").await;
    let device = |source| Device { app: &notes, token: token.clone(), source };
    let (phone, laptop) = (device("phone"), device("laptop"));
    phone.post("connect", json!({"has_local_pending_rows": false})).await;
    assert_eq!(phone.push(1, "INSERT", 0, "milk").await.status, StatusCode::OK);
    assert_eq!(phone.push(2, "UPDATE", 1, "bread").await.status, StatusCode::OK);
    assert_eq!(laptop.push(1, "UPDATE", 1, "eggs").await.code(), "push_conflict");
    notes
}

#[tokio::test]
async fn every_page_of_an_app_without_anything_says_what_to_do_next() {
    let app = TestApp::start().await;
    app.create_app(WireProfile::Strings, "").await;
    let mut browser = owner(&app).await;
    for path in ["", "?range=week", "?range=x", "/live", "/schema", "/docs", "/docs/openapi.json"] {
        assert_eq!(browser.get(&format!("/d/acme/notes{path}")).await.status, StatusCode::OK, "{path}");
    }
    for path in ["tables", "users", "devices", "conflicts", "history", "rejected"] {
        let page = browser.get(&format!("/d/acme/notes/{path}")).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.html);
        assert_eq!(page.texts(".empty h2").len(), 1, "{path}");
    }
    for path in ["tables/x", "users/x", "devices/x/y", "conflicts/x", "history/x/1", "rejected/x"] {
        let page = browser.get(&format!("/d/acme/notes/{path}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_conflict_is_shown_with_its_three_rows_and_every_page_leads_to_it() {
    let app = TestApp::start().await;
    with_conflict(&app).await;
    let mut browser = owner(&app).await;

    let users = browser.get("/d/acme/notes/users").await;
    assert_eq!(users.attribute("tbody th a", "href").unwrap(), "/d/acme/notes/users/ada%2F%3Cb%3E");
    let user = browser.get("/d/acme/notes/users/ada%2F%3Cb%3E").await;
    assert_eq!(user.text("h1"), "ada/<b>");
    assert_eq!(user.texts(".rows .row-link")[0], "note1 row, about 39 B");

    let conflicts = browser.get("/d/acme/notes/conflicts?table=note&outcome=open&scope=ada%2F%3Cb%3E").await;
    assert_eq!(conflicts.texts(".table tbody tr").len(), 1, "{}", conflicts.html);
    let conflict = browser.get(&conflicts.attribute("tbody th a", "href").unwrap()).await;
    let title = conflict.texts(".compare tr.disputed td");
    assert_eq!(title, ["milk", "eggs", "bread"], "{}", conflict.html);
    assert!(browser.get("/d/acme/notes/conflicts?outcome=merged").await.html.contains("No conflict matches"));

    let history = browser.get("/d/acme/notes/history").await;
    assert_eq!(history.texts("tbody th"), ["2", "1"], "{}", history.html);
    let of_phone = browser.get_part("/d/acme/notes/history?scope=ada%2F%3Cb%3E&source=phone").await;
    assert!(of_phone.html.contains("/history/ada%2F%3Cb%3E/2") && !of_phone.html.contains("<html"));
    let bundle = browser.get("/d/acme/notes/history/ada%2F%3Cb%3E/2").await;
    assert!(bundle.text(".pairs").contains("bread"), "{}", bundle.html);

    let tables = browser.get("/d/acme/notes/tables").await;
    assert_eq!(tables.texts("tbody td[data-label=Rows]"), ["1"]);
    let table = browser.get("/d/acme/notes/tables/note?scope=ada%2F%3Cb%3E").await;
    assert!(table.text(".grid tbody tr").contains("bread"), "{}", table.html);
}

#[tokio::test]
async fn a_refused_write_is_in_the_inbox_with_its_row() {
    let app = TestApp::start().await;
    let notes = with_conflict(&app).await;
    let token = notes.token_in_scope("ada", "ada/<b>").await;
    let laptop = Device { app: &notes, token, source: "laptop" };
    laptop.push(1, "DELETE", 2, "no payload is allowed here").await;
    let mut browser = owner(&app).await;
    let inbox = browser.get("/d/acme/notes/rejected?state=open").await;
    assert_eq!(inbox.texts("tbody tr").len(), 1, "{}", inbox.html);
    let write = browser.get(&inbox.attribute("tbody th a", "href").unwrap()).await;
    assert_eq!(write.status, StatusCode::OK, "{}", write.html);
    assert!(write.text("h1").contains("push_chunk_invalid"), "{}", write.html);
}

#[tokio::test]
async fn a_schema_is_looked_at_before_it_is_published() {
    let app = TestApp::start().await;
    app.create_app(WireProfile::Strings, "").await;
    let mut browser = owner(&app).await;
    let (page, preview, apply) =
        ("/d/acme/notes/schema", "/d/acme/notes/schema/preview", "/d/acme/notes/schema/apply");
    let refused = browser.submit(page, preview, &[("ddl", "CREATE TABLE t (\n  a INTEGER\n);")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text(".problem-place").starts_with("Line "), "{}", refused.html);
    assert!(refused.text("textarea").contains("a INTEGER"));

    let shown = browser.submit(page, preview, &[("ddl", DDL)]).await;
    assert_eq!(shown.texts(".changes li"), ["Adds table note"], "{}", shown.html);
    let published = browser.post(apply, &shown.form(apply)).await;
    let published = browser.follow(&published).await;
    assert_eq!(published.texts(".table-shape h3"), ["note"], "{}", published.html);
    assert!(published.text(".lede").starts_with("Version 1"));
}

#[tokio::test]
async fn hostile_addresses_and_queries_find_nothing_and_break_nothing() {
    let app = TestApp::start().await;
    with_conflict(&app).await;
    let mut browser = owner(&app).await;
    for path in [
        "users?prefix=%00",
        "users?after=%00",
        "users/%00",
        "users/~..",
        "devices?scope=%00&after=%7B",
        "devices?after=%7B%22last_seen_at%22%3A%222026-01-01T00%3A00%3A00Z%22%2C%22scope%22%3A%22%5Cu0000%22%2C%22source%22%3A%22%22%7D",
        "devices/a/%20",
        "devices?q=%00",
        "devices?q=%F4%8F%BF%BF&verdict=healthy",
        "devices?verdict=x",
        "devices?q=a&after=%7B%22seen%22%3A%7B%22at%22%3A%22-999999-01-01T00%3A00%3A00Z%22%2C%22scope%22%3A%22%22%2C%22source%22%3A%22%22%7D%7D",
        "history?scope=%00",
        "history?scope=a&source=%00",
        "history?source=phone",
        "history/a/99999999999999999999",
        "history/a/-1",
        "history/ada%2F%3Cb%3E/1?from=-5",
        "conflicts?source=%00",
        "conflicts?outcome=x",
        "conflicts?table=%00",
        "rejected?state=x",
        "rejected?scope=%00",
        "tables/note?scope=%00",
        "tables/note?after=%7B%22scope%22%3A%22a%22%2C%22key%22%3A%22%5Cu0000%22%7D",
        "tables/%00",
    ] {
        let status = browser.get(&format!("/d/acme/notes/{path}")).await.status;
        assert!(status == StatusCode::OK || status.is_client_error(), "{path}: {status}");
    }
}
