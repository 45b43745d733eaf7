//! `sync/snapshot-sessions`: sessions and chunks (PROTOCOL.md section 5).

use std::collections::BTreeMap;

use reqwest::header;
use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::sync_app::{Reply, SyncApp, SyncClient, delete, insert, table, tables, text, update};

async fn create(device: &SyncClient) -> Value {
    device.post("sync/snapshot-sessions", &json!({})).await.ok()
}

fn id(session: &Value) -> &str {
    session["snapshot_id"].as_str().unwrap()
}

async fn chunk(device: &SyncClient, session: &Value, query: &str) -> Reply {
    device.get(&format!("sync/snapshot-sessions/{}?{query}", id(session))).await
}

/// All rows, read in chunks of at most `max_rows` and `max_bytes`; checks everything that holds of chunks.
async fn read(device: &SyncClient, session: &Value, max_rows: usize, max_bytes: usize) -> Vec<Value> {
    let (mut rows, mut bytes, mut after) = (Vec::new(), 0, 0);
    loop {
        let query = format!("after_row_ordinal={after}&max_rows={max_rows}&max_bytes={max_bytes}");
        let page = chunk(device, session, &query).await.ok();
        let members: Vec<&str> = page.as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["byte_count", "has_more", "next_row_ordinal", "rows", "snapshot_bundle_seq", "snapshot_id"];
        assert_eq!(members, expected);
        assert_eq!(page["snapshot_id"], session["snapshot_id"]);
        assert_eq!(page["snapshot_bundle_seq"], session["snapshot_bundle_seq"]);
        let new = page["rows"].as_array().unwrap();
        let new_bytes: usize = new.iter().map(row_bytes).sum();
        assert_eq!(page["byte_count"], new_bytes);
        assert!(new.len() <= max_rows && new_bytes <= max_bytes);
        rows.extend(new.iter().cloned());
        bytes += new_bytes;
        after += new.len();
        assert_eq!(page["next_row_ordinal"], after);
        if page["has_more"] == false {
            break;
        }
        assert!(!new.is_empty(), "a chunk without rows is the last");
    }
    assert_eq!((&session["row_count"], &session["byte_count"]), (&json!(rows.len()), &json!(bytes)));
    rows
}

/// The row as it was sent: its members in the order of the protocol, the payload's sorted.
fn row_bytes(row: &Value) -> usize {
    let member = |name: &str| format!("\"{name}\":{}", row[name]);
    let members = ["schema", "table", "key", "row_version", "payload"].map(member);
    assert_eq!(row.as_object().unwrap().len(), members.len());
    format!("{{{}}}", members.join(",")).len()
}

/// What the bundles of a scope, one after the other, leave behind: (table, key) → (version, payload).
async fn replayed(device: &SyncClient, up_to: i64) -> BTreeMap<(String, String), (i64, Value)> {
    let mut rows = BTreeMap::new();
    let page = device.get("sync/pull?after_bundle_seq=0").await.ok();
    assert_eq!(page["has_more"], false);
    let bundles = page["bundles"].as_array().unwrap().clone();
    for row in bundles
        .iter()
        .filter(|bundle| bundle["bundle_seq"].as_i64().unwrap() <= up_to)
        .flat_map(|bundle| bundle["rows"].as_array().unwrap())
    {
        let place =
            (row["table"].as_str().unwrap().to_owned(), row["key"]["id"].as_str().unwrap().to_owned());
        if row["op"] == "DELETE" {
            rows.remove(&place);
        } else {
            rows.insert(place, (row["row_version"].as_i64().unwrap(), row["payload"].clone()));
        }
    }
    rows
}

fn by_place(rows: &[Value]) -> Vec<((String, String), (i64, Value))> {
    rows.iter()
        .map(|row| {
            let place =
                (row["table"].as_str().unwrap().to_owned(), row["key"]["id"].as_str().unwrap().to_owned());
            (place, (row["row_version"].as_i64().unwrap(), row["payload"].clone()))
        })
        .collect()
}

/// A scope with rows in all tables, some changed, some deleted.
async fn filled(app: &SyncApp) -> SyncClient {
    let number = |n: i64| match app.profile {
        WireProfile::Strings => json!(n.to_string()),
        WireProfile::Numbers => json!(n),
    };
    let device = app.connected("u", "d1").await;
    let mut rows = Vec::new();
    for n in 0..40 {
        let id = format!("{}é\"\n{n}", if n % 2 == 0 { "U" } else { "u" });
        rows.push(insert("users", &id, json!({"name": "<Ü>\u{2028}", "email": n.to_string()})));
        let note = json!({"user_id": id, "title": "t".repeat(n), "stars": number(n as i64), "pinned": null});
        rows.push(insert("notes", &format!("n{n}"), note));
        rows.push(insert("comments", &format!("c{n}"), json!({"note_id": format!("n{n}"), "body": "b"})));
        let uuid = format!("{:08x}-0000-4000-8000-000000000000", (n * 7919) % 40);
        rows.push(insert("things", &uuid, json!({"data": "AAEC", "day": "2024-05-06"})));
        rows.push(insert("numeric_values", &format!("v{n}"), json!({"large_count": number(1 << 60)})));
    }
    device.push(1, &rows).await.ok();
    device.push(2, &[delete("users", "Ué\"\n2", 1), delete("comments", "c1", 1)]).await.ok();
    device
        .push(
            3,
            &[
                update("comments", "c3", 1, json!({"id": "c3", "note_id": null, "body": "changed"})),
                insert("users", "new", json!({"name": "New"})),
            ],
        )
        .await
        .ok();
    device
}

#[tokio::test]
async fn a_snapshot_is_what_the_bundles_leave_behind_in_order_of_table_and_key() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let device = filled(&app).await;
        let session = create(&device).await;
        assert_eq!(session["snapshot_bundle_seq"], 3);
        let rows = by_place(&read(&device, &session, 5_000, 1 << 24).await);
        let expected: Vec<_> = replayed(&device, 3).await.into_iter().collect();
        assert_eq!(rows, expected, "the order is that of the bytes of table and key");
        // Deleting the user deleted the note, and that emptied the reference of its comment.
        assert_eq!(rows.len(), 200 - 3 + 1);
    }
}

#[tokio::test]
async fn chunks_of_any_size_add_up_to_the_snapshot() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let session = create(&device).await;
    let whole = read(&device, &session, 5_000, 1 << 24).await;
    for (max_rows, max_bytes) in [(1, 100_000), (7, 100_000), (5_000, 400), (50, 1_000), (198, 1 << 20)] {
        assert_eq!(read(&device, &session, max_rows, max_bytes).await, whole, "{max_rows} {max_bytes}");
    }
    let nothing = chunk(&device, &session, "after_row_ordinal=198").await.ok();
    assert_eq!(
        (&nothing["rows"], &nothing["has_more"], &nothing["next_row_ordinal"], &nothing["byte_count"]),
        (&json!([]), &json!(false), &json!(198), &json!(0))
    );
}

#[tokio::test]
async fn bytes_are_counted_as_the_protocol_does() {
    let users = json!([table("users", vec![text("name")])]);
    let app = SyncApp::start_with(WireProfile::Strings, users, |_| {}).await;
    let device = app.connected("u", "d").await;
    device.push(1, &[insert("users", "user-1", json!({"name": "x"}))]).await.ok();
    for version in 1..=6 {
        let name = if version == 6 { "Snapshot" } else { "y" };
        let row = update("users", "user-1", version, json!({"id": "user-1", "name": name}));
        device.push(version + 1, &[row]).await.ok();
    }
    let session = create(&device).await;
    let sent = chunk(&device, &session, "").await;
    let row = "{\"schema\":\"business\",\"table\":\"users\",\"key\":{\"id\":\"user-1\"},\"row_version\":7,\
        \"payload\":{\"id\":\"user-1\",\"name\":\"Snapshot\"}}";
    assert!(sent.text.contains(row), "{}", sent.text);
    assert_eq!(row.replace("business", "main").len(), 115);
    assert_eq!((&session["row_count"], &session["byte_count"]), (&json!(1), &json!(row.len())));
}

#[tokio::test]
async fn an_empty_scope_has_an_empty_snapshot() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    let session = create(&device).await;
    let counts =
        ["snapshot_bundle_seq", "row_count", "byte_count"].map(|member| session[member].as_i64().unwrap());
    assert_eq!(counts, [0, 0, 0]);
    assert_eq!(read(&device, &session, 10, 10).await, Vec::<Value>::new());
}

/// More rows than a page holds, and rows of very different sizes, so that pages are cut by bytes.
#[tokio::test]
async fn a_snapshot_of_many_pages_is_complete() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    let rows: Vec<Value> = (0..5_000)
        .map(|n| {
            insert("users", &format!("{n}"), json!({"name": "n".repeat(n % 300), "email": n.to_string()}))
        })
        .collect();
    device.push(1, &rows).await.ok();
    let before = app.json_rows("select count(*) as pages from {schema}._sync_snapshot_page").await;
    assert_eq!(before, json!([{"pages": 0}]));
    let session = create(&device).await;
    assert_eq!(read(&device, &session, 5_000, 1 << 24).await.len(), 5_000);

    // Random text, so that PostgreSQL cannot make it small and keeps it apart.
    app.sql(
        "insert into {schema}.users (_sync_scope_id, id, name)
         select 'u', 'big' || n,
            (select string_agg(md5(random()::text || k), '') from generate_series(1, 900 * (n % 7)) k) || 'x'
         from generate_series(1, 40) n where n % 7 > 0",
    )
    .await
    .unwrap();
    let session = create(&device).await;
    let rows = read(&device, &session, 1_000, 300_000).await;
    assert_eq!(rows.len(), 5_035);
    let pages = app.rows("select max(octet_length(rows)) as bytes from {schema}._sync_snapshot_page").await;
    let bytes: i32 = sqlx::Row::get(&pages[0], "bytes");
    assert!((200_000..600_000).contains(&bytes), "{bytes}");
    let expected: Vec<_> = replayed(&device, 2).await.into_iter().collect();
    assert!(by_place(&rows) == expected);
}

#[tokio::test]
async fn devices_share_a_snapshot_for_as_long_as_its_bundle_is_the_latest() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let mut sessions = Vec::new();
    for n in 0..4 {
        let device = device.with_source(&format!("s{n}"));
        sessions.push(tokio::spawn(async move { create(&device).await }));
    }
    for session in sessions {
        assert_eq!(session.await.unwrap()["snapshot_bundle_seq"], 3);
    }
    let built = "select bundle_seq from {schema}._sync_snapshot order by bundle_seq";
    assert_eq!(app.json_rows(built).await, json!([{"bundle_seq": 3}]));
    let other_node = device.at(&app.another_node().await);
    create(&other_node).await;
    assert_eq!(app.json_rows(built).await, json!([{"bundle_seq": 3}]));

    device.push(4, &[delete("users", "new", 3)]).await.ok();
    assert_eq!(create(&device).await["snapshot_bundle_seq"], 4);
    assert_eq!(app.json_rows(built).await, json!([{"bundle_seq": 3}, {"bundle_seq": 4}]));
}

#[tokio::test]
async fn two_nodes_that_build_at_once_end_with_one_snapshot() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let other = device.at(&app.another_node().await);
    let (one, two) = tokio::join!(create(&device), create(&other));
    assert_ne!(one["snapshot_id"], two["snapshot_id"]);
    assert_eq!(read(&device, &one, 100, 1 << 20).await, read(&other, &two, 100, 1 << 20).await);
    let built = app.json_rows("select count(*) as n from {schema}._sync_snapshot").await;
    assert_eq!(built, json!([{"n": 1}]));
    let orphans = app
        .json_rows(
            "select count(*) as n from {schema}._sync_snapshot_page p where not exists (
                select from {schema}._sync_snapshot s where s.build_id = p.build_id)",
        )
        .await;
    assert_eq!(orphans, json!([{"n": 0}]));
}

#[tokio::test]
async fn a_session_is_readable_after_later_commits_and_pruning_on_any_node() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let session = create(&device).await;
    let before = read(&device, &session, 5_000, 1 << 24).await;
    device.push(4, &[delete("users", "new", 3)]).await.ok();
    app.sql(
        "update {schema}._sync_scope set floor_seq = 3;
         delete from {schema}._sync_bundle where bundle_seq <= 3;
         delete from {schema}._sync_bundle_rows where bundle_seq <= 3",
    )
    .await
    .unwrap();
    let other = device.at(&app.another_node().await);
    assert_eq!(read(&other, &session, 100, 1 << 20).await, before);
}

#[tokio::test]
async fn a_session_expires_and_is_then_gone_and_a_deleted_one_is_unknown() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let session = create(&device).await;
    let expires = OffsetDateTime::parse(session["expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
    let left = expires - app.state.clock.now();
    assert!(left > Duration::minutes(14) && left <= Duration::minutes(15), "{left}");

    let path = format!("sync/snapshot-sessions/{}", id(&create(&device).await));
    assert_eq!(device.delete(&path).await.status, 204);
    device.get(&path).await.refused(404, "snapshot_session_not_found");
    device.delete(&path).await.refused(404, "snapshot_session_not_found");

    app.advance(Duration::minutes(15));
    chunk(&device, &session, "").await.refused(410, "snapshot_session_expired");
    let path = format!("sync/snapshot-sessions/{}", id(&session));
    device.delete(&path).await.refused(410, "snapshot_session_expired");
}

#[tokio::test]
async fn a_session_is_its_scopes_own() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let session = create(&device).await;
    let stranger = app.connected("v", "d1").await;
    chunk(&stranger, &session, "").await.refused(403, "snapshot_session_forbidden");
    let path = format!("sync/snapshot-sessions/{}", id(&session));
    stranger.delete(&path).await.refused(403, "snapshot_session_forbidden");
    // A rotated device reads on under its new source.
    chunk(&device.with_source("d2"), &session, "").await.ok();
    for unknown in ["00000000-0000-4000-8000-000000000000", "x", "%27"] {
        device
            .get(&format!("sync/snapshot-sessions/{unknown}"))
            .await
            .refused(404, "snapshot_session_not_found");
    }
    let mut nobody = device.clone();
    nobody.token.clear();
    chunk(&nobody, &session, "").await.refused(401, "authentication_failed");
    nobody.post("sync/snapshot-sessions", &json!({})).await.refused(401, "authentication_failed");
}

#[tokio::test]
async fn bad_bodies_and_numbers_are_named() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let post = |body: Value| {
        let device = device.clone();
        async move { device.post("sync/snapshot-sessions", &body).await }
    };
    for body in [json!({"x": 1}), json!([]), json!("x"), json!({"source_replacement": {"reason": "x"}})] {
        post(body).await.refused(400, "snapshot_session_invalid");
    }
    let empty = device.request(reqwest::Method::POST, "sync/snapshot-sessions");
    Reply::of(empty).await.ok();
    post(json!({"source_replacement": null})).await.ok();

    let session = create(&device).await;
    for (query, named) in [
        ("after_row_ordinal=-1", "after_row_ordinal"),
        ("after_row_ordinal=x", "after_row_ordinal"),
        ("after_row_ordinal=199", "after_row_ordinal"),
        ("max_rows=0", "max_rows"),
        ("max_bytes=0", "max_bytes"),
        ("max_bytes=1e3", "max_bytes"),
    ] {
        let message = chunk(&device, &session, query).await.refused(400, "snapshot_chunk_invalid");
        assert!(message.contains(named), "{query}: {message}");
    }
}

#[tokio::test]
async fn a_row_larger_than_the_chunk_is_told_with_its_size() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let session = create(&device).await;
    let first = chunk(&device, &session, "max_rows=1").await.ok();
    let bytes = first["byte_count"].as_i64().unwrap();
    let reply = chunk(&device, &session, &format!("max_bytes={}", bytes - 1)).await;
    reply.refused(400, "snapshot_chunk_too_small");
    assert_eq!(reply.body["required_byte_count"], bytes);
    assert_eq!(chunk(&device, &session, &format!("max_bytes={bytes}")).await.ok()["next_row_ordinal"], 1);
}

#[tokio::test]
async fn limits_are_told_with_what_exceeds_them() {
    type Limit = fn(&mut syncline::ops::config::LimitsConfig);
    let cases: [(&str, i64, Limit); 3] = [
        ("row_count", 3, |limits| limits.max_rows_per_snapshot_session = 2),
        ("byte_count", 3 * 102, |limits| limits.max_bytes_per_snapshot_session = 250),
        ("row_byte_count", 102, |limits| limits.max_bytes_per_snapshot_row = 90),
    ];
    for (dimension, actual, limit) in cases {
        let users = json!([table("users", vec![text("name")])]);
        let app = SyncApp::start_with(WireProfile::Strings, users, |config| limit(&mut config.limits)).await;
        let device = app.connected("u", "d").await;
        // A push of such a row would be refused.
        let rows = "insert into {schema}.users (_sync_scope_id, id, name)
            select 'u', n, 'x' from generate_series(0, 2) n";
        app.sql(rows).await.unwrap();
        let reply = device.post("sync/snapshot-sessions", &json!({})).await;
        reply.refused(409, "snapshot_session_limit_exceeded");
        assert_eq!((&reply.body["dimension"], &reply.body["actual"]), (&json!(dimension), &json!(actual)));
        assert!(reply.body["limit"].as_i64().unwrap() < actual);
        let left = app.json_rows("select count(*) as n from {schema}._sync_snapshot_page").await;
        assert_eq!(left, json!([{"n": 0}]), "nothing of a refused snapshot is kept");
    }
}

#[tokio::test]
async fn builds_and_chunks_are_limited_at_once() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.max_concurrent_snapshot_builds = 0;
        config.limits.max_concurrent_snapshot_chunk_requests = 0;
    })
    .await;
    let device = filled(&app).await;
    let retry_after = |reply: &Reply| -> u32 {
        reply.headers[header::RETRY_AFTER].to_str().unwrap().parse().expect("whole seconds")
    };
    let reply = device.post("sync/snapshot-sessions", &json!({})).await;
    reply.refused(429, "snapshot_build_capacity");
    assert!(retry_after(&reply) >= 1);
    let reply = device.get("sync/snapshot-sessions/00000000-0000-4000-8000-000000000000").await;
    reply.refused(429, "snapshot_chunk_capacity");
    assert!(retry_after(&reply) >= 1);
}

#[tokio::test]
async fn a_scope_that_is_not_ready_has_no_snapshot() {
    let app = SyncApp::strings().await;
    let device = app.device("u", "d").await;
    let nothing = json!({});
    let post = || device.post("sync/snapshot-sessions", &nothing);
    post().await.refused(409, "scope_uninitialized");
    device.rotate("d2").await.refused(409, "scope_uninitialized");
    device.connect(true).await.ok();
    post().await.refused(409, "scope_initializing");
    device.rotate("d2").await.refused(409, "scope_initializing");
    app.advance(Duration::minutes(16));
    post().await.refused(409, "scope_uninitialized");
}

#[tokio::test]
async fn rows_without_versions_make_no_snapshot() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    app.sql("delete from {schema}.comments where id = 'c5'; delete from {schema}._sync_pending")
        .await
        .unwrap();
    app.sql("update {schema}._sync_row set deleted = false where key = 'c1'").await.unwrap();
    device.post("sync/snapshot-sessions", &json!({})).await.refused(500, "internal_error");
}

#[tokio::test]
async fn what_nobody_reads_any_more_is_removed() {
    let app = SyncApp::strings().await;
    let device = filled(&app).await;
    let old = create(&device).await;
    let left = || async {
        app.state.engine.remove_expired_snapshots().await.unwrap();
        app.json_rows(
            "select (select count(*) from {schema}._sync_snapshot_session) as sessions,
                (select count(*) from {schema}._sync_snapshot) as snapshots,
                (select count(*) > 0 from {schema}._sync_snapshot_page) as pages",
        )
        .await
    };
    let all = json!([{"sessions": 1, "snapshots": 1, "pages": true}]);
    assert_eq!(left().await, all);
    app.advance(Duration::minutes(15));
    assert_eq!(left().await, all, "a session that was begun in time is read to its end");
    chunk(&device, &old, "").await.refused(410, "snapshot_session_expired");

    // Somebody else's session keeps the snapshot.
    let new = create(&device).await;
    app.advance(Duration::minutes(10));
    assert_eq!(left().await, json!([{"sessions": 2, "snapshots": 1, "pages": true}]));
    assert_eq!(read(&device, &new, 5_000, 1 << 24).await.len(), 198);

    app.advance(Duration::minutes(10));
    assert_eq!(left().await, json!([{"sessions": 2, "snapshots": 0, "pages": false}]));
    chunk(&device, &new, "").await.refused(410, "snapshot_session_expired");
    app.advance(Duration::minutes(60));
    assert_eq!(left().await, json!([{"sessions": 0, "snapshots": 0, "pages": false}]));
    chunk(&device, &new, "").await.refused(404, "snapshot_session_not_found");
    create(&device).await;
}
