//! A server on a real socket with one app whose tables are known, and clients that speak to it as devices.

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, postgres::PgRow};
use syncline::{
    app::Syncline,
    clock::Clock,
    http,
    ids::{AppId, Chance, ScopeId, UserId},
    ops::config::Config,
    tables::{
        catalog::AppCatalog,
        engine_schema,
        ident::Ident,
        plan,
        publish::{self, Publication},
        spec::{TableSpec, WireProfile},
    },
};
use time::Duration;

use super::{
    app::{TestSyncApp, secret_key},
    database::{self, TestDatabase},
};

/// One server, one app (`/t/acme/notes`).
pub(crate) struct SyncApp {
    pub(crate) state: Syncline,
    pub(crate) app: AppId,
    pub(crate) profile: WireProfile,
    pub(crate) base: String,
    pub(crate) database: TestDatabase,
}

/// Somebody with a token and a source id.
#[derive(Debug, Clone)]
pub(crate) struct SyncClient {
    http: reqwest::Client,
    base: String,
    profile: WireProfile,
    pub(crate) token: String,
    pub(crate) source: String,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null if the text is no JSON.
    pub(crate) body: Value,
}

impl SyncApp {
    /// An app of the profile with `tables` (specs as JSON; see [`tables`]), limits as `change` leaves them.
    pub(crate) async fn start_with(
        profile: WireProfile,
        tables: Value,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let database = database::fresh().await;
        let databases = database.databases().await;
        let mut config = Config::default();
        change(&mut config);
        let clock = Clock::for_testing();
        let state = Syncline::new(config, secret_key(), clock.clone(), Chance::seeded(1), databases.clone());
        let app = AppId::new();
        engine_schema::create(&databases.apps, app, profile, clock.now()).await.unwrap();
        for sql in [
            "insert into platform.tenant (tenant_id, slug, name, created_at)
             values ('00000000-0000-0000-0000-000000000001', 'acme', 'Acme', now())",
            &format!(
                "insert into platform.app (app_id, tenant_id, slug, name, state, wire_profile, logical_schema,
                    created_at)
                 values ('{}', '00000000-0000-0000-0000-000000000001', 'notes', 'Notes', 'ready',
                    '{profile}', 'business', now())",
                app.uuid()
            ),
            &format!(
                "insert into platform.app_end_user_auth (app_id, mint_secret, mint_key_id)
                 values ('{}', decode(repeat('ab', 32), 'hex'), 'test')",
                app.uuid()
            ),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&databases.platform).await.unwrap();
        }
        let base = serve(&state).await;
        let this = Self { state, app, profile, base, database };
        this.publish(tables).await;
        this
    }

    /// The base URL of the app on a second server on the same database, whose background tasks run.
    pub(crate) async fn another_node(&self) -> String {
        let state = Syncline::new(
            Config::clone(&self.state.config),
            secret_key(),
            self.state.clock.clone(),
            Chance::seeded(2),
            self.database.databases().await,
        );
        state.start_tasks();
        serve(&state).await
    }

    /// An app of the profile with [`tables`].
    pub(crate) async fn start(profile: WireProfile) -> Self {
        Self::start_with(profile, tables(), |_| {}).await
    }

    pub(crate) async fn strings() -> Self {
        Self::start(WireProfile::Strings).await
    }

    pub(crate) async fn numbers() -> Self {
        Self::start(WireProfile::Numbers).await
    }

    /// Publish `tables` as the next version.
    pub(crate) async fn publish(&self, tables: Value) {
        let tables: Vec<TableSpec> = serde_json::from_value(tables).unwrap();
        let plan = plan::plan(&self.catalog().await.spec(), tables).unwrap();
        let publication = Publication { ddl: "", by: "test", at: self.state.clock.now() };
        publish::publish(&self.state.databases.apps, self.app, self.profile, &plan, &publication)
            .await
            .unwrap();
    }

    /// The latest tables.
    pub(crate) async fn catalog(&self) -> AppCatalog {
        let logical_schema = Ident::parse("business").unwrap();
        AppCatalog::load(&self.state.databases.apps, self.app, self.profile, &logical_schema).await.unwrap()
    }

    /// A device `source` of `user`, whose scope is their own.
    pub(crate) async fn device(&self, user: &str, source: &str) -> SyncClient {
        self.device_in_scope(user, user, source).await
    }

    pub(crate) async fn device_in_scope(&self, user: &str, scope: &str, source: &str) -> SyncClient {
        let live = self.state.directory.find("acme", "notes").await.unwrap().unwrap();
        let (user, scope) = (UserId::parse(user).unwrap(), ScopeId::parse(scope).unwrap());
        // Longer than any test moves its clock.
        let token = self.state.control.mint_token(&live.auth, &user, &scope, Duration::days(365));
        SyncClient {
            http: reqwest::Client::builder().build().unwrap(),
            base: self.base.clone(),
            profile: self.profile,
            token: token.access_token,
            source: source.to_owned(),
        }
    }

    /// A device whose scope is initialized.
    pub(crate) async fn connected(&self, user: &str, source: &str) -> SyncClient {
        let device = self.device(user, source).await;
        device.connect(false).await.ok();
        device
    }

    /// Run plain SQL as the app's role, `{schema}` filled in, in one transaction.
    pub(crate) async fn sql(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.state.databases.apps.begin(&self.app.schema()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(self.fill_in(sql))).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// The rows of a query, `{schema}` filled in.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<PgRow> {
        let mut tx = self.state.databases.apps.begin(&self.app.schema()).await.unwrap();
        sqlx::query(AssertSqlSafe(self.fill_in(sql))).fetch_all(&mut *tx).await.unwrap()
    }

    /// The rows of a query as JSON objects.
    pub(crate) async fn json_rows(&self, sql: &str) -> Value {
        let sql = format!("select coalesce(jsonb_agg(q), '[]') as rows from ({sql}) q");
        sqlx::Row::get::<Value, _>(&self.rows(&sql).await[0], "rows")
    }

    fn fill_in(&self, sql: &str) -> String {
        sql.replace("{schema}", self.app.schema().as_str())
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.state.clock.advance(by);
    }
}

/// Serve on a free port; answers the app's base URL.
pub(crate) async fn serve(state: &Syncline) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/t/acme/notes", listener.local_addr().unwrap());
    tokio::spawn(http::serve(listener, state.clone()));
    base
}

impl SyncClient {
    /// A device of an app of a whole server.
    pub(crate) fn of(app: &TestSyncApp, token: &str, source: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: app.base_url.clone(),
            profile: app.app.profile,
            token: token.to_owned(),
            source: source.to_owned(),
        }
    }

    /// The same device at another server.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// Ask for a snapshot that retires the device's source in favour of `new`.
    pub(crate) async fn rotate(&self, new: &str) -> Reply {
        let replacement =
            json!({"previous_source_id": self.source, "new_source_id": new, "reason": "history_pruned"});
        self.post("sync/snapshot-sessions", &json!({"source_replacement": replacement})).await
    }

    pub(crate) fn with_source(&self, source: &str) -> Self {
        Self { source: source.to_owned(), ..self.clone() }
    }

    /// A request with the device's token and source.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}/{path}", self.base))
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", &self.source)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn connect(&self, has_local_pending_rows: bool) -> Reply {
        self.post("sync/connect", &json!({"has_local_pending_rows": has_local_pending_rows})).await
    }

    /// Announce a push of `rows`.
    pub(crate) async fn create(&self, source_bundle_id: i64, rows: &[Value]) -> Reply {
        self.post("sync/push-sessions", &self.announcement(source_bundle_id, rows)).await
    }

    /// The body that announces `rows`.
    pub(crate) fn announcement(&self, source_bundle_id: i64, rows: &[Value]) -> Value {
        let mut body = json!({"source_bundle_id": source_bundle_id, "planned_row_count": rows.len()});
        if self.profile == WireProfile::Strings {
            body["canonical_request_hash"] = json!(request_hash(rows));
        }
        body
    }

    pub(crate) async fn stage(&self, push_id: &str, start: usize, rows: &[Value]) -> Reply {
        let body = json!({"start_row_ordinal": start, "rows": rows});
        self.post(&format!("sync/push-sessions/{push_id}/chunks"), &body).await
    }

    pub(crate) async fn commit(&self, push_id: &str) -> Reply {
        self.post(&format!("sync/push-sessions/{push_id}/commit"), &json!({})).await
    }

    /// Create and stage a push; answers its id.
    pub(crate) async fn staged(&self, source_bundle_id: i64, rows: &[Value]) -> String {
        let push_id = self.create(source_bundle_id, rows).await.ok()["push_id"].as_str().unwrap().to_owned();
        self.stage(&push_id, 0, rows).await.ok();
        push_id
    }

    /// A whole push; answers what commit does.
    pub(crate) async fn push(&self, source_bundle_id: i64, rows: &[Value]) -> Reply {
        let push_id = self.staged(source_bundle_id, rows).await;
        self.commit(&push_id).await
    }

    /// All rows of a committed bundle.
    pub(crate) async fn bundle_rows(&self, bundle_seq: i64) -> Value {
        self.get(&format!("sync/committed-bundles/{bundle_seq}/rows?max_rows=5000")).await.ok()["rows"]
            .clone()
    }
}

impl Reply {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self { status, headers, text, body }
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.body
    }

    /// The sentence of a refusal with this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status.as_u16(), &self.body["error"]), (status, &json!(code)), "{}", self.text);
        let message = self.body["message"].as_str().expect("a refusal has a message");
        for leak in ["_sync_scope_id", "app_0", "select ", "insert ", "violates", "relation"] {
            assert!(!self.text.contains(leak), "the answer tells too much: {}", self.text);
        }
        message.to_owned()
    }
}

/// A row of a push. `payload` null: none.
pub(crate) fn row(table: &str, op: &str, id: &str, base_row_version: i64, payload: Value) -> Value {
    json!({
        "schema": "business", "table": table, "key": {"id": id}, "op": op,
        "base_row_version": base_row_version, "payload": payload,
    })
}

/// `INSERT` of a row that the server has never seen; its id is added to the payload.
pub(crate) fn insert(table: &str, id: &str, mut payload: Value) -> Value {
    payload["id"] = json!(id);
    row(table, "INSERT", id, 0, payload)
}

pub(crate) fn update(table: &str, id: &str, base_row_version: i64, payload: Value) -> Value {
    row(table, "UPDATE", id, base_row_version, payload)
}

pub(crate) fn delete(table: &str, id: &str, base_row_version: i64) -> Value {
    row(table, "DELETE", id, base_row_version, Value::Null)
}

/// The hash of a push of profile `strings`, by PROTOCOL.md section 3.
pub(crate) fn request_hash(rows: &[Value]) -> String {
    let logical: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(ordinal, row)| {
            let mut row = row.clone();
            row["row_ordinal"] = json!(ordinal.to_string());
            row["base_row_version"] = json!(row["base_row_version"].to_string());
            row
        })
        .collect();
    hex_hash(serde_json_canonicalizer::to_string(&logical).unwrap().as_bytes())
}

pub(crate) fn hex_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tables that most tests use: `users`, their `notes`, comments on these, and one with a column of every number type.
pub(crate) fn tables() -> Value {
    let mut users = table("users", vec![text("name"), column("email", json!({"varchar": {"max": 20}}))]);
    users["columns"][1]["nullable"] = json!(false);
    users["uniques"] = json!([["email"]]);
    let mut notes = table(
        "notes",
        vec![
            text("user_id"),
            text("title"),
            column("stars", json!("integer")),
            column("pinned", json!("boolean")),
        ],
    );
    notes["columns"][4]["default"] = json!({"boolean": false});
    notes["foreign_keys"] = json!([reference("user_id", "users", "cascade")]);
    notes["checks"] = json!([{"compare": {
        "left": {"column": "stars"}, "op": "greater_or_equal", "right": {"number": "0"}, "texts": false,
    }}]);
    let mut comments = table("comments", vec![text("note_id"), text("body")]);
    comments["foreign_keys"] = json!([reference("note_id", "notes", "set_null")]);
    let numeric_values = table(
        "numeric_values",
        vec![
            column("amount", json!({"numeric": {"precision": 20, "scale": 10}})),
            column("count", json!("integer")),
            column("enabled", json!("boolean")),
            column("large_count", json!("bigint")),
            column("ratio", json!("real")),
            column("score", json!("double")),
            column("small_count", json!("smallint")),
        ],
    );
    let mut things = table(
        "things",
        vec![
            column("data", json!("bytea")),
            column("meta", json!("jsonb")),
            column("raw", json!("json")),
            column("at", json!("timestamptz")),
            column("local", json!("timestamp")),
            column("day", json!("date")),
            column("hour", json!("time")),
        ],
    );
    things["key"]["kind"] = json!("uuid");
    things["columns"][0]["type"] = json!("uuid");
    json!([users, notes, comments, numeric_values, things])
}

/// A column of a spec.
pub(crate) fn column(name: &str, ty: Value) -> Value {
    json!({"name": name, "type": ty, "nullable": true})
}

pub(crate) fn text(name: &str) -> Value {
    column(name, json!("text"))
}

/// A table with a text key `id` and these columns besides.
pub(crate) fn table(name: &str, mut columns: Vec<Value>) -> Value {
    columns.insert(0, json!({"name": "id", "type": "text", "nullable": false}));
    json!({
        "name": name, "table_no": 0, "key": {"column": "id", "kind": "text"}, "columns": columns,
        "uniques": [], "indexes": [], "foreign_keys": [], "checks": []
    })
}

fn reference(column: &str, parent: &str, on_delete: &str) -> Value {
    json!({"column": column, "parent": parent, "on_delete": on_delete, "on_update": "no_action"})
}

/// `body` without the members named.
pub(crate) fn without(body: &Value, members: &[&str]) -> Value {
    let object: Map<String, Value> = body
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !members.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(object)
}
