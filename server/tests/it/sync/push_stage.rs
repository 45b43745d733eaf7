//! `POST sync/push-sessions/{push_id}/chunks` (PROTOCOL.md section 3). What each check says is in `sync::payload`.

use reqwest::Method;
use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;
use time::Duration;

use crate::support::sync_app::{
    Reply, SyncApp, SyncClient, column, delete, insert, row, table, tables, update,
};

fn users(ids: std::ops::Range<usize>) -> Vec<Value> {
    ids.map(|i| insert("users", &format!("u{i}"), json!({"name": "Ada"}))).collect()
}

/// Upload the body as it is.
async fn upload(device: &SyncClient, push_id: &str, body: impl Into<reqwest::Body>) -> Reply {
    let request = device.request(Method::POST, &format!("sync/push-sessions/{push_id}/chunks"));
    Reply::of(request.header("Content-Type", "application/json").body(body)).await
}

async fn staged_row_count(app: &SyncApp) -> Value {
    app.json_rows("select staged_row_count as n from {schema}._sync_push").await[0]["n"].clone()
}

#[tokio::test]
async fn chunks_follow_each_other_without_a_gap() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..10);
    let created = device.create(1, &rows).await.ok();
    let push_id = created["push_id"].as_str().unwrap();
    assert_eq!(
        device.stage(push_id, 0, &rows[0..4]).await.ok(),
        json!({"push_id": push_id, "next_expected_row_ordinal": 4})
    );
    for start in [0, 3, 5, 9_999_999] {
        let message = device.stage(push_id, start, &rows[4..5]).await.refused(409, "push_chunk_out_of_order");
        assert!(message.contains('4'), "{message}");
    }
    device.commit(push_id).await.refused(400, "push_commit_invalid");
    assert_eq!(device.stage(push_id, 4, &rows[4..10]).await.ok()["next_expected_row_ordinal"], 10);
    device.stage(push_id, 10, &users(10..11)).await.refused(400, "push_chunk_invalid");
    let committed = device.commit(push_id).await.ok();
    assert_eq!(committed["row_count"], 10);
}

#[tokio::test]
async fn a_refused_chunk_leaves_nothing_behind() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..3);
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    let bad = [rows[0].clone(), insert("users", "u1", json!({"name": true}))];
    device.stage(&push_id, 0, &bad).await.refused(400, "push_chunk_invalid");
    assert_eq!(staged_row_count(&app).await, 0);
    // More than announced.
    device.stage(&push_id, 0, &users(0..4)).await.refused(400, "push_chunk_invalid");
    assert_eq!(staged_row_count(&app).await, 0);
    device.stage(&push_id, 0, &rows).await.ok();
    device.commit(&push_id).await.ok();
}

#[tokio::test]
async fn a_row_occurs_once_in_a_push() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..4);
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    let twice = [rows[0].clone(), delete("users", "u0", 0)];
    let message = device.stage(&push_id, 0, &twice).await.refused(400, "push_chunk_invalid");
    assert!(message.contains("Row 1"), "{message}");
    device.stage(&push_id, 0, &rows[0..2]).await.ok();
    let message = device
        .stage(&push_id, 2, &[rows[2].clone(), rows[1].clone()])
        .await
        .refused(400, "push_chunk_invalid");
    assert!(message.contains("Row 3, table \"users\""), "{message}");
    // The same key in another table is another row.
    let others = [insert("comments", "u0", json!({})), insert("comments", "u1", json!({}))];
    device.stage(&push_id, 2, &others).await.ok();
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_before_it_is() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let id = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
    let mut foreign = insert("users", "u", json!({"name": "x"}));
    foreign["schema"] = json!("main");
    let number = |column: &str, value: Value| insert("numeric_values", "n", json!({ column: value }));
    let thing = |column: &str, value: Value| insert("things", id, json!({ column: value }));
    let refused = [
        foreign,
        insert("nothing", "u", json!({})),
        insert("_sync_scope", "u", json!({})),
        row("users", "UPSERT", "u", 0, json!({"name": "x"})),
        insert("users", "u", json!({"nickname": "x"})),
        insert("users", "u", json!({"name": "x", "_sync_scope_id": "eve"})),
        insert("users", "u", json!({"name": "a\u{0}b"})),
        insert("users", "a\u{0}b", json!({"name": "x"})),
        insert("users", &"k".repeat(1025), json!({"name": "x"})),
        insert("users", "u", json!({"name": "x", "email": "x".repeat(21)})),
        row("users", "INSERT", "u", 0, json!({"id": "v", "name": "x"})),
        row("users", "INSERT", "u", 0, Value::Null),
        row("users", "DELETE", "u", 1, json!({})),
        row("users", "UPDATE", "u", -1, json!({"name": "x"})),
        number("count", json!(1)),
        number("count", json!("2147483648")),
        number("count", json!("1.0")),
        number("large_count", json!("9223372036854775808")),
        number("small_count", json!("-0")),
        number("amount", json!("1e9999999999")),
        number("amount", json!("12345678901.5")),
        number("amount", json!("NaN")),
        number("score", json!("1e0")),
        number("score", json!("Infinity")),
        number("ratio", json!("1e+39")),
        number("enabled", json!("yes")),
        thing("data", json!("AAE")),
        thing("meta", json!("{")),
        thing("meta", json!("[".repeat(100_000))),
        thing("at", json!("yesterday")),
        thing("at", json!("2024-05-06T07:08:09")),
        thing("day", json!("2023-02-29")),
        insert("things", "0192F0C1-5F7E-7CC3-98C4-DC0C0C07398F", json!({})),
        insert("things", "1", json!({})),
    ];
    let push_id = device.create(1, &users(0..1)).await.ok()["push_id"].as_str().unwrap().to_owned();
    for row in refused {
        device.stage(&push_id, 0, &[row]).await.refused(400, "push_chunk_invalid");
    }
    device.stage(&push_id, 0, &[]).await.refused(400, "push_chunk_invalid");
    assert_eq!(staged_row_count(&app).await, 0);
}

#[tokio::test]
async fn profile_numbers_wants_numbers() {
    let app = SyncApp::numbers().await;
    let device = app.connected("ada", "dev-1").await;
    let push_id = device.create(1, &users(0..1)).await.ok()["push_id"].as_str().unwrap().to_owned();
    let number = |column: &str, value: Value| insert("numeric_values", "n", json!({ column: value }));
    for row in [
        number("count", json!("1")),
        number("count", json!(1.5)),
        number("count", json!(2_147_483_648i64)),
        number("amount", json!("1.5")),
        number("score", json!("1.5")),
        number("enabled", json!("1")),
        number("enabled", json!(2)),
        number("enabled", json!([])),
        insert("users", "u", json!({"name": 1})),
    ] {
        device.stage(&push_id, 0, &[row]).await.refused(400, "push_chunk_invalid");
    }
    let rows = [number("enabled", json!(1))];
    device.stage(&push_id, 0, &rows).await.ok();
    device.commit(&push_id).await.ok();
    assert_eq!(device.bundle_rows(1).await[0]["payload"]["enabled"], true);
}

#[tokio::test]
async fn hostile_bodies_are_refused_in_words() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let push_id = device.create(1, &users(0..1)).await.ok()["push_id"].as_str().unwrap().to_owned();
    let deep = |n: usize| format!("{{\"start_row_ordinal\":0,\"rows\":[{}", "[".repeat(n));
    let in_name = |name: &str| {
        json!({"start_row_ordinal": 0, "rows": users(0..1)}).to_string().replace("Ada", name).into_bytes()
    };
    for body in [
        b"".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{\"rows\":[]}".to_vec(),
        b"{\"start_row_ordinal\":0,\"rows\":[null]}".to_vec(),
        b"{\"start_row_ordinal\":0,\"rows\":[{}]}".to_vec(),
        b"{\"start_row_ordinal\":123456789012345678901234567890,\"rows\":[]}".to_vec(),
        b"{\"start_row_ordinal\":0,\"rows\":[\xff\xfe]}".to_vec(),
        deep(100_000).into_bytes(),
        in_name("\\ud800"),
        in_name("\\u0000"),
        in_name("\u{1}"),
        vec![b' '; 1_000_000],
    ] {
        upload(&device, &push_id, body).await.refused(400, "push_chunk_invalid");
    }
    let refused = Reply::of(
        device
            .request(Method::POST, &format!("sync/push-sessions/{push_id}/chunks"))
            .header("Content-Type", "text/plain")
            .body("{}"),
    )
    .await;
    assert_eq!(refused.status, 415, "{}", refused.text);
}

#[tokio::test]
async fn bodies_may_be_compressed_and_are_bounded_when_they_are_not() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.max_bytes_per_bundle = 100_000;
    })
    .await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..100);
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    let body = json!({"start_row_ordinal": 0, "rows": rows}).to_string();
    let send = async |body: Vec<u8>| {
        let request = device.request(Method::POST, &format!("sync/push-sessions/{push_id}/chunks"));
        Reply::of(
            request.header("Content-Encoding", "gzip").header("Content-Type", "application/json").body(body),
        )
        .await
    };
    send(gzip(body.as_bytes())).await.ok();
    // A few thousand bytes that would become a million.
    send(gzip(&vec![b' '; 1_200_000])).await.refused(413, "request_too_large");
    send(b"no gzip at all".to_vec()).await.refused(400, "push_chunk_invalid");
    upload(&device, &push_id, vec![b' '; 1_200_000]).await.refused(413, "request_too_large");
    device.commit(&push_id).await.ok();
}

#[tokio::test]
async fn limits_are_kept() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.max_rows_per_push_chunk = 3;
        config.limits.max_rows_per_bundle = 5;
        config.limits.max_bytes_per_bundle = 1_000;
    })
    .await;
    let device = app.connected("ada", "dev-1").await;
    device.create(1, &users(0..6)).await.refused(400, "push_session_invalid");
    let push_id = device.create(1, &users(0..5)).await.ok()["push_id"].as_str().unwrap().to_owned();
    let message = device.stage(&push_id, 0, &users(0..4)).await.refused(400, "push_chunk_invalid");
    assert!(message.contains("at most 3 rows"), "{message}");
    device.stage(&push_id, 0, &users(0..3)).await.ok();
    let long = insert("users", "u9", json!({"name": "x".repeat(1_000)}));
    let message = device.stage(&push_id, 3, &[long]).await.refused(400, "push_chunk_invalid");
    assert!(message.contains("1000 bytes"), "{message}");
    device.stage(&push_id, 3, &users(3..5)).await.ok();
    device.commit(&push_id).await.ok();
}

#[tokio::test]
async fn only_its_own_device_adds_to_a_push() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..1);
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    for other in [app.connected("eve", "dev-1").await, device.with_source("dev-2")] {
        other.stage(&push_id, 0, &rows).await.refused(403, "push_session_forbidden");
        other.commit(&push_id).await.refused(403, "push_session_forbidden");
    }
    let unknown = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
    for unknown in [unknown, &push_id.to_uppercase(), "1", "%00"] {
        device.stage(unknown, 0, &rows).await.refused(404, "push_session_not_found");
        device.commit(unknown).await.refused(404, "push_session_not_found");
    }
    device.stage(&push_id, 0, &rows).await.ok();
    device.commit(&push_id).await.ok();
}

#[tokio::test]
async fn a_push_expires_unless_chunks_arrive() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..3);
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    app.advance(Duration::minutes(14));
    device.stage(&push_id, 0, &rows[0..1]).await.ok();
    app.advance(Duration::minutes(14));
    device.stage(&push_id, 1, &rows[1..2]).await.ok();
    app.advance(Duration::minutes(16));
    device.stage(&push_id, 2, &rows[2..3]).await.refused(410, "push_session_expired");
    device.commit(&push_id).await.refused(410, "push_session_expired");
    device.push(1, &rows).await.ok();
}

#[tokio::test]
async fn an_expired_push_is_removed_after_a_while() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let old = device.staged(1, &users(0..3)).await;
    app.advance(Duration::minutes(70));
    let new = device.with_source("dev-2").staged(1, &users(3..6)).await;
    assert_eq!(app.state.engine.remove_expired_pushes().await.unwrap(), 0);
    device.commit(&old).await.refused(410, "push_session_expired");
    app.advance(Duration::minutes(10));
    assert_eq!(app.state.engine.remove_expired_pushes().await.unwrap(), 1);
    device.commit(&old).await.refused(404, "push_session_not_found");
    let chunks = app.json_rows("select push_id from {schema}._sync_push_chunk").await;
    assert_eq!(chunks, json!([{"push_id": new}]));
    device.with_source("dev-2").commit(&new).await.ok();
}

#[tokio::test]
async fn uploads_of_one_push_at_once_do_not_mix() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(0..2);
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (device, push_id, rows) = (device.clone(), push_id.clone(), rows.clone());
        tasks.spawn(async move { device.stage(&push_id, 0, &rows).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    device.commit(&push_id).await.ok();
    device.push(2, &[update("users", "u0", 1, json!({"name": "x"}))]).await.ok();
}

/// By the program that every machine has.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;

    let mut gzip = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(bytes).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn a_chunk_may_be_as_large_as_a_push() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.max_request_bytes = 64 * 1024;
        config.limits.max_push_bytes_at_once = 2 * 1024 * 1024;
    })
    .await;
    // Clients put 1,000 rows into a chunk whatever their bytes. Several at once wait for each other, and for the commits.
    let data = "A".repeat(40_000);
    let id = |n: usize| format!("0192f0c1-5f7e-7cc3-98c4-{n:012}");
    let mut tasks = tokio::task::JoinSet::new();
    for user in 0..4 {
        let device = app.connected(&format!("user-{user}"), "dev-1").await;
        let rows: Vec<Value> = (0..60).map(|n| insert("things", &id(n), json!({"data": data}))).collect();
        tasks.spawn(async move { device.push(1, &rows).await.ok()["row_count"].clone() });
    }
    assert_eq!(tasks.join_all().await, vec![json!(60); 4]);
    // One that says not beforehand how long it is.
    let device = app.connected("ada", "dev-1").await;
    let rows: Vec<Value> = (0..60).map(|n| insert("things", &id(n), json!({"data": data}))).collect();
    let push_id = device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned();
    let body = json!({"start_row_ordinal": 0, "rows": rows}).to_string().into_bytes();
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        body.chunks(100_000).map(|piece| Ok(piece.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    upload(&device, &push_id, stream).await.ok();
    device.commit(&push_id).await.ok();
}

#[tokio::test]
async fn a_row_that_no_device_could_read_is_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let row = |length: usize| [insert("users", "u", json!({"name": "x".repeat(length), "email": null}))];
    let large = row(4_194_304);
    let push_id = device.create(1, &large).await.ok()["push_id"].as_str().unwrap().to_owned();
    let message = device.stage(&push_id, 0, &large).await.refused(400, "push_chunk_invalid");
    assert!(message.contains("table \"users\"") && message.contains("at most 4194304"), "{message}");
    // The largest that a snapshot takes, exactly.
    let around = json!({"schema": "business", "table": "users", "key": {"id": "u"}, "row_version": 1,
        "payload": {"id": "u", "name": "", "email": null}})
    .to_string();
    device.push(1, &row(4_194_304 - around.len())).await.ok();
    let session = device.post("sync/snapshot-sessions", &json!({})).await.ok();
    assert_eq!(session["byte_count"], 4_194_304);
}

#[tokio::test]
async fn numbers_that_a_client_did_not_make_strings_of_are_taken_as_they_are() {
    let tables = json!([table(
        "wild",
        vec![
            column("flag", json!("boolean")),
            column("any", json!({"numeric": {"precision": null, "scale": 0}})),
            column("price", json!({"numeric": {"precision": 10, "scale": 2}})),
            column("at", json!("text")),
        ],
    )]);
    let app = SyncApp::start_with(WireProfile::Strings, tables, |_| {}).await;
    let device = app.connected("ada", "dev-1").await;
    let wild = |id: &str, flag: Value, any: Value, price: Value, at: Value| {
        insert("wild", id, json!({"flag": flag, "any": any, "price": price, "at": at}))
    };
    // The short way of a commit, and the long one.
    let one = [wild("a", json!(1), json!(12), json!(12.5), json!(1_767_323_045))];
    device.push(1, &one).await.ok();
    let rows = [
        wild("b", json!(true), json!(1e21), json!("12.50"), json!("2026-01-02")),
        wild("c", json!(0), json!(5e-324), json!(-3), json!(0.1)),
        update("wild", "a", 1, json!({"id": "a", "flag": false, "any": 0, "price": 0.5, "at": -1})),
    ];
    device.push(2, &rows).await.ok();
    let payloads = |rows: Value| -> Vec<Value> {
        rows.as_array().unwrap().iter().map(|row| row["payload"].clone()).collect()
    };
    assert_eq!(
        payloads(device.bundle_rows(1).await),
        [json!({"id": "a", "flag": true, "any": "12", "price": "12.50", "at": "1767323045"})]
    );
    let tiny = format!("0.{}5", "0".repeat(323));
    assert_eq!(
        payloads(device.bundle_rows(2).await),
        [
            json!({"id": "a", "flag": false, "any": "0", "price": "0.50", "at": "-1"}),
            json!({"id": "b", "flag": true, "any": "1000000000000000000000", "price": "12.50", "at": "2026-01-02"}),
            json!({"id": "c", "flag": false, "any": tiny, "price": "-3.00", "at": "0.1"}),
        ]
    );
    // In another form than that of the hash they would not be what was hashed.
    let push_id = device.create(3, &one).await.ok()["push_id"].as_str().unwrap().to_owned();
    for (column, spelled) in [("any", "1e2"), ("price", "12.50"), ("at", "9007199254740993"), ("flag", "1.0")]
    {
        let body = format!(
            "{{\"start_row_ordinal\":0,\"rows\":[{{\"schema\":\"business\",\"table\":\"wild\",\"key\":{{\"id\":\"d\"}},\
             \"op\":\"INSERT\",\"base_row_version\":0,\"payload\":{{\"id\":\"d\",\"{column}\":{spelled}}}}}]}}"
        );
        let message = upload(&device, &push_id, body).await.refused(400, "push_chunk_invalid");
        assert!(message.contains(&format!("column \"{column}\"")), "{message}");
    }
}
