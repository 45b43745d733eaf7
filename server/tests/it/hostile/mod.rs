//! Bad input gets a 4xx with a code and a sentence; no input makes a 500, a panic, or a server that hangs
//! (DESIGN.md, promise 3).

mod bodies;
mod forms;
mod requests;

use std::time::Duration;

use reqwest::{
    Client, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value as Json, json};

use crate::support::{
    app_for_devices::{AppForDevices, app_for_devices},
    device::{
        canonical,
        schema::{Profile, RowId},
    },
};

const ROW: &str = "0e0e0e0e-0e0e-4e0e-8e0e-0e0e0e0e0e01";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Device,
    TenantsServer,
}

/// A URL that takes a body.
struct Target {
    path: String,
    caller: Caller,
    good: Json,
}

/// An answer that may be anything but a failure of the server.
struct Checker {
    client: Client,
    app: AppForDevices,
    token: String,
    users: u32,
}

impl Checker {
    async fn new(profile: Profile) -> Self {
        let app = app_for_devices(profile).await;
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let mut checker = Self { client, app, token: String::new(), users: 0 };
        checker.be_another_user().await;
        checker
    }

    /// Go on as a user whose scope is empty.
    async fn be_another_user(&mut self) {
        self.users += 1;
        self.token = self.app.token(&format!("user {}", self.users)).await;
        let connect = json!({ "has_local_pending_rows": false }).to_string();
        let (status, text) = self.post("sync/connect", Caller::Device, "connect", connect).await;
        assert_eq!(status, 200, "{text}");
    }

    fn headers(&self, caller: Caller) -> HeaderMap {
        let secret = match caller {
            Caller::Device => &self.token,
            Caller::TenantsServer => &self.app.secret_key,
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {secret}")).unwrap());
        headers.insert("oversync-source-id", HeaderValue::from_static("hostile"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    async fn post(&self, path: &str, caller: Caller, what: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
        self.send(Method::POST, path, self.headers(caller), what, body.into()).await
    }

    /// Send it, and hold what comes back against what may come back.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        what: &str,
        body: Vec<u8>,
    ) -> (u16, String) {
        let request =
            self.client.request(method, format!("{}/{path}", self.app.base_url)).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            // The server closes while we still send what it will not read.
            Err(error) if !error.is_timeout() && what.contains("33 MiB") => return (413, String::new()),
            Err(error) => panic!("{path}, {what}: no answer: {error:?}"),
        };
        let status = answer.status().as_u16();
        let text = match answer.text().await {
            Ok(text) => text,
            Err(error) if !error.is_timeout() && status == 413 => return (413, String::new()),
            Err(error) => panic!("{path}, {what}: no body: {error:?}"),
        };
        assert_harmless(&format!("{path}, {what}"), status, &text);
        (status, text)
    }
}

/// No failure of the server, and a refusal in the one form that tells nothing of the inside.
fn assert_harmless(what: &str, status: u16, text: &str) {
    assert!(status < 500, "{what}: {status} {text}");
    if status < 400 {
        return;
    }
    let body: Json =
        serde_json::from_str(text).unwrap_or_else(|_| panic!("{what}: {status} without JSON: {text}"));
    let code = body["error"].as_str().unwrap_or_else(|| panic!("{what}: no code: {text}"));
    let message = body["message"].as_str().unwrap_or_else(|| panic!("{what}: no message: {text}"));
    assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{what}: {text}");
    assert!(message.len() < 2_000, "{what}: a message of {} bytes", message.len());
    for inside in [
        "_sync_scope",
        "_sync_push",
        "_sync_row",
        "_sync_bundle",
        "_sync_effect",
        "SQLSTATE",
        "pg_",
        "panicked",
        "select ",
        "insert into",
        "sqlx",
        "src/",
    ] {
        let sent = what.contains("more members") && inside == "_sync_scope";
        let echoed = sent || what.contains(inside);
        assert!(echoed || !message.contains(inside), "{what}: the message shows the inside: {message}");
    }
}

fn row(profile: Profile) -> Json {
    let (int, real, bool) = match profile {
        Profile::Strings => (json!("36"), json!("1.5"), json!("1")),
        Profile::Numbers => (json!(36), json!(1.5), json!(1)),
    };
    json!({
        "schema": "main", "table": "users", "key": {"id": "u"}, "op": "INSERT", "base_row_version": 0,
        "payload": {"id": "u", "name": "U", "age": int, "score": real, "active": bool, "balance": real},
    })
}

fn note() -> Json {
    json!({
        "schema": "main", "table": "notes", "key": {"id": ROW}, "op": "INSERT", "base_row_version": 0,
        "payload": {
            "id": ROW, "user_id": "u", "tag_id": null, "folder_id": null, "body": "b", "weight": null,
            "pinned": null, "data": "AAE=",
        },
    })
}

/// Every URL that takes JSON from a device or a tenant's server, apart from chunks.
fn targets() -> Vec<Target> {
    let target = |path: &str, caller, good| Target { path: path.to_owned(), caller, good };
    vec![
        target("sync/connect", Caller::Device, json!({ "has_local_pending_rows": true })),
        target(
            "sync/push-sessions",
            Caller::Device,
            json!({
                "source_bundle_id": 1, "planned_row_count": 1, "canonical_request_hash": "0".repeat(64),
                "initialization_id": ROW,
            }),
        ),
        target(
            "sync/snapshot-sessions",
            Caller::Device,
            json!({ "source_replacement": {
                "previous_source_id": "hostile", "new_source_id": "other", "reason": "history_pruned",
            }}),
        ),
        target(
            "auth/token",
            Caller::TenantsServer,
            json!({ "user_id": "u", "scope_id": "s", "ttl_seconds": 60 }),
        ),
        target(
            "api/keys",
            Caller::TenantsServer,
            json!({ "name": "n", "kind": "secret", "scopes": ["tokens"] }),
        ),
    ]
}

#[tokio::test]
async fn no_bad_body_makes_the_server_fail() {
    let checker = Checker::new(Profile::Strings).await;
    for Target { path, caller, good } in targets() {
        for (what, body) in bodies::with_bad_members(&good) {
            checker.post(&path, caller, &what, body).await;
        }
        for (what, body) in bodies::malformed(&good) {
            let (status, text) = checker.post(&path, caller, &what, body).await;
            // A snapshot session needs no body, and white space is none.
            let may_be_empty =
                path == "sync/snapshot-sessions" && matches!(&*what, "nothing" | "white space");
            assert!(status >= 400 || may_be_empty, "{path} took {what}: {text}");
        }
    }
    still_works(&checker, Profile::Strings).await;
}

#[tokio::test]
async fn no_bad_row_makes_the_server_fail_or_is_kept() {
    for profile in Profile::BOTH {
        let mut checker = Checker::new(profile).await;
        for good in [row(profile), note()] {
            let chunk = json!({ "start_row_ordinal": 0, "rows": [good] });
            let bad = bodies::with_bad_members(&chunk).into_iter().chain(bodies::malformed(&chunk));
            for (what, body) in bad {
                let push = create(&checker, profile, std::slice::from_ref(&good)).await;
                let chunks = format!("{push}/chunks");
                let (status, refusal) = checker.post(&chunks, Caller::Device, &what, body).await;
                if status == 200 {
                    // Not bad after all, or only bad as something else than what was announced.
                    let (status, _) =
                        checker.post(&format!("{push}/commit"), Caller::Device, &what, "{}").await;
                    if status == 200 {
                        checker.be_another_user().await;
                    }
                } else {
                    // Nothing of it was kept: the good row is still the first.
                    let (status, text) =
                        checker.post(&chunks, Caller::Device, &what, chunk.to_string()).await;
                    assert_eq!(status, 200, "after {what} was refused with {refusal}: {text}");
                }
            }
        }
        still_works(&checker, profile).await;
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_as_too_large() {
    let checker = Checker::new(Profile::Strings).await;
    let bomb = bodies::gzip_bomb();
    for Target { path, caller, good } in targets() {
        for (what, body) in bodies::too_large(&good) {
            let (status, text) = checker.post(&path, caller, &what, body).await;
            assert_eq!(status, 413, "{path}, {what}: {text}");
        }
        let mut headers = checker.headers(caller);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let (status, text) =
            checker.send(Method::POST, &path, headers, "a gzip bomb (33 MiB and more)", bomb.clone()).await;
        assert_eq!(status, 413, "{path}, a gzip bomb: {text}");
    }
    still_works(&checker, Profile::Strings).await;
}

#[tokio::test]
async fn a_body_may_be_packed_and_a_broken_package_is_refused() {
    let checker = Checker::new(Profile::Strings).await;
    let good = json!({ "has_local_pending_rows": false }).to_string();
    let packed = bodies::gzip(good.as_bytes());
    let mut headers = checker.headers(Caller::Device);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let send = |what: &'static str, body: Vec<u8>| {
        checker.send(Method::POST, "sync/connect", headers.clone(), what, body)
    };
    assert_eq!(send("packed", packed.clone()).await.0, 200);
    assert!(send("half a package", packed[..packed.len() / 2].to_vec()).await.0 >= 400);
    assert!(send("not packed at all", good.clone().into_bytes()).await.0 >= 400);
    let mut garbled = packed.clone();
    garbled[12] ^= 0xff;
    assert!(send("a garbled package", garbled).await.0 >= 400);
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "nonsense", "é"] {
        let mut headers = checker.headers(Caller::Device);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_bytes(encoding.as_bytes()).unwrap());
        let (status, text) =
            checker.send(Method::POST, "sync/connect", headers, encoding, good.clone().into_bytes()).await;
        assert!(status >= 400, "{encoding}: {text}");
    }
}

/// A new push session of one row; its path.
async fn create(checker: &Checker, profile: Profile, rows: &[Json]) -> String {
    let body = json!({
        "source_bundle_id": 1, "planned_row_count": rows.len(),
        "canonical_request_hash": canonical::request_hash(profile, rows),
    });
    let (status, text) = checker.post("sync/push-sessions", Caller::Device, "create", body.to_string()).await;
    assert_eq!(status, 200, "{text}");
    let answer: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["status"], "staging", "{text}");
    format!("sync/push-sessions/{}", answer["push_id"].as_str().unwrap())
}

/// After all that, a device syncs as if nothing had happened.
async fn still_works(checker: &Checker, profile: Profile) {
    let mut device = checker.app.device("still-here", &checker.token);
    device.sync().await.expect("a sync");
    let id = RowId::new("folders", "after the storm");
    let title = crate::support::device::schema::Value::Text("calm".to_owned());
    let key = crate::support::device::schema::Value::Text(id.key.clone());
    assert!(device.put(id.clone(), [("id", key), ("title", title)].into()));
    device.sync().await.expect("a sync");
    let mut other = checker.app.device("newcomer", &checker.token);
    other.sync().await.expect("a sync");
    assert_eq!(other.rows().get(&id), device.rows().get(&id), "profile {}", profile.as_str());
}
