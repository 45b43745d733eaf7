//! `GET sync/watch` (PROTOCOL.md section 7).

use std::time::Duration;

use reqwest::{Method, header};
use serde_json::{Value, json};
use sqlx::Row as _;
use syncline::{ids::SourceId, tables::spec::WireProfile};

use crate::support::sync_app::{Reply, SyncApp, SyncClient, insert, tables};

/// Longer than anything here should take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open stream.
struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(device: &SyncClient, after: i64) -> Self {
        let answer = device
            .request(Method::GET, &format!("sync/watch?after_bundle_seq={after}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Self { answer, text: String::new() }
    }

    /// The next block of lines; None when the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let piece = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&piece.ok()??).unwrap());
        }
    }

    /// The data of the next event.
    async fn event(&mut self) -> Value {
        let block = self.block().await.expect("an event");
        let data = block.strip_prefix("event: bundle\ndata: ").unwrap_or_else(|| panic!("no event: {block}"));
        serde_json::from_str(data).unwrap()
    }

    /// That nothing comes for a moment.
    async fn is_quiet(&mut self) {
        assert_eq!(self.text, "");
        let piece = tokio::time::timeout(Duration::from_millis(150), self.answer.chunk()).await;
        assert!(piece.is_err(), "an event that nobody expected: {piece:?}");
    }
}

fn user(id: &str) -> Value {
    insert("users", id, json!({"name": id}))
}

#[tokio::test]
async fn a_watcher_that_is_behind_is_told_at_once_and_then_of_every_commit() {
    let app = SyncApp::strings().await;
    let (device, watcher) = (app.connected("u", "d1").await, app.device("u", "d2").await);
    device.push(1, &[user("a")]).await.ok();
    device.push(2, &[user("b")]).await.ok();
    let mut stream = Stream::open(&watcher, 1).await;
    let header = |name: header::HeaderName| stream.answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(header::CONTENT_TYPE), "text/event-stream");
    assert_eq!(header(header::CACHE_CONTROL), "no-cache");
    assert_eq!(header(header::HeaderName::from_static("x-accel-buffering")), "no");
    assert!(!stream.answer.headers().contains_key(header::CONTENT_ENCODING));
    assert_eq!(stream.event().await, json!({"bundle_seq": 2, "source_id": "d1", "source_bundle_id": 2}));

    device.push(3, &[user("c")]).await.ok();
    assert_eq!(stream.event().await, json!({"bundle_seq": 3, "source_id": "d1", "source_bundle_id": 3}));
    stream.is_quiet().await;
}

#[tokio::test]
async fn a_watcher_that_has_everything_waits() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    device.push(1, &[user("a")]).await.ok();
    let mut stream = Stream::open(&device, 1).await;
    stream.is_quiet().await;
    let other_scope = app.connected("v", "d1").await;
    other_scope.push(1, &[user("a")]).await.ok();
    stream.is_quiet().await;
    device.push(2, &[user("b")]).await.ok();
    assert_eq!(stream.event().await["bundle_seq"], 2);
}

#[tokio::test]
async fn a_refused_push_and_a_rolled_back_write_wake_nobody() {
    let app = SyncApp::strings().await;
    app.state.start_tasks();
    let device = app.connected("u", "d1").await;
    device.push(1, &[user("a")]).await.ok();
    let mut stream = Stream::open(&device, 1).await;
    device.push(2, &[user("a")]).await.refused(409, "push_conflict");
    let failed = app
        .sql("insert into {schema}.users (_sync_scope_id, id, name) values ('u', 'x', 'x'), ('u', 'x', 'y')")
        .await;
    assert!(failed.is_err());
    stream.is_quiet().await;
}

#[tokio::test]
async fn plain_sql_by_the_apps_role_wakes_watchers() {
    let app = SyncApp::strings().await;
    app.state.start_tasks();
    let device = app.connected("u", "d1").await;
    let mut stream = Stream::open(&device, 0).await;
    app.sql("insert into {schema}.users (_sync_scope_id, id, name) values ('u', 'x', 'x')").await.unwrap();
    assert_eq!(
        stream.event().await,
        json!({"bundle_seq": 1, "source_id": "server:sql", "source_bundle_id": 1})
    );
}

#[tokio::test]
async fn a_commit_on_one_node_wakes_the_watchers_of_another() {
    let app = SyncApp::strings().await;
    app.state.start_tasks();
    let node = app.another_node().await;
    let device = app.connected("u", "d1").await;
    let mut streams = Vec::new();
    for watcher in 0..3 {
        let watcher = device.at(&node).with_source(&format!("w{watcher}"));
        streams.push(Stream::open(&watcher, 0).await);
    }
    for n in 1..=2 {
        device.push(n, &[user(&format!("u{n}"))]).await.ok();
        for stream in &mut streams {
            assert_eq!(
                stream.event().await,
                json!({"bundle_seq": n, "source_id": "d1", "source_bundle_id": n})
            );
        }
    }
}

#[tokio::test]
async fn a_node_whose_listening_connection_breaks_catches_up() {
    let app = SyncApp::strings().await;
    let node = app.another_node().await;
    let device = app.connected("u", "d1").await;
    let mut stream = Stream::open(&device.at(&node), 0).await;
    // The first node sends no notifications: its tasks do not run. The second finds out by asking.
    device.push(1, &[user("a")]).await.ok();
    assert_eq!(stream.event().await["bundle_seq"], 1);
    app.sql("select 1").await.unwrap();
    let listeners = "select pg_terminate_backend(pid) from pg_stat_activity
        where query ilike 'listen%' and datname = current_database()";
    sqlx::query(listeners).execute(&app.state.databases.platform).await.unwrap();
    device.push(2, &[user("b")]).await.ok();
    assert_eq!(stream.event().await["bundle_seq"], 2);
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive_and_ends_with_its_token() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.watch_heartbeat_seconds = 1;
    })
    .await;
    let device = app.connected("u", "d1").await;
    let mut stream = Stream::open(&device, 0).await;
    assert_eq!(stream.block().await.as_deref(), Some(": heartbeat"));
    app.advance(time::Duration::days(366));
    assert_eq!(stream.block().await, None);
}

#[tokio::test]
async fn a_stream_that_is_open_for_long_is_told_of_again() {
    let app = SyncApp::start_with(WireProfile::Strings, tables(), |config| {
        config.limits.watch_heartbeat_seconds = 1;
    })
    .await;
    let device = app.connected("u", "d1").await;
    let mut stream = Stream::open(&device, 0).await;
    let told_at = async || {
        app.state.engine.write_device_facts().await;
        let sql = "select d.last_watch_at from {schema}._sync_device d where d.source_id = 'd1'";
        app.rows(sql).await[0].get::<time::OffsetDateTime, _>("last_watch_at")
    };
    let opened_at = told_at().await;
    app.advance(time::Duration::minutes(5));
    assert_eq!(stream.block().await.as_deref(), Some(": heartbeat"));
    assert!(told_at().await - opened_at >= time::Duration::minutes(5));
}

#[tokio::test]
async fn streams_end_when_the_server_drains_and_when_the_source_is_retired() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    let mut stays = Stream::open(&device.with_source("d2"), 0).await;
    let mut ends = Stream::open(&device, 0).await;
    device.rotate("d3").await.ok();
    assert_eq!(ends.block().await, None);
    let message =
        device.get("sync/watch?after_bundle_seq=0").await.refused(403, "bundle_change_watch_forbidden");
    assert!(message.contains("d3"), "{message}");
    stays.is_quiet().await;
    app.state.lifecycle.drain();
    assert_eq!(stays.block().await, None);
}

#[tokio::test]
async fn a_retirement_on_one_node_ends_the_stream_on_another() {
    let app = SyncApp::strings().await;
    app.state.start_tasks();
    let node = app.another_node().await;
    let device = app.connected("u", "d1").await;
    let mut stream = Stream::open(&device.at(&node), 0).await;
    // Until the other node listens, a retirement is not heard; commits tell when it does.
    device.rotate(SourceId::parse_device("d3").unwrap().as_str()).await.ok();
    assert_eq!(stream.block().await, None);
}

#[tokio::test]
async fn a_scope_that_is_not_ready_cannot_be_watched() {
    let app = SyncApp::strings().await;
    let device = app.device("u", "d").await;
    let watch = |device: SyncClient| async move { device.get("sync/watch").await };
    watch(device.clone()).await.refused(409, "scope_uninitialized");
    device.connect(true).await.ok();
    watch(device.clone()).await.refused(409, "scope_initializing");
    device.get("sync/watch?after_bundle_seq=-1").await.refused(400, "invalid_request");
    device.get("sync/watch?after_bundle_seq=x").await.refused(400, "invalid_request");
    let mut stranger = device;
    stranger.token.clear();
    watch(stranger).await.refused(401, "authentication_failed");
    assert_eq!(app.state.engine.hub().streams(), 0);
}

#[tokio::test]
async fn streams_are_limited_and_can_be_switched_off() {
    let limited = |streams| {
        SyncApp::start_with(WireProfile::Strings, tables(), move |config| {
            config.limits.max_watch_streams = streams;
        })
    };
    let app = limited(1).await;
    let device = app.connected("u", "d").await;
    let stream = Stream::open(&device, 0).await;
    let refused: Reply = device.get("sync/watch").await;
    refused.refused(503, "service_unavailable");
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    drop(stream);
    let reopened = async {
        while device.request(Method::GET, "sync/watch").send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reopened).await.expect("a place that was given up is free again");

    let app = limited(0).await;
    let device = app.connected("u", "d").await;
    device.get("sync/watch").await.refused(503, "bundle_change_watch_disabled");
}
