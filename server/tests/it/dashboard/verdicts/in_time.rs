//! Each verdict is on the page within five seconds of its fault. Nobody here asks for facts to be written: the server does so
//! by itself, every second (`jobs.rs`), and all the rest is judged from what is in the tables when the page is asked for.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;
use syncline::{ids::UserId, sync::retention::Keep, tables::spec::WireProfile};
use time::Duration;

use super::{DDL, OWN_SECRET, World, note, pull, row, verdict};
use crate::support::{browser::Page, sync_app::SyncClient};

const IN_TIME: std::time::Duration = std::time::Duration::from_secs(5);

impl World {
    /// The page of the device, which is right at the latest when it is asked for five seconds after now.
    async fn sees(&mut self, source: &str, what: &str, is_right: impl Fn(&Page) -> bool) -> Page {
        let fact = Instant::now();
        loop {
            let is_due = fact.elapsed() >= IN_TIME;
            let page = self.browser.get(&format!("/d/acme/notes/devices/ada/{source}")).await;
            if page.status == StatusCode::OK && is_right(&page) {
                return page;
            }
            assert!(!is_due, "{what} is not told: {}", page.text("main"));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// The same for a verdict with this label and these words in its sentence.
    async fn is_told(&mut self, source: &str, label: &str, words: &str) -> Page {
        let what = format!("{label}: {words}");
        self.sees(source, &what, |page| {
            let (told, sentence) = verdict(page);
            told == label && sentence.contains(words)
        })
        .await
    }
}

#[tokio::test]
async fn what_a_device_lacks_is_told_in_time_however_busy_its_scope_is() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    phone.push(1, &[note("n1")]).await.ok();
    pull(&tablet, 0).await.ok();
    world.is_told("tablet", "healthy", "up to bundle 1").await;
    phone.push(2, &[note("n2")]).await.ok();
    world.is_told("tablet", "behind", "1 bundle behind: the latest is 2.").await;
    // That somebody goes on writing makes it no less behind.
    phone.push(3, &[note("n3")]).await.ok();
    world.is_told("tablet", "behind", "2 bundles behind: the latest is 3.").await;
    pull(&tablet, 1).await.ok();
    world.is_told("tablet", "healthy", "up to bundle 3").await;

    let late = world.connected("late").await;
    world.is_told("late", "behind", "3 bundles behind: it has downloaded nothing yet.").await;
    pull(&late, 0).await.ok();
    world.is_told("late", "healthy", "up to bundle 3").await;

    world.advance(Duration::days(9));
    world.is_told("late", "silent", "Silent for 9 days.").await;
}

#[tokio::test]
async fn a_refused_push_and_an_open_stream_are_told_in_time() {
    let mut world = World::new().await;
    let phone = world.connected("phone").await;
    phone.push(1, &[row("INSERT", "n1", 0, "milk")]).await.ok();
    let stream = phone.request(Method::GET, "sync/watch?after_bundle_seq=1").send().await.unwrap();
    world.sees("phone", "the stream", |page| page.html.contains("stream open")).await;
    for tries in ["1 try", "2 tries"] {
        phone.push(2, &[row("INSERT", "n2", 0, "milk")]).await.refused(400, "push_commit_invalid");
        let page = world.is_told("phone", "push rejected", &format!("(push_commit_invalid, {tries})")).await;
        assert!(page.text(".verdict-label").contains(" since "), "{}", page.text(".verdict"));
        let about = page.text(".verdict > p:last-child");
        assert!(about.contains("table note, key n2"), "{about}");
    }
    drop(stream);
    world.sees("phone", "the stream's end", |page| page.html.contains("no open stream")).await;
    phone.push(2, &[row("INSERT", "n2", 0, "bread")]).await.ok();
    world.is_told("phone", "healthy", "up to bundle 2").await;

    let tablet = world.connected("tablet").await;
    for _ in 0..3 {
        tablet.push(1, &[note("n1")]).await.refused(409, "push_conflict");
    }
    world.is_told("tablet", "in conflict", "on the same row (3 times in a row)").await;
    tablet.get("sync/pull?max_bundles=0").await.refused(400, "invalid_request");
    world.is_told("tablet", "request refused", "Its last pull was refused").await;
}

#[tokio::test]
async fn a_refused_token_is_told_in_time_with_the_check_that_failed() {
    let mut world = World::new().await;
    let phone = world.connected("phone").await;
    world.own_jwt().await;
    let now = world.app.clock.now().unix_timestamp();
    for (claims, check) in [
        (json!({ "iss": "https://else.example" }), "its iss claim is"),
        (json!({ "aud": "else" }), "its aud claim is"),
        (json!({ "exp": now - 60 }), "it expired at"),
        (json!({ "nbf": now + 3_600 }), "it is not valid before"),
    ] {
        let token = world.own_token(claims, OWN_SECRET);
        let refused = SyncClient::of(&world.notes, &token, "phone");
        pull(&refused, 0).await.refused(401, "authentication_failed");
        world.is_told("phone", "token refused", check).await;
    }
    pull(&phone, 0).await.ok();
    world.is_told("phone", "healthy", "Healthy").await;

    world.advance(Duration::seconds(2));
    let (control, owner) = (&world.app.state().control, world.notes.owner.owner.actor());
    let ada = UserId::parse("ada").unwrap();
    control.revoke_end_user_tokens(&owner, &world.notes.app, &ada).await.unwrap();
    world.app.state().directory.refresh().await;
    pull(&phone, 0).await.refused(401, "authentication_failed");
    world.is_told("phone", "token refused", "revoked").await;
}

#[tokio::test]
async fn a_device_that_goes_on_as_another_is_told_in_time_to_be_retired() {
    let mut world = World::new().await;
    let phone = world.connected("phone").await;
    phone.push(1, &[note("n1")]).await.ok();
    phone.rotate("phone-2").await.ok();
    world.is_told("phone", "retired", "the device goes on as phone-2").await;
    phone.with_source("phone-2").push(1, &[note("n2")]).await.ok();
    let page = world.sees("phone-2", "the successor", |page| page.html.contains("Replaces")).await;
    assert_eq!(verdict(&page).0, "healthy");

    let (page, retire) = ("/d/acme/notes/devices/ada/phone-2", "/d/acme/notes/devices/ada/phone-2/retire");
    world.browser.submit(page, retire, &[]).await.location();
    world.is_told("phone-2", "retired", "Retired by hand").await;
}

#[tokio::test]
async fn pruned_history_and_a_stalled_download_are_told_in_time() {
    let mut world = World::new().await;
    let (phone, tablet) = (world.connected("phone").await, world.connected("tablet").await);
    phone.push(1, &[note("n1")]).await.ok();
    pull(&tablet, 0).await.ok();
    for n in 2..=4 {
        phone.push(n, &[note(&format!("n{n}"))]).await.ok();
    }
    world.is_told("tablet", "behind", "3 bundles behind").await;
    world.advance(Duration::seconds(1));
    let keep = Keep { min_bundles: 1, max_age: Duration::ZERO };
    world.app.state().engine.prune_history(&world.notes.app.app_id.schema(), keep).await.unwrap();
    // It need not call to be told.
    world.is_told("tablet", "must rebuild", "the history up to bundle 3 is pruned").await;

    let snapshot = tablet.post("sync/snapshot-sessions", &json!({})).await.ok();
    let id = snapshot["snapshot_id"].as_str().unwrap();
    let chunk = |after: i64| format!("sync/snapshot-sessions/{id}?after_row_ordinal={after}&max_rows=2");
    tablet.get(&chunk(0)).await.ok();
    world.sees("tablet", "the snapshot", |page| page.html.contains("A download from scratch is open")).await;
    world.sees("tablet", "its first part", |page| page.html.contains("Last download from scratch")).await;
    world.advance(Duration::minutes(2));
    world.is_told("tablet", "snapshot stalled", "no part of the snapshot for 2 minutes").await;
    tablet.get(&chunk(2)).await.ok();
    world.is_told("tablet", "healthy", "up to bundle 4").await;
}

/// An app's facts can be locked by whoever may run SQL as its role. They are lost for it, and late for nobody else.
#[tokio::test]
async fn facts_that_somebody_has_locked_make_no_other_apps_late() {
    let mut world = World::new().await;
    let tasks = world.app.create_app_of(&world.notes.owner, "tasks", WireProfile::Strings, DDL).await;
    let mut locked = world.app.pool().await.begin().await.unwrap();
    let lock = format!("lock table {}._sync_device in share mode", tasks.app.app_id.schema());
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut *locked).await.unwrap();
    let (token, phone) = (tasks.token("ada").await, world.connected("phone").await);
    let stuck = SyncClient::of(&tasks, &token, "stuck");
    for n in 1..=3 {
        stuck.connect(false).await.ok();
        phone.push(n, &[note(&format!("n{n}"))]).await.ok();
        world.is_told("phone", "healthy", &format!("up to bundle {n}")).await;
    }
    locked.rollback().await.unwrap();
}
