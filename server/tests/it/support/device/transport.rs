//! A device's requests, and what an unreliable network does to them.
//!
//! A fault never makes a request that an honest client would not make: answers get lost, requests arrive twice or
//! late, connections break. What the server did meanwhile is for the device to find out by the protocol.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use reqwest::{Client, Method};
use serde_json::Value as Json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The server answers; the device does not hear it.
    LoseAnswer,
    /// The connection breaks as soon as the request is sent; the server may do all, some or nothing of it.
    HangUp,
    /// The request arrives twice, one after the other; the device hears the first answer.
    Twice,
    /// As `Twice`, and the device hears the second answer.
    TwiceHearSecond,
    /// The request arrives twice at the same time; the device hears either answer.
    TwiceAtOnce,
    /// An earlier request of this device arrives again first.
    AfterStale(u8),
}

/// Why a request has no answer to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Json,
    /// The body as it came.
    pub(crate) text: String,
    pub(crate) retry_after: Option<u64>,
}

impl Answer {
    /// The code of a refusal; empty for a success.
    pub(crate) fn code(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    pub(crate) fn int(&self, member: &str) -> i64 {
        int(&self.body, member)
    }

    pub(crate) fn str(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.body))
    }
}

pub(crate) fn int(object: &Json, member: &str) -> i64 {
    object[member].as_i64().unwrap_or_else(|| panic!("no whole number {member} in {object}"))
}

/// A request that can be made again.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    path: String,
    source: String,
    body: Option<Json>,
}

/// The way to one app for one device. Clones share the record of earlier requests.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: Client,
    /// `http://host:port/t/tenant/app`.
    base: String,
    token: String,
    /// What the next requests run into, first come first served; empty: nothing.
    pub(crate) faults: VecDeque<Fault>,
    /// The server may vanish at any time (a test kills it): a broken connection and a 503 are no lie.
    pub(crate) server_may_vanish: bool,
    sent: Arc<Mutex<Vec<Request>>>,
}

impl Transport {
    pub(crate) fn new(client: Client, base: &str, token: String) -> Self {
        Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            token,
            faults: VecDeque::new(),
            server_may_vanish: false,
            sent: Arc::default(),
        }
    }

    pub(crate) async fn get(&mut self, source: &str, path: String) -> Result<Answer, Lost> {
        self.call(Request { method: Method::GET, path, source: source.to_owned(), body: None }).await
    }

    pub(crate) async fn post(&mut self, source: &str, path: &str, body: Json) -> Result<Answer, Lost> {
        let request = Request {
            method: Method::POST,
            path: path.to_owned(),
            source: source.to_owned(),
            body: Some(body),
        };
        self.sent.lock().expect("no test panicked with it").push(request.clone());
        self.call(request).await
    }

    pub(crate) async fn delete(&mut self, source: &str, path: String) -> Result<Answer, Lost> {
        self.call(Request { method: Method::DELETE, path, source: source.to_owned(), body: None }).await
    }

    /// Make an earlier request again, long after its time. Its answer is nobody's.
    pub(crate) async fn repeat_stale(&self, pick: usize) {
        let request = {
            let sent = self.sent.lock().expect("no test panicked with it");
            if sent.is_empty() {
                return;
            }
            sent[pick % sent.len()].clone()
        };
        let _ = self.send(&request).await;
    }

    async fn call(&mut self, request: Request) -> Result<Answer, Lost> {
        match self.faults.pop_front().unwrap_or(Fault::None) {
            Fault::None => self.send(&request).await,
            Fault::LoseAnswer => {
                self.send(&request).await?;
                Err(Lost)
            }
            Fault::HangUp => {
                self.hang_up(&request).await;
                Err(Lost)
            }
            Fault::Twice => {
                let first = self.send(&request).await;
                let _ = self.send(&request).await;
                first
            }
            Fault::TwiceHearSecond => {
                let _ = self.send(&request).await;
                self.send(&request).await
            }
            Fault::TwiceAtOnce => {
                let (first, second) = tokio::join!(self.send(&request), self.send(&request));
                // The better answer: a real network would deliver either, and the loser is an error of its own making.
                match (first, second) {
                    (Ok(first), Ok(second)) if first.status >= 400 && second.status < 400 => Ok(second),
                    (first, _) => first,
                }
            }
            Fault::AfterStale(pick) => {
                self.repeat_stale(usize::from(pick)).await;
                self.send(&request).await
            }
        }
    }

    async fn send(&self, request: &Request) -> Result<Answer, Lost> {
        let what = format!("{} {}", request.method, request.path);
        let mut builder = self
            .client
            .request(request.method.clone(), format!("{}/{}", self.base, request.path))
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", &request.source);
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = match builder.send().await {
            Ok(response) => response,
            Err(_) if self.server_may_vanish => return Err(Lost),
            Err(error) => panic!("{what} was not answered: {error:?}"),
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().ok().and_then(|text| text.parse().ok()).expect("whole seconds"));
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(_) if self.server_may_vanish => return Err(Lost),
            Err(error) => panic!("the answer to {what} broke off: {error:?}"),
        };
        if self.server_may_vanish && status >= 500 {
            return Err(Lost);
        }
        let text = String::from_utf8(body.into()).expect("a body in UTF-8");
        let body = if status == 204 {
            Json::Null
        } else {
            serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{what} was answered {status} with no JSON ({error}): {text}"))
        };
        assert!(status < 500, "{what} was answered {status}: {body}\nrequest: {:?}", request.body);
        if status >= 400 {
            assert!(
                body["error"].is_string() && body["message"].is_string(),
                "{what} was refused with {body}"
            );
        }
        Ok(Answer { status, body, text, retry_after })
    }

    /// Send a whole request and close the connection without reading a byte.
    async fn hang_up(&self, request: &Request) {
        let url = self.base.strip_prefix("http://").expect("tests use plain http");
        let (host, path) = url.split_once('/').expect("an app's base URL has a path");
        let body = request.body.as_ref().map(Json::to_string).unwrap_or_default();
        let text = format!(
            "{} /{path}/{} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\noversync-source-id: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            request.method,
            request.path,
            self.token,
            request.source,
            body.len(),
        );
        let Ok(mut stream) = TcpStream::connect(host).await else {
            assert!(self.server_may_vanish, "the server does not accept connections");
            return;
        };
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.flush().await;
    }
}
