//! A tenant whose app has something on every page, ordinary things and the most extreme that the server takes.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value as Json, json};
use syncline::{control::tenants::TenantName, tables::spec::WireProfile};

use super::{
    app::{Answer, TestApp, TestSyncApp, TestTenant},
    sync_app::request_hash,
};

/// A right-to-left name, a word without a place to break it, and what would be markup.
pub(crate) const EXTREME_NAME: &str = "مؤسسة المزامنة الكبرى ‎<b>Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft</b>";

/// As long as a user's name may be, and most of it one word.
fn extreme_user() -> String {
    let name = format!("مستخدم/{}", "w".repeat(255));
    name.chars().take(255).collect()
}

/// Tables of every size: one of a row, one of two pages of rows, one of 40 columns.
pub(crate) fn ddl() -> String {
    let columns: Vec<String> = (1..40).map(|number| format!("column_number_{number} text")).collect();
    format!(
        "create table wide (id text primary key not null, {});
         create table a_table_whose_name_is_as_long_as_postgresql_takes (id text primary key not null, t text);
         create table folder (id text primary key not null, title text not null, stars integer check (stars >= 0));
         create table note (id blob primary key not null, folder_id text references folder (id) on delete cascade, body text);",
        columns.join(", ")
    )
}

/// The server and the app, the tenant `acme`'s.
pub(crate) struct Furnished {
    pub(crate) server: TestApp,
    pub(crate) notes: TestSyncApp,
}

impl Furnished {
    pub(crate) async fn new() -> Self {
        let server = TestApp::start().await;
        let owner = extreme_tenant(&server).await;
        let notes = server.create_app_of(&owner, "notes", WireProfile::Strings, &ddl()).await;
        let this = Self { server, notes };
        this.fill().await;
        this
    }

    async fn fill(&self) {
        let phone = self.device("ada", "phone").await;
        let laptop = self.device("ada", "laptop").await;
        let folders: Vec<Json> =
            (0..120).map(|number| folder(&format!("f{number:03}"), "INSERT", 0, "Plants")).collect();
        phone.commits(1, &folders).await;
        phone.commits(2, &[folder("f000", "UPDATE", 1, "Plants of spring")]).await;
        assert_eq!(laptop.push(1, &[folder("f000", "UPDATE", 1, "Herbs")]).await.code(), "push_conflict");
        let mut version = 1;
        for number in 3..70 {
            phone.commits(number, &[folder("f001", "UPDATE", version, &format!("Draft {number}"))]).await;
            version = number;
        }

        let extreme = self.device(&extreme_user(), &"d".repeat(255)).await;
        extreme.commits(1, &[wide("INSERT", 0, "ملاحظة ")]).await;
        extreme.commits(2, &[wide("UPDATE", 1, "w")]).await;
        let other = self.device(&extreme_user(), "other").await;
        assert_eq!(other.push(1, &[wide("UPDATE", 1, "x")]).await.code(), "push_conflict");
        let broken = folder("f\u{202e}000", "INSERT", 0, "No stars");
        let broken = with_stars(broken, "-1");
        assert!(other.push(1, &[broken]).await.status.is_client_error());
        for _ in 0..3 {
            self.device("ada", "tablet")
                .await
                .push(1, &[json!({ "schema": "main", "table": "nowhere" })])
                .await;
        }
        self.server.state().engine.write_device_facts().await;
    }

    async fn device(&self, user: &str, source: &str) -> PlainDevice {
        PlainDevice::connected(&self.notes, user, source).await
    }
}

/// A tenant with an extreme name, whose owner is `owner@acme.example`, and with another member.
async fn extreme_tenant(server: &TestApp) -> TestTenant {
    let (mut acme, other) = (server.tenant("acme").await, server.tenant("a-member").await);
    let name: String = EXTREME_NAME.chars().take(TenantName::MAX_CHARS).collect();
    let pool = server.pool().await;
    sqlx::query("update platform.tenant set name = $1 where slug = 'acme'")
        .bind(&name)
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into platform.member (tenant_id, account_id, role, created_at)
         select t.tenant_id, $1, 'viewer', now() from platform.tenant t where t.slug = 'acme'",
    )
    .bind(other.owner.account_id.uuid())
    .execute(&pool)
    .await
    .unwrap();
    acme.tenant.name = name;
    acme
}

/// An installation that remembers nothing.
#[derive(Debug)]
pub(crate) struct PlainDevice {
    base_url: String,
    token: String,
    source: String,
}

impl PlainDevice {
    /// A device of that user, connected.
    pub(crate) async fn connected(app: &TestSyncApp, user: &str, source: &str) -> Self {
        let token = app.token(user).await;
        let device = Self { base_url: app.base_url.clone(), token, source: source.to_owned() };
        device.post("connect", json!({ "has_local_pending_rows": false })).await;
        device
    }

    /// A push that succeeds.
    pub(crate) async fn commits(&self, number: i64, rows: &[Json]) {
        let answer = self.push(number, rows).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    /// Download all there is.
    pub(crate) async fn pulls(&self) {
        let request = Client::new()
            .get(format!("{}/sync/pull?after_bundle_seq=0", self.base_url))
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", &self.source);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    /// A whole push; answers what commit does, or the refusal before it.
    pub(crate) async fn push(&self, number: i64, rows: &[Json]) -> Answer {
        let announced = json!({
            "source_bundle_id": number, "planned_row_count": rows.len(), "canonical_request_hash": request_hash(rows),
        });
        let created = self.post("push-sessions", announced).await;
        let Some(push) = created.json()["push_id"].as_str().map(str::to_owned) else { return created };
        let chunk = json!({ "start_row_ordinal": 0, "rows": rows });
        let staged = self.post(&format!("push-sessions/{push}/chunks"), chunk).await;
        if !staged.status.is_success() {
            return staged;
        }
        self.post(&format!("push-sessions/{push}/commit"), json!({})).await
    }

    async fn post(&self, path: &str, body: Json) -> Answer {
        let request = Client::new()
            .request(Method::POST, format!("{}/sync/{path}", self.base_url))
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", &self.source)
            .json(&body);
        Answer::of(request).await
    }
}

/// A row of `folder` for a push.
pub(crate) fn folder(id: &str, op: &str, base: i64, title: &str) -> Json {
    json!({
        "schema": "main", "table": "folder", "key": { "id": id }, "op": op, "base_row_version": base,
        "payload": { "id": id, "title": title, "stars": "3" },
    })
}

/// The same with another count of stars.
pub(crate) fn with_stars(mut row: Json, stars: &str) -> Json {
    row["payload"]["stars"] = json!(stars);
    row
}

/// A row of `wide`, long values of this text in every column.
fn wide(op: &str, base: i64, text: &str) -> Json {
    let mut payload = json!({ "id": "w1" });
    for number in 1..40 {
        payload[format!("column_number_{number}")] = json!(text.repeat(number * 8));
    }
    json!({
        "schema": "main", "table": "wide", "key": { "id": "w1" }, "op": op, "base_row_version": base,
        "payload": payload,
    })
}
