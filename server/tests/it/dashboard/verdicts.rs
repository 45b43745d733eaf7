//! Every verdict on a device, produced by the fault that it names, and read where people read it.

mod in_time;

use jsonwebtoken::{EncodingKey, Header};
use reqwest::StatusCode;
use serde_json::{Value, json};
use syncline::{
    control::end_user_auth::{JwtSecretChange, NewEndUserAuthSettings},
    sync::retention::Keep,
    tables::spec::WireProfile,
};
use time::Duration;

use crate::support::{
    app::{TestApp, TestSyncApp},
    browser::{Browser, Page},
    sync_app::{Reply, SyncClient},
};

const DDL: &str = "CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE);";
const OWN_SECRET: &str = "the app's own hs256 secret";

/// An app with devices of `ada`, and somebody who looks at them.
struct World {
    app: TestApp,
    notes: TestSyncApp,
    browser: Browser,
    token: String,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let notes = app.create_app(WireProfile::Strings, DDL).await;
        let mut browser = app.browser();
        browser.sign_in("owner@acme.example").await.location();
        let token = notes.token("ada").await;
        Self { app, notes, browser, token }
    }

    fn device(&self, source: &str) -> SyncClient {
        SyncClient::of(&self.notes, &self.token, source)
    }

    async fn connected(&self, source: &str) -> SyncClient {
        let device = self.device(source);
        device.connect(false).await.ok();
        device
    }

    fn advance(&self, by: Duration) {
        self.app.clock.advance(by);
    }

    async fn page(&mut self, source: &str) -> Page {
        self.app.state().engine.write_device_facts().await;
        let page = self.browser.get(&format!("/d/acme/notes/devices/ada/{source}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        page
    }

    /// The label of the verdict and its sentence.
    async fn verdict(&mut self, source: &str) -> (String, String) {
        verdict(&self.page(source).await)
    }

    async fn own_jwt(&self) {
        let settings = NewEndUserAuthSettings {
            jwt_secret: JwtSecretChange::Set(OWN_SECRET.to_owned()),
            issuer: Some("https://acme.example".to_owned()),
            audience: Some("notes".to_owned()),
            clock_skew_seconds: 0,
            user_claim: "sub".to_owned(),
            scope_claim: None,
        };
        let state = self.app.state();
        let actor = self.notes.owner.owner.actor();
        state.control.change_end_user_auth(&actor, &self.notes.app, &settings).await.unwrap();
        state.directory.refresh().await;
    }

    /// A token of the app's own server, some claims replaced.
    fn own_token(&self, changes: Value, secret: &str) -> String {
        let now = self.app.clock.now().unix_timestamp();
        let mut claims =
            json!({"sub": "ada", "iat": now, "exp": now + 60, "iss": "https://acme.example", "aud": "notes"});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap()
    }
}

fn verdict(page: &Page) -> (String, String) {
    let label = page.text(".verdict-label");
    let label = label.split(" since ").next().unwrap().to_owned();
    (label, page.text(".verdict p:nth-of-type(2)"))
}

fn row(op: &str, id: &str, base: i64, title: &str) -> Value {
    json!({
        "schema": "main", "table": "note", "key": {"id": id}, "op": op, "base_row_version": base,
        "payload": {"id": id, "title": title},
    })
}

fn note(id: &str) -> Value {
    row("INSERT", id, 0, id)
}

async fn pull(device: &SyncClient, after: i64) -> Reply {
    device.get(&format!("sync/pull?after_bundle_seq={after}")).await
}

#[tokio::test]
async fn a_device_that_has_not_pulled_is_behind_until_it_does() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    phone.push(1, &[note("n1")]).await.ok();
    pull(&tablet, 0).await.ok();
    assert_eq!(
        world.verdict("tablet").await,
        ("healthy".to_owned(), "Healthy: it has everything up to bundle 1.".to_owned())
    );
    phone.push(2, &[note("n2")]).await.ok();
    world.advance(Duration::minutes(3));
    assert_eq!(
        world.verdict("tablet").await,
        ("behind".to_owned(), "1 bundle behind: the latest is 2.".to_owned())
    );
    pull(&tablet, 1).await.ok();
    assert_eq!(world.verdict("tablet").await.0, "healthy");

    world.advance(Duration::days(9));
    assert_eq!(world.verdict("tablet").await, ("silent".to_owned(), "Silent for 9 days.".to_owned()));
}

#[tokio::test]
async fn a_push_that_breaks_a_rule_is_told_with_code_table_key_and_tries_until_one_succeeds() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    phone.push(1, &[row("INSERT", "n1", 0, "milk")]).await.ok();
    for _ in 0..2 {
        tablet.push(1, &[row("INSERT", "n2", 0, "milk")]).await.refused(400, "push_commit_invalid");
    }
    let page = world.page("tablet").await;
    let (label, sentence) = verdict(&page);
    assert_eq!(label, "push rejected");
    assert!(sentence.starts_with("Its push is rejected (push_commit_invalid, 2 tries): "), "{sentence}");
    assert!(sentence.contains("\"note\""), "{sentence}");
    let about = page.text(".verdict > p:last-child");
    assert!(about.contains("table note") && about.contains("n2"), "{about}");
    let write = page.attribute(".verdict > p:last-child a", "href").unwrap();
    assert_eq!(world.browser.get(&write).await.status, StatusCode::OK);

    tablet.push(1, &[row("INSERT", "n2", 0, "bread")]).await.ok();
    assert_eq!(world.verdict("tablet").await.0, "healthy");
}

#[tokio::test]
async fn conflicts_on_one_row_again_and_again_are_trouble_and_on_many_rows_are_not() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    let rows: Vec<Value> = (1..=4).map(|n| note(&format!("n{n}"))).collect();
    phone.push(1, &rows).await.ok();
    pull(&tablet, 0).await.ok();
    for n in 1..=4 {
        tablet.push(1, &[note(&format!("n{n}"))]).await.refused(409, "push_conflict");
    }
    assert_eq!(world.verdict("tablet").await.0, "healthy");
    for _ in 0..2 {
        tablet.push(1, &[note("n4")]).await.refused(409, "push_conflict");
    }
    let page = world.page("tablet").await;
    let (label, sentence) = verdict(&page);
    assert_eq!(label, "in conflict");
    assert!(sentence.contains("on the same row (3 times in a row): INSERT of table \"note\", key \"n4\""));
    let conflict = page.attribute(".verdict > p:last-child a", "href").unwrap();
    assert_eq!(world.browser.get(&conflict).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_token_is_told_with_the_check_that_failed_until_the_device_is_let_in() {
    let mut world = World::new().await;
    let phone = world.connected("phone").await;
    world.own_jwt().await;
    world.advance(Duration::hours(2));
    let now = world.app.clock.now().unix_timestamp();
    let own = |changes| world.own_token(changes, OWN_SECRET);
    let tokens = [
        (phone.token.clone(), "Authentication is failing", "it expired at"),
        (own(json!({"nbf": now + 60})), "Authentication is failing", "it is not valid before"),
        (own(json!({"iss": "https://else.example"})), "Authentication is failing", "its iss claim is"),
        (own(json!({"aud": "else"})), "Authentication is failing", "its aud claim is"),
        (
            world.own_token(json!({}), "some other secret"),
            "A request that names this device was refused",
            "signature",
        ),
    ];
    for (token, how, check) in tokens {
        world.advance(Duration::seconds(1));
        let wrong = SyncClient::of(&world.notes, &token, "phone");
        pull(&wrong, 0).await.refused(401, "authentication_failed");
        let (label, sentence) = world.verdict("phone").await;
        assert_eq!(label, "token refused", "{check}: {sentence}");
        assert!(sentence.starts_with(how) && sentence.contains(check), "{check}: {sentence}");

        world.advance(Duration::seconds(1));
        let right = SyncClient::of(&world.notes, &world.own_token(json!({}), OWN_SECRET), "phone");
        pull(&right, 0).await.ok();
        assert_eq!(world.verdict("phone").await.0, "healthy", "after {check}");
    }
    let told = world.page("phone").await.texts(".event code");
    assert!(told.contains(&"authentication_failed".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_stranger_makes_no_device_and_hides_no_verdict() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    phone.push(1, &[row("INSERT", "n1", 0, "milk")]).await.ok();
    tablet.push(1, &[row("INSERT", "n2", 0, "milk")]).await.refused(400, "push_commit_invalid");
    let before = world.verdict("tablet").await;
    world.advance(Duration::seconds(1));
    world.own_jwt().await;
    let forged = world.own_token(json!({}), "a guess of a secret");
    for n in 0..300 {
        let stranger = SyncClient::of(&world.notes, &forged, &format!("made-up-{n}"));
        pull(&stranger, 0).await.refused(401, "authentication_failed");
    }
    let stranger = SyncClient::of(&world.notes, &forged, "tablet");
    pull(&stranger, 0).await.refused(401, "authentication_failed");
    assert_eq!(world.verdict("tablet").await, before);
    let list = world.browser.get("/d/acme/notes/devices").await;
    assert_eq!(list.texts("tbody tr").len(), 2, "{}", list.html);
}

#[tokio::test]
async fn a_device_whose_history_is_pruned_must_rebuild_and_one_that_stops_midway_has_stalled() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    phone.push(1, &[note("n1")]).await.ok();
    pull(&tablet, 0).await.ok();
    for n in 2..=4 {
        phone.push(n, &[note(&format!("n{n}"))]).await.ok();
    }
    world.advance(Duration::minutes(1));
    let keep = Keep { min_bundles: 1, max_age: Duration::ZERO };
    world.app.state().engine.prune_history(&world.notes.app.app_id.schema(), keep).await.unwrap();
    pull(&tablet, 1).await.refused(409, "history_pruned");
    let (label, sentence) = world.verdict("tablet").await;
    assert_eq!(label, "must rebuild", "{sentence}");

    let snapshot = tablet.post("sync/snapshot-sessions", &json!({})).await.ok();
    let chunk = |after: i64| {
        format!(
            "sync/snapshot-sessions/{}?after_row_ordinal={after}&max_rows=2",
            snapshot["snapshot_id"].as_str().unwrap()
        )
    };
    tablet.get(&chunk(0)).await.ok();
    let page = world.page("tablet").await;
    assert!(page.html.contains("A download from scratch is open: 4 rows as of bundle 4"), "{}", page.html);
    world.advance(Duration::minutes(3));
    let (label, sentence) = world.verdict("tablet").await;
    assert_eq!(label, "snapshot stalled");
    assert!(sentence.ends_with("no part of the snapshot for 3 minutes."), "{sentence}");
    tablet.get(&chunk(2)).await.ok();
    assert_eq!(world.verdict("tablet").await.0, "healthy");
}

#[tokio::test]
async fn a_device_that_goes_on_as_another_is_retired_and_leads_there() {
    let mut world = World::new().await;
    let phone = world.connected("phone").await;
    phone.push(1, &[note("n1")]).await.ok();
    phone.rotate("phone-2").await.ok();
    let (label, sentence) = world.verdict("phone").await;
    assert_eq!(label, "retired");
    assert!(sentence.starts_with("Retired: the device goes on as phone-2"), "{sentence}");
    assert!(world.page("phone").await.html.contains("which has not called yet"));
    phone.with_source("phone-2").push(1, &[note("n2")]).await.ok();
    let page = world.page("phone").await;
    assert_eq!(
        page.attribute(".verdict > p:last-child a", "href").unwrap(),
        "/d/acme/notes/devices/ada/phone-2"
    );
}

#[tokio::test]
async fn devices_are_found_by_verdict_and_by_how_they_begin() {
    let mut world = World::new().await;
    let phone = world.connected("phone").await;
    phone.push(1, &[row("INSERT", "n1", 0, "milk")]).await.ok();
    let bob = SyncClient::of(&world.notes, &world.notes.token("bob").await, "ad-tablet");
    bob.connect(false).await.ok();
    let tablet = world.connected("tablet").await;
    tablet.push(1, &[row("INSERT", "n2", 0, "milk")]).await.refused(400, "push_commit_invalid");
    world.page("phone").await;

    let all = world.browser.get("/d/acme/notes/devices").await;
    assert_eq!(all.texts(".chip"), ["1 push rejected"], "{}", all.html);
    let rejected = world.browser.get("/d/acme/notes/devices?verdict=push_rejected").await;
    assert_eq!(rejected.texts("tbody th a"), ["tablet"]);
    assert_eq!(world.browser.get("/d/acme/notes/devices?verdict=silent").await.texts(".empty").len(), 1);
    // The users first, then the devices.
    let begins = world.browser.get("/d/acme/notes/devices?q=ad").await;
    assert_eq!(begins.texts("tbody th a"), ["phone", "tablet", "ad-tablet"], "{}", begins.html);
    let both = world.browser.get("/d/acme/notes/devices?q=ad&verdict=healthy").await;
    assert_eq!(both.texts("tbody th a"), ["phone", "ad-tablet"]);
    let of_bob = world.browser.get("/d/acme/notes/devices?scope=bob").await;
    assert_eq!(of_bob.texts("tbody th a"), ["ad-tablet"]);
}
