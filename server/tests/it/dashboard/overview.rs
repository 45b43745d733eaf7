//! The overview: figures that equal what was done, whichever server did it, and a stream that tells of it.

use std::time::Duration as Patience;

use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use syncline::{app::Syncline, sync::rollup::read::Range, tables::spec::WireProfile};
use time::Duration;

use crate::support::{
    app::{Answer, TestApp, TestSyncApp},
    browser::Browser,
    sync_app::request_hash,
};

/// Longer than anything here should take, also on a busy machine.
const PATIENCE: Patience = Patience::from_secs(20);

const DDL: &str = "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE);";

/// A device of a scope of its own or others', at one of the servers.
struct Device {
    base_url: String,
    token: String,
    source: &'static str,
}

impl Device {
    async fn of(app: &TestSyncApp, node_url: &str, scope: &str, source: &'static str) -> Self {
        let device = Self {
            base_url: format!("{node_url}/t/acme/notes"),
            token: app.token_in_scope("ada", scope).await,
            source,
        };
        assert!(device.post("connect", json!({"has_local_pending_rows": false})).await.status.is_success());
        device
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        Client::new()
            .request(method, format!("{}/sync/{path}", self.base_url))
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", self.source)
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    async fn pull(&self, after: i64) -> Answer {
        Answer::of(self.request(Method::GET, &format!("pull?after_bundle_seq={after}"))).await
    }

    /// Push these notes as new ones.
    async fn push(&self, number: i64, ids: &[&str]) -> Answer {
        let row = |id: &&str| {
            json!({
                "schema": "main", "table": "note", "key": {"id": id}, "op": "INSERT", "base_row_version": 0,
                "payload": {"id": id, "title": format!("{id} by {}", self.source)},
            })
        };
        let rows: Vec<Value> = ids.iter().map(row).collect();
        let announced = json!({
            "source_bundle_id": number, "planned_row_count": rows.len(),
            "canonical_request_hash": request_hash(&rows),
        });
        let push = self.post("push-sessions", announced).await.json()["push_id"].as_str().unwrap().to_owned();
        self.post(&format!("push-sessions/{push}/chunks"), json!({"start_row_ordinal": 0, "rows": rows}))
            .await;
        self.post(&format!("push-sessions/{push}/commit"), json!({})).await
    }
}

async fn owner(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    browser
}

/// Everything that a server has in memory is written down.
async fn write_down(state: &Syncline) {
    state.engine.write_device_facts().await;
    state.engine.write_rollups().await;
}

/// The figures whose heading begins so.
fn figure(page: &crate::support::browser::Page, heading: &str) -> String {
    let figures = page.texts(".figures > div");
    figures.into_iter().find(|text| text.starts_with(heading)).unwrap_or_else(|| panic!("{}", page.html))
}

#[tokio::test]
async fn figures_equal_what_was_done_on_two_servers() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let other = app.another_node().await;
    let phone = Device::of(&notes, app.url(), "ada", "phone").await;
    let tablet = Device::of(&notes, &other.url, "ada", "tablet").await;
    let watch = Device::of(&notes, &other.url, "grace", "watch").await;

    assert_eq!(phone.push(1, &["a", "b"]).await.status, StatusCode::OK);
    assert_eq!(watch.push(1, &["x"]).await.status, StatusCode::OK);
    // Two rows lose, twice: they are two conflicts all the same.
    assert_eq!(tablet.push(1, &["a", "b"]).await.code(), "push_conflict");
    assert_eq!(tablet.push(1, &["a", "b"]).await.code(), "push_conflict");
    assert_eq!(tablet.pull(0).await.status, StatusCode::OK);
    // The phone speaks to both servers and is one device.
    let roaming = Device::of(&notes, &other.url, "ada", "phone").await;
    assert_eq!(roaming.pull(0).await.status, StatusCode::OK);
    assert_eq!(roaming.pull(1).await.status, StatusCode::OK);
    assert_eq!(roaming.pull(9).await.code(), "checkpoint_ahead");
    let forged =
        Device { token: "made up".to_owned(), ..Device::of(&notes, &other.url, "ada", "phone").await };
    assert_eq!(forged.pull(0).await.status, StatusCode::UNAUTHORIZED);

    write_down(app.state()).await;
    write_down(&other.state).await;
    let catalog = &app.state().directory.find("acme", "notes").await.unwrap().unwrap().catalog;
    for range in Range::ALL {
        let rollups = app.state().engine.rollups(catalog, range).await.unwrap();
        let sum = rollups.sum();
        assert_eq!((sum.commits, sum.rows_pushed), (2, 3), "{range:?}");
        assert_eq!((sum.pulls, sum.rows_served), (3, 4), "{range:?}");
        assert_eq!((sum.conflicts, sum.refusals), (2, 2), "{range:?}");
        assert_eq!((sum.commit_latency.total(), sum.pull_latency.total()), (2, 3), "{range:?}");
        assert!(sum.pull_latency.quantile(0.5) <= sum.pull_latency.quantile(0.95), "{range:?}");
    }
    let day = app.state().engine.rollups(catalog, Range::Month).await.unwrap();
    assert_eq!(day.points.iter().map(|point| point.active_devices).sum::<i64>(), 3);

    let page = owner(&app).await.get("/d/acme/notes?range=day").await;
    assert_eq!(figure(&page, "Commits"), "Commits, last hour23 rows", "{}", page.html);
    assert!(figure(&page, "Pulls").contains("4 rows served"), "{}", page.html);
    assert!(figure(&page, "Devices").ends_with("3 called within a day"), "{}", page.html);
    assert_eq!(page.text("#chart-commits tbody td"), "2");
    assert_eq!(page.texts("#chart-failures tbody td"), ["2", "2"]);
    assert_eq!(page.text("#chart-devices tbody td"), "3");
    assert_eq!(page.text(".switch [aria-current]"), "Day");
}

#[tokio::test]
async fn each_question_is_one_click_from_its_answer() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let phone = Device::of(&notes, app.url(), "ada", "phone").await;
    let tablet = Device::of(&notes, app.url(), "ada", "tablet").await;
    let laptop = Device::of(&notes, app.url(), "ada", "laptop").await;
    assert_eq!(phone.push(1, &["a"]).await.status, StatusCode::OK);
    assert_eq!(tablet.push(1, &["a"]).await.code(), "push_conflict");
    let refused = laptop.push(1, &["c", "c"]).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);
    write_down(app.state()).await;
    let mut browser = owner(&app).await;
    let page = browser.get("/d/acme/notes").await;
    for (question, answer) in [
        ("question-device", "/d/acme/notes/devices/ada/laptop"),
        ("question-overwritten", "/d/acme/notes/conflicts/cfl_"),
        ("question-refused", "/d/acme/notes/rejected/rej_"),
    ] {
        let link = format!("[aria-labelledby={question}] .question-list a");
        let address = page.attribute(&link, "href").unwrap_or_else(|| panic!("{question}: {}", page.html));
        assert!(address.starts_with(answer), "{question}: {address}");
        assert_eq!(browser.get(&address).await.status, StatusCode::OK, "{address}");
    }
}

#[tokio::test]
async fn steps_of_time_that_no_chart_shows_are_removed() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let phone = Device::of(&notes, app.url(), "ada", "phone").await;
    let beginning = app.clock.now();
    assert_eq!(phone.push(1, &["a"]).await.status, StatusCode::OK);
    write_down(app.state()).await;
    let prune = || async { app.state().engine.prune_rollups().await.unwrap() };
    assert_eq!(prune().await, 0);
    let all = [60, 3_600, 21_600, 86_400];
    for (hours, kept) in [(0, &all[..]), (4, &all[1..]), (96, &all[2..]), (480, &all[3..])] {
        app.clock.advance(Duration::hours(hours));
        assert_eq!(prune().await, 0, "an app where nothing happens is not looked at");
        let token = notes.token_in_scope("ada", "ada").await;
        let phone = Device { token, base_url: phone.base_url.clone(), source: "phone" };
        assert_eq!(phone.pull(0).await.status, StatusCode::OK);
        write_down(app.state()).await;
        assert_eq!(prune().await > 0, hours > 0, "after {hours} hours more");
        let sql = format!(
            "select step from {}._sync_rollup group by step having min(at) <= $1 order by step",
            notes.app.app_id.schema()
        );
        let steps: Vec<i32> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(beginning)
            .fetch_all(&app.pool().await)
            .await
            .unwrap();
        assert_eq!(steps, kept, "after {hours} hours more");
    }
}

/// An open stream.
struct Stream {
    answer: reqwest::Response,
    text: String,
    /// Every event that was waited for.
    seen: Vec<String>,
}

impl Stream {
    async fn open(url: &str, browser: &Browser) -> Self {
        let answer = Client::new()
            .get(url)
            .header(header::ACCEPT, "text/event-stream")
            .header(header::COOKIE, format!("syncline_session={}", browser.cookie().unwrap()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { answer, text: String::new(), seen: Vec::new() }
    }

    /// The next event; None when the stream has ended.
    async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let piece = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&piece.ok()??).unwrap());
        }
    }

    /// An event with that text in it: one event may tell of several things, so it may have come already.
    async fn until(&mut self, text: &str) -> String {
        if let Some(event) = self.seen.iter().rfind(|event| event.contains(text)) {
            return event.clone();
        }
        let told = tokio::time::timeout(PATIENCE, async {
            loop {
                let event = self.event().await.unwrap_or_else(|| panic!("the stream ended before {text:?}"));
                self.seen.push(event.clone());
                if event.contains(text) {
                    return event;
                }
            }
        });
        told.await.unwrap_or_else(|_| panic!("nobody told of {text:?}"))
    }

    /// What comes until the stream ends.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(event) = self.event().await {
            rest.push_str(&event);
        }
        rest
    }
}

#[tokio::test]
async fn the_stream_tells_of_the_first_device_and_its_first_bundle_on_another_server() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let other = app.another_node().await;
    let mut browser = owner(&app).await;
    let page = browser.get("/d/acme/notes").await;
    assert_eq!(page.texts(".step.done h3"), ["Publish your tables", "Make a key"]);
    assert_eq!(page.text(".step.now h3"), "First device seen");
    let address = page.attribute("[data-live]", "data-live").unwrap();
    let mut stream = Stream::open(&format!("{}{address}", app.url()), &browser).await;
    stream.until("Waiting for its first request").await;

    let phone = Device::of(&notes, &other.url, "ada", "phone").await;
    let arrived = stream.until("The first device has arrived: phone.").await;
    assert!(arrived.contains("/devices/ada/phone"), "{arrived}");
    assert_eq!(phone.push(1, &["a", "b", "c"]).await.status, StatusCode::OK);
    stream.until("The first bundle has arrived").await;
    // On this page they stay, all done.
    let steps = stream.until("data-stage=\"5\"").await;
    assert!(steps.starts_with("event: part\ndata: <ol id=\"steps\""), "{steps}");
    let figures = stream.until("3 rows</dd>").await;
    assert!(figures.starts_with("event: part\ndata: <div id=\"figures\""), "{figures}");
    stream.until("id=\"activity\"").await;
}

#[tokio::test]
async fn the_stream_ends_with_the_session_and_with_the_membership() {
    let app = TestApp::start().await;
    app.create_app(WireProfile::Strings, DDL).await;
    let url = format!("{}/d/acme/notes/live?range=day", app.url());
    let mut browser = owner(&app).await;
    let other = owner(&app).await;
    let mut stream = Stream::open(&url, &browser).await;
    let mut others = Stream::open(&url, &other).await;
    stream.until("id=\"figures\"").await;
    browser.submit("/account", "/sign-out", &[]).await.location();
    assert!(stream.rest().await.ends_with("event: over\ndata:"));
    others.until("id=\"figures\"").await;

    let (helper, pool) = (app.tenant("helpers").await.owner.account_id.uuid(), app.pool().await);
    let member = "insert into platform.member (tenant_id, account_id, role, created_at)
        select tenant_id, $1, 'viewer', now() from platform.tenant where slug = 'acme'";
    sqlx::query(member).bind(helper).execute(&pool).await.unwrap();
    let mut browser = app.browser();
    browser.sign_in("owner@helpers.example").await.location();
    let mut helpers = Stream::open(&url, &browser).await;
    helpers.until("id=\"figures\"").await;
    let removed = "delete from platform.member m using platform.tenant t
        where m.tenant_id = t.tenant_id and t.slug = 'acme' and m.account_id = $1";
    sqlx::query(removed).bind(helper).execute(&pool).await.unwrap();
    assert!(helpers.rest().await.ends_with("event: over\ndata:"));
}

#[tokio::test]
async fn an_account_may_not_hold_any_number_of_streams() {
    let app = TestApp::start().await;
    app.create_app(WireProfile::Strings, DDL).await;
    let browser = owner(&app).await;
    let url = format!("{}/d/acme/notes/live", app.url());
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Stream::open(&url, &browser).await);
    }
    let cookie = format!("syncline_session={}", browser.cookie().unwrap());
    let one_more = || {
        Client::new()
            .get(&url)
            .header(header::ACCEPT, "text/event-stream")
            .header(header::COOKIE, &cookie)
            .send()
    };
    assert_eq!(one_more().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    open.pop();
    tokio::time::timeout(PATIENCE, async {
        while one_more().await.unwrap().status() != StatusCode::OK {
            tokio::time::sleep(Patience::from_millis(50)).await;
        }
    })
    .await
    .expect("a place that is given up is free again");
}
