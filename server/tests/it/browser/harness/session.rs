//! The WebDriver protocol (<https://www.w3.org/TR/webdriver2/>), as much of it as a person needs. It is JSON over HTTP; the crates
//! that speak it bring an HTTP client and ICU's data of their own.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::chromedriver::Chromedriver;

/// A browser window. The browser ends when this is dropped.
#[derive(Debug)]
pub(super) struct Session {
    http: Client,
    /// `http://127.0.0.1:{port}/session/{id}`
    url: String,
    /// Where files go that are downloaded.
    pub(super) downloads: PathBuf,
    _turn: OwnedSemaphorePermit,
}

/// What WebDriver calls an element, good until the page changes.
#[derive(Debug, Clone)]
pub(super) struct Element(String);

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// WebDriver's code, such as `stale element reference`.
    pub(super) code: String,
    pub(super) message: String,
}

/// The member that holds an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Session {
    pub(super) async fn new() -> Self {
        let (driver, turn) = Chromedriver::turn().await;
        let http = Client::builder().no_proxy().build().unwrap();
        let profile = driver.profile();
        let downloads = profile.join("Downloads");
        std::fs::create_dir_all(&downloads).unwrap();
        let capabilities = Chromedriver::capabilities(&profile, &downloads);
        let mut session = Self { http, url: format!("{}/session", driver.url), downloads, _turn: turn };
        let opened = session.post("", capabilities).await;
        let opened = opened.unwrap_or_else(|failure| panic!("Chromium does not start: {}", failure.message));
        session.url = format!("{}/{}", session.url, opened["sessionId"].as_str().expect("a session id"));
        session
    }

    pub(super) async fn navigate(&self, url: &str) -> Result<(), Failure> {
        self.post("/url", json!({ "url": url })).await.map(drop)
    }

    /// What `body`, the body of a function, returns for these arguments.
    pub(super) async fn run(&self, body: &str, arguments: Value) -> Result<Value, Failure> {
        self.post("/execute/sync", json!({ "script": body, "args": arguments })).await
    }

    /// The same where the body answers a promise.
    pub(super) async fn run_to_the_end(&self, body: &str) -> Result<Value, Failure> {
        let script = format!("const done = arguments[0]; (async () => {{ {body} }})().then(done);");
        self.post("/execute/async", json!({ "script": script, "args": [] })).await
    }

    pub(super) async fn click(&self, element: &Element) -> Result<(), Failure> {
        self.post(&format!("/element/{}/click", element.0), json!({})).await.map(drop)
    }

    pub(super) async fn clear(&self, element: &Element) -> Result<(), Failure> {
        self.post(&format!("/element/{}/clear", element.0), json!({})).await.map(drop)
    }

    pub(super) async fn type_into(&self, element: &Element, text: &str) -> Result<(), Failure> {
        self.post(&format!("/element/{}/value", element.0), json!({ "text": text })).await.map(drop)
    }

    /// Press and release each key.
    pub(super) async fn press(&self, keys: &str) -> Result<(), Failure> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.post("/actions", actions).await.map(drop)
    }

    /// The name that assistive technology tells.
    pub(super) async fn name_of(&self, element: &Element) -> Result<String, Failure> {
        let name = self.send(Method::GET, &format!("/element/{}/computedlabel", element.0), None).await?;
        Ok(name.as_str().unwrap_or_default().to_owned())
    }

    pub(super) async fn screenshot(&self) -> Result<String, Failure> {
        let png = self.send(Method::GET, "/screenshot", None).await?;
        Ok(png.as_str().unwrap_or_default().to_owned())
    }

    /// What the browser logged since this was last asked: objects with `level` and `message`.
    pub(super) async fn take_log(&self) -> Result<Vec<Value>, Failure> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await?;
        Ok(log.as_array().cloned().unwrap_or_default())
    }

    /// A command of the browser's own protocol (<https://chromedevtools.github.io/devtools-protocol/>).
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Result<Value, Failure> {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("chromedriver answers");
        let succeeded = answer.status().is_success();
        let mut answer: Value = answer.json().await.expect("chromedriver answers in JSON");
        let value = answer["value"].take();
        if succeeded {
            return Ok(value);
        }
        let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
        Err(Failure { code: text("error"), message: text("message") })
    }
}

impl Element {
    /// The element that a script answered, if it found one.
    pub(super) fn of(value: &Value) -> Option<Self> {
        value[ELEMENT].as_str().map(|id| Self(id.to_owned()))
    }

    /// As an argument of a script.
    pub(super) fn reference(&self) -> Value {
        json!({ ELEMENT: self.0 })
    }
}

impl Drop for Session {
    /// Ends the browser and waits until it has ended, before another one gets its turn. A session that never began has
    /// nothing to end; whatever is missed here goes with chromedriver's process group.
    fn drop(&mut self) {
        let Some((host, path)) = self.url.strip_prefix("http://").and_then(|url| url.split_once('/')) else {
            return;
        };
        let request = format!("DELETE /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        if let Ok(mut stream) = TcpStream::connect(host)
            && stream.write_all(request.as_bytes()).is_ok()
        {
            let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(10)));
            let _ = stream.read(&mut [0; 512]);
        }
    }
}
