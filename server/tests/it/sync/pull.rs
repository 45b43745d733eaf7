//! `GET sync/pull` (PROTOCOL.md section 4).

use reqwest::{Method, Request, header};
use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;
use time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::support::sync_app::{Reply, SyncApp, SyncClient, delete, insert, tables, update};

/// A device that has pushed `count` bundles, each with one new user.
async fn with_bundles(app: &SyncApp, count: i64) -> SyncClient {
    let device = app.connected("u", "d1").await;
    for n in 1..=count {
        let user =
            insert("users", &format!("user-{n}"), json!({"name": format!("N{n}"), "email": format!("e{n}")}));
        device.push(n, &[user]).await.ok();
    }
    device
}

async fn pull(device: &SyncClient, query: &str) -> Reply {
    device.get(&format!("sync/pull?{query}")).await
}

fn seqs(page: &Value) -> Vec<i64> {
    page["bundles"].as_array().unwrap().iter().map(|b| b["bundle_seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn bundles_come_whole_in_order_and_with_their_writers() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let device = app.connected("u", "d1").await;
        let other = app.connected("u", "d2").await;
        device.push(1, &[insert("users", "a", json!({"name": "A", "email": "a"}))]).await.ok();
        other
            .push(
                1,
                &[
                    update("users", "a", 1, json!({"id": "a", "name": "<B>", "email": "b"})),
                    insert("users", "b", json!({"name": "C", "email": null})),
                ],
            )
            .await
            .ok();
        device.push(2, &[delete("users", "b", 2)]).await.ok();

        let page = pull(&device, "after_bundle_seq=0").await.ok();
        let row = |op: &str, id: &str, version: i64, payload: Value| {
            json!({"schema": "business", "table": "users", "key": {"id": id}, "op": op,
                "row_version": version, "payload": payload})
        };
        let user = |id: &str, name: &str, email: Value| json!({"id": id, "name": name, "email": email});
        assert_eq!(
            page,
            json!({"stable_bundle_seq": 3, "has_more": false, "bundles": [
                {"bundle_seq": 1, "source_id": "d1", "source_bundle_id": 1, "rows": [
                    row("INSERT", "a", 1, user("a", "A", json!("a"))),
                ]},
                {"bundle_seq": 2, "source_id": "d2", "source_bundle_id": 1, "rows": [
                    row("UPDATE", "a", 2, user("a", "<B>", json!("b"))),
                    row("INSERT", "b", 2, user("b", "C", Value::Null)),
                ]},
                {"bundle_seq": 3, "source_id": "d1", "source_bundle_id": 2, "rows": [
                    row("DELETE", "b", 3, Value::Null),
                ]},
            ]})
        );
    }
}

#[tokio::test]
async fn the_first_answer_freezes_the_ceiling_and_follow_ups_keep_it() {
    let app = SyncApp::strings().await;
    let device = with_bundles(&app, 5).await;
    let first = pull(&device, "after_bundle_seq=0&max_bundles=2").await.ok();
    assert_eq!(
        (seqs(&first), &first["stable_bundle_seq"], &first["has_more"]),
        (vec![1, 2], &json!(5), &json!(true))
    );

    device.push(6, &[insert("users", "late", json!({"name": "late"}))]).await.ok();
    let second = pull(&device, "after_bundle_seq=2&max_bundles=2&target_bundle_seq=5").await.ok();
    assert_eq!((seqs(&second), &second["has_more"]), (vec![3, 4], &json!(true)));
    let last = pull(&device, "after_bundle_seq=4&max_bundles=2&target_bundle_seq=5").await.ok();
    assert_eq!(
        (seqs(&last), &last["stable_bundle_seq"], &last["has_more"]),
        (vec![5], &json!(5), &json!(false))
    );

    let next = pull(&device, "after_bundle_seq=5").await.ok();
    assert_eq!((seqs(&next), &next["stable_bundle_seq"]), (vec![6], &json!(6)));
    let nothing = pull(&device, "after_bundle_seq=6&max_bundles=9000").await.ok();
    assert_eq!(nothing, json!({"stable_bundle_seq": 6, "bundles": [], "has_more": false}));
}

#[tokio::test]
async fn an_empty_scope_has_an_empty_page() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    let page = pull(&device, "after_bundle_seq=0&target_bundle_seq=0").await.ok();
    assert_eq!(page, json!({"stable_bundle_seq": 0, "bundles": [], "has_more": false}));
    assert_eq!(device.get("sync/pull").await.ok(), page);
}

#[tokio::test]
async fn a_page_ends_early_at_its_bytes_but_holds_one_bundle_at_least() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.max_bytes_per_pull = 700;
    })
    .await;
    let device = with_bundles(&app, 4).await;
    let long = insert("users", "long", json!({"name": "x".repeat(3_000), "email": "long"}));
    device.push(5, &[long]).await.ok();
    let mut after = 0;
    let mut pages = Vec::new();
    loop {
        let page = pull(&device, &format!("after_bundle_seq={after}")).await.ok();
        assert_eq!(page["stable_bundle_seq"], 5);
        after = *seqs(&page).last().unwrap();
        pages.push(seqs(&page));
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(pages.concat(), [1, 2, 3, 4, 5]);
    assert_eq!(pages.last().unwrap(), &[5]);
    assert!(pages.len() == 3, "{pages:?}");
}

/// Pieces of an answer are half a MiB: bundles below and above that, and one with many segments, in one page.
#[tokio::test]
async fn a_page_of_many_pieces_reads_like_one() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    let user = |id: String, bytes: usize| {
        let name = "é\\\"\n".repeat(bytes / 8);
        insert("users", &id, json!({"name": name, "email": id}))
    };
    let mut expected = Vec::new();
    for (n, (rows, bytes)) in
        (1..).zip([(1, 10), (3, 300_000), (1_200, 600), (1, 900_000), (2, 10), (1, 200_000)])
    {
        let rows: Vec<Value> = (0..rows).map(|i| user(format!("{n}-{i}"), bytes)).collect();
        device.push(n, &rows).await.ok();
        expected.push(rows);
    }
    let page = pull(&device, "after_bundle_seq=0").await.ok();
    assert_eq!(seqs(&page), [1, 2, 3, 4, 5, 6]);
    for (bundle, pushed) in page["bundles"].as_array().unwrap().iter().zip(expected) {
        let payloads: Vec<&Value> =
            bundle["rows"].as_array().unwrap().iter().map(|row| &row["payload"]).collect();
        let pushed: Vec<&Value> = pushed.iter().map(|row| &row["payload"]).collect();
        assert!(payloads == pushed, "bundle {} is not what was pushed", bundle["bundle_seq"]);
    }
}

#[tokio::test]
async fn an_answer_whose_bundles_are_pruned_meanwhile_breaks_off() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    for n in 1..=12 {
        let name = "x".repeat(900_000);
        let user = insert("users", &format!("u{n}"), json!({"name": name, "email": format!("e{n}")}));
        device.push(n, &[user]).await.ok();
    }
    // Over a socket with room for little: else most of the answer could be on the way before anything is pruned.
    let request = device.request(Method::GET, "sync/pull?after_bundle_seq=0").build().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stream = socket.connect(request.url().socket_addrs(|| None).unwrap()[0]).await.unwrap();
    stream.write_all(head_of(&request).as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 * 1024];
    let begun = stream.read(&mut answer).await.unwrap();
    answer.truncate(begun);
    app.sql("delete from {schema}._sync_bundle_rows where bundle_seq <= 11").await.unwrap();
    // The server may also say that it ends by resetting the connection.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.len() > begun);
    assert!(!answer.ends_with(b"\r\n0\r\n\r\n"), "the answer must not look complete");
}

/// The request as it goes over the wire, without a body.
fn head_of(request: &Request) -> String {
    let url = request.url();
    let mut head = format!(
        "GET {}?{} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
        url.path(),
        url.query().unwrap(),
        url.authority()
    );
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head + "\r\n"
}

#[tokio::test]
async fn a_checkpoint_at_or_below_the_floor_is_told_to_rebuild() {
    let app = SyncApp::strings().await;
    let device = with_bundles(&app, 5).await;
    app.sql("update {schema}._sync_scope set floor_seq = 2; delete from {schema}._sync_bundle where bundle_seq <= 2")
        .await
        .unwrap();
    for after in 0..=2 {
        let message =
            pull(&device, &format!("after_bundle_seq={after}")).await.refused(409, "history_pruned");
        assert!(message.contains("bundle 2"), "{message}");
    }
    assert_eq!(seqs(&pull(&device, "after_bundle_seq=3").await.ok()), [4, 5]);
}

#[tokio::test]
async fn a_checkpoint_beyond_the_latest_bundle_is_refused() {
    let app = SyncApp::strings().await;
    let device = with_bundles(&app, 2).await;
    pull(&device, "after_bundle_seq=3").await.refused(409, "checkpoint_ahead");
    pull(&device, "after_bundle_seq=1&target_bundle_seq=3").await.refused(409, "checkpoint_ahead");
    pull(&device, &format!("after_bundle_seq={}", i64::MAX)).await.refused(409, "checkpoint_ahead");
}

#[tokio::test]
async fn a_scope_that_is_not_initialized_has_nothing_to_pull() {
    let app = SyncApp::strings().await;
    let device = app.device("u", "d").await;
    pull(&device, "after_bundle_seq=0").await.refused(409, "scope_uninitialized");
    device.connect(true).await.ok();
    pull(&device, "after_bundle_seq=0").await.refused(409, "scope_initializing");
    app.advance(Duration::minutes(16));
    pull(&device, "after_bundle_seq=0").await.refused(409, "scope_uninitialized");
}

#[tokio::test]
async fn bad_numbers_are_named() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    for (query, named) in [
        ("after_bundle_seq=-1", "after_bundle_seq"),
        ("after_bundle_seq=x", "after_bundle_seq"),
        ("after_bundle_seq=1.5", "after_bundle_seq"),
        ("after_bundle_seq=99999999999999999999", "after_bundle_seq"),
        ("after_bundle_seq=1&after_bundle_seq=2", "after_bundle_seq"),
        ("max_bundles=0", "max_bundles"),
        ("max_bundles=-5", "max_bundles"),
        ("max_bundles=", "max_bundles"),
        ("target_bundle_seq=-1", "target_bundle_seq"),
        ("after_bundle_seq=2&target_bundle_seq=1", "target_bundle_seq"),
    ] {
        let message = pull(&device, query).await.refused(400, "invalid_request");
        assert!(message.contains(named), "{query}: {message}");
    }
}

#[tokio::test]
async fn nobody_pulls_without_token_or_source() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d").await;
    let mut stranger = device.clone();
    stranger.token = "not.a.token".to_owned();
    pull(&stranger, "").await.refused(401, "authentication_failed");
    pull(&device.with_source("server:sql"), "").await.refused(400, "invalid_request");
    pull(&device.with_source("a b"), "").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn scopes_pull_only_their_own_bundles() {
    let app = SyncApp::strings().await;
    let device = with_bundles(&app, 2).await;
    let other = app.connected("v", "d1").await;
    assert_eq!(seqs(&pull(&other, "").await.ok()), Vec::<i64>::new());
    other.push(1, &[insert("users", "user-1", json!({"name": "e1"}))]).await.ok();
    assert_eq!(seqs(&pull(&other, "").await.ok()), [1]);
    assert_eq!(seqs(&pull(&device, "").await.ok()), [1, 2]);
    let teammate = app.device_in_scope("w", "u", "d9").await;
    assert_eq!(seqs(&pull(&teammate, "").await.ok()), [1, 2]);
}

#[tokio::test]
async fn an_answer_is_compressed_for_those_who_ask_and_only_if_it_pays() {
    let app = SyncApp::strings().await;
    let device = with_bundles(&app, 30).await;
    // One that unpacks nothing by itself.
    let http = reqwest::Client::builder().no_gzip().build().unwrap();
    let get = |path: &str, encoding: &'static str| {
        http.get(format!("{}/{path}", app.base))
            .bearer_auth(&device.token)
            .header("Oversync-Source-ID", &device.source)
            .header(header::ACCEPT_ENCODING, encoding)
            .send()
    };
    let encoding = |answer: &reqwest::Response| {
        answer.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap().to_owned())
    };
    let long = get("sync/pull", "gzip").await.unwrap();
    assert_eq!(encoding(&long).as_deref(), Some("gzip"));
    let packed = long.bytes().await.unwrap();
    let plain = get("sync/pull", "identity").await.unwrap();
    assert_eq!(encoding(&plain), None);
    assert!(packed.len() < plain.bytes().await.unwrap().len() / 3);
    let short = get("sync/pull?after_bundle_seq=30", "gzip").await.unwrap();
    assert_eq!(encoding(&short), None);
}

#[tokio::test]
async fn a_device_rebuilds_where_a_bundle_is_larger_than_clients_read() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.max_bytes_per_pulled_bundle = 20_000;
    })
    .await;
    let device = with_bundles(&app, 1).await;
    let rows: Vec<Value> =
        (0..200).map(|n| insert("users", &format!("big-{n}"), json!({"name": "x".repeat(100)}))).collect();
    device.push(2, &rows).await.ok();
    device.push(3, &[insert("users", "after", json!({"name": "A"}))]).await.ok();
    // What comes before it is sent.
    let page = pull(&device, "after_bundle_seq=0&max_bundles=1").await.ok();
    assert_eq!((seqs(&page), &page["has_more"]), (vec![1], &json!(true)));
    let message = pull(&device, "after_bundle_seq=1").await.refused(409, "history_pruned");
    assert!(message.contains("Bundle 2") && message.contains("snapshot"), "{message}");
    let session = device.post("sync/snapshot-sessions", &json!({})).await.ok();
    assert_eq!((&session["snapshot_bundle_seq"], &session["row_count"]), (&json!(3), &json!(202)));
    assert_eq!(seqs(&pull(&device, "after_bundle_seq=2").await.ok()), [3]);
}
