//! Streams as they are on the wire: what else goes over their connections, and how those end.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::sync_app::{SyncApp, SyncClient, insert};

/// Longer than anything here should take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
const HEALTH: &str = "GET /t/acme/notes/syncx/health HTTP/1.1\r\nHost: here\r\n\r\n";

/// A connection, with what has come over it and was not looked for yet.
struct Wire {
    stream: TcpStream,
    come: String,
}

impl Wire {
    async fn open(app: &SyncApp) -> Self {
        let address = app.base.strip_prefix("http://").unwrap().split('/').next().unwrap();
        Self { stream: TcpStream::connect(address).await.unwrap(), come: String::new() }
    }

    async fn say(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Everything up to the first `end`.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.come.find(end) {
                let rest = self.come.split_off(at + end.len());
                return std::mem::replace(&mut self.come, rest);
            }
            assert!(self.more().await, "the end before {end:?}: {}", self.come);
        }
    }

    /// Everything, when the server has closed the connection.
    async fn end(mut self) -> String {
        while self.more().await {}
        self.come
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4_096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let read = read.expect("bytes in time").unwrap();
        self.come.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        read > 0
    }
}

/// A request for the device's stream.
fn watch(device: &SyncClient, version: &str, more: &str) -> String {
    format!(
        "GET /t/acme/notes/sync/watch HTTP/{version}\r\nHost: here\r\nAuthorization: Bearer {}\r\n\
         Oversync-Source-ID: {}\r\n{more}\r\n",
        device.token, device.source
    )
}

/// A device with one bundle, and another of the same user that watches.
async fn devices(app: &SyncApp) -> (SyncClient, SyncClient) {
    let device = app.connected("u", "d1").await;
    push(&device, 1).await;
    let watcher = device.with_source("d2");
    (device, watcher)
}

async fn push(device: &SyncClient, number: i64) {
    device.push(number, &[insert("users", &format!("n{number}"), json!({"name": "n"}))]).await.ok();
}

/// The event of a bundle of `d1`, as a chunk.
fn event(seq: i64) -> String {
    let data = json!({"bundle_seq": seq, "source_id": "d1", "source_bundle_id": seq});
    let text = format!("event: bundle\ndata: {data}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn a_connection_serves_on_when_its_stream_has_ended() {
    let app = SyncApp::strings().await;
    let (device, watcher) = devices(&app).await;
    let mut wire = Wire::open(&app).await;
    for source in ["d3", "d4"] {
        wire.say(HEALTH).await;
        assert!(wire.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        wire.until("}").await;

        let watcher = watcher.with_source(&format!("of-{source}"));
        wire.say(&watch(&watcher, "1.1", "")).await;
        let head = wire.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        assert!(!head.contains("content-length") && !head.contains("connection:"), "{head}");
        wire.until("event: bundle").await;
        wire.until("\n\n\r\n").await;
        watcher.rotate(source).await.ok();
        assert_eq!(wire.until("0\r\n\r\n").await, "0\r\n\r\n");
    }
    push(&device, 2).await;
    wire.say(&watch(&watcher, "1.1", "Connection: keep-alive\r\n")).await;
    wire.until("\r\n\r\n").await;
    assert_eq!(wire.until("\n\n\r\n").await, event(2));
    push(&device, 3).await;
    assert_eq!(wire.until("\n\n\r\n").await, event(3));
    app.state.lifecycle.drain();
    assert_eq!(wire.end().await, "0\r\n\r\n");
}

#[tokio::test]
async fn what_is_asked_before_a_stream_has_ended_is_answered_then() {
    let app = SyncApp::strings().await;
    let (device, watcher) = devices(&app).await;
    let mut wire = Wire::open(&app).await;
    wire.say(&watch(&watcher, "1.1", "")).await;
    wire.until("\n\n\r\n").await;
    wire.say(HEALTH).await;
    push(&device, 2).await;
    assert_eq!(wire.until("\n\n\r\n").await, event(2));
    watcher.rotate("d3").await.ok();
    assert_eq!(wire.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert!(wire.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn what_comes_with_the_request_for_a_stream_closes_the_connection_after_it() {
    let app = SyncApp::strings().await;
    let (device, watcher) = devices(&app).await;
    let mut wire = Wire::open(&app).await;
    wire.say(&(watch(&watcher, "1.1", "") + HEALTH)).await;
    wire.until("\r\n\r\n").await;
    assert_eq!(wire.until("\n\n\r\n").await, event(1));
    push(&device, 2).await;
    assert_eq!(wire.until("\n\n\r\n").await, event(2));
    watcher.rotate("d3").await.ok();
    // Whether that has happened or the client must ask again cannot be seen from what was answered.
    assert_eq!(wire.end().await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_stream_is_sent_to_clients_that_keep_no_connection() {
    let app = SyncApp::strings().await;
    let (_, watcher) = devices(&app).await;
    let mut old = Wire::open(&app).await;
    old.say(&watch(&watcher, "1.0", "")).await;
    let mut once = Wire::open(&app).await;
    once.say(&watch(&watcher, "1.1", "Connection: close\r\n")).await;

    let head = old.until("\r\n\r\n").await;
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(old.until("\n\n").await.starts_with("event: bundle\ndata: "));
    let head = once.until("\r\n\r\n").await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    // Hyper's chunks have a number in capitals.
    assert!(once.until("\n\n\r\n").await.eq_ignore_ascii_case(&event(1)));
    watcher.rotate("d3").await.ok();
    assert_eq!(old.end().await, "");
    assert_eq!(once.end().await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_goes_ends_its_stream() {
    let app = SyncApp::strings().await;
    let (_, watcher) = devices(&app).await;
    let mut wire = Wire::open(&app).await;
    wire.say(&watch(&watcher, "1.1", "")).await;
    wire.until("\n\n\r\n").await;
    assert_eq!(app.state.engine.hub().streams(), 1);
    drop(wire);
    let ended = async {
        while app.state.engine.hub().streams() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends");
}

#[tokio::test]
async fn the_head_of_a_stream_can_be_asked_for_alone() {
    let app = SyncApp::strings().await;
    let (_, watcher) = devices(&app).await;
    let answer = watcher.request(Method::HEAD, "sync/watch").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn streams_go_over_http2_too() {
    let app = SyncApp::strings().await;
    let (device, watcher) = devices(&app).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let ask = || {
        let request = client.get(format!("{}/sync/watch", app.base)).bearer_auth(&watcher.token);
        request.header("Oversync-Source-ID", &watcher.source).send()
    };
    let (mut one, mut two) = (ask().await.unwrap(), ask().await.unwrap());
    assert_eq!((one.version(), one.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    for stream in [&mut one, &mut two] {
        assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"event: bundle\n"));
    }
    push(&device, 2).await;
    for stream in [&mut one, &mut two] {
        assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"event: bundle\n"));
    }
    app.state.lifecycle.drain();
    for stream in [one, two] {
        assert_eq!(stream.bytes().await.unwrap(), "");
    }
}

#[tokio::test]
async fn the_beginning_of_a_connection_may_come_in_pieces() {
    let app = SyncApp::strings().await;
    let mut wire = Wire::open(&app).await;
    wire.stream.set_nodelay(true).unwrap();
    for piece in ["PRI * HT", "TP/2.0\r\n\r\nSM\r", "\n\r\n", "\0\0\0\u{4}\0\0\0\0\0"] {
        wire.say(piece).await;
        tokio::task::yield_now().await;
    }
    let mut frame = [0; 9];
    wire.stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "settings, with which a server of HTTP/2 begins: {frame:?}");

    let mut wire = Wire::open(&app).await;
    wire.stream.set_nodelay(true).unwrap();
    for piece in ["P", "OST /livez HTTP/1.1\r\nHo", "st: here\r\n\r\n"] {
        wire.say(piece).await;
        tokio::task::yield_now().await;
    }
    assert!(wire.until("\r\n").await.starts_with("HTTP/1.1 405 "));
}
