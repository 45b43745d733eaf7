//! Devices: what stands in the way of each, and what is done about one (issue 4, item 1).

use serde_json::json;
use syncline::{ids::UserId, sync::retention::Keep};
use time::Duration;

use super::story::{Story, ends, stream};
use crate::support::{
    furnished::{ddl, folder, with_stars},
    sync_app::SyncClient,
};

#[tokio::test]
async fn what_stands_in_the_way_of_each_device_is_one_sentence_and_devices_are_found_by_it() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    let mut phone = story.plain_device("ada", "phone").await;
    let other = async |name: &str| story.plain_device("ada", name).await;
    // Away for good after its first download.
    other("watch").await.get("sync/pull?after_bundle_seq=0").await.ok();
    story.facts_are_written().await;
    story.app.clock.advance(Duration::days(9));

    phone.token = story.notes.token("ada").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    let pulled = |device: SyncClient| async move {
        device.get("sync/pull?after_bundle_seq=0").await.ok();
        device
    };
    let (pruned, stalled) = (pulled(other("old").await).await, pulled(other("slow").await).await);
    let stolen = pulled(story.plain_device("bob", "stolen").await).await;
    let wrong = with_stars(folder("f2", "INSERT", 0, "Stones"), "-1");
    other("tablet").await.push(1, &[wrong]).await.refused(400, "push_commit_invalid");
    let laptop = other("laptop").await;
    for _ in 0..3 {
        laptop.push(1, &[folder("f1", "INSERT", 0, "Herbs")]).await.refused(409, "push_conflict");
    }
    for number in 2..=4 {
        phone.push(number, &[folder("f1", "UPDATE", number - 1, &format!("Draft {number}"))]).await.ok();
    }
    story.app.clock.advance(Duration::minutes(2));
    let keep = Keep { min_bundles: 1, max_age: Duration::ZERO };
    story.app.state().engine.prune_history(&story.notes.app.app_id.schema(), keep).await.unwrap();
    for device in [&pruned, &stalled] {
        device.get("sync/pull?after_bundle_seq=1").await.refused(409, "history_pruned");
    }
    stalled.post("sync/snapshot-sessions", &json!({})).await.ok();
    phone.rotate("phone-2").await.ok();
    story.app.clock.advance(Duration::minutes(3));
    let (control, owner) = (&story.app.state().control, story.notes.owner.owner.actor());
    let bob = UserId::parse("bob").unwrap();
    control.revoke_end_user_tokens(&owner, &story.notes.app, &bob).await.unwrap();
    story.app.state().directory.refresh().await;
    stolen.get("sync/pull?after_bundle_seq=0").await.refused(401, "authentication_failed");
    story.facts_are_written().await;

    screen.click("Devices").await;
    for (device, label, sentence) in [
        ("watch", "silent", "Silent for 9 days"),
        ("tablet", "push rejected", "Its push is rejected (push_commit_invalid"),
        ("laptop", "in conflict", "on the same row (3 times in a row)"),
        ("old", "must rebuild", "pruned"),
        ("slow", "snapshot stalled", "no part of the snapshot"),
        ("phone", "retired", "the device goes on as phone-2"),
        ("stolen", "token refused", "Authentication is failing: the device's token is refused because"),
    ] {
        screen.select("Verdict", label).await;
        screen.click("Show").await;
        screen.until("that verdict is chosen", "location.search.includes('verdict=')").await;
        screen.click(device).await;
        screen.sees("Timeline").await;
        let said = screen.text(".verdict").await;
        assert!(said.to_lowercase().starts_with(label) && said.contains(sentence), "{device}: {said}");
        screen.click("Devices").await;
        screen.sees("Installations of your app").await;
    }
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_device_is_retired_its_stream_ends_and_its_next_call_goes_on_as_another() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    let phone = story.plain_device("ada", "phone").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    phone.get("sync/pull?after_bundle_seq=0").await.ok();
    let open = stream(&phone).await;
    story.facts_are_written().await;

    screen.click("Devices").await;
    screen.click("phone").await;
    screen.sees("stream open").await;
    screen.sees("Healthy: it has everything up to bundle 1.").await;
    screen.click("Retire…").await;
    screen.sees("This cannot be taken back.").await;
    screen.click("Retire the device").await;
    screen.sees("The device is retired. Its next upload is refused.").await;
    screen.sees("Retired by hand: it may not upload any more.").await;
    screen.misses("Retire this device").await;
    ends(open).await;
    story.facts_are_written().await;
    story.reload().await;
    screen.sees("no open stream").await;

    // What it had not uploaded yet is not lost: it is told as what to go on.
    let row = folder("f2", "INSERT", 0, "Stones");
    let told = phone.create(2, std::slice::from_ref(&row)).await;
    told.refused(409, "source_retired");
    let successor = told.body["replaced_by_source_id"].as_str().expect("a device to go on as");
    let replacement =
        json!({ "previous_source_id": "phone", "new_source_id": successor, "reason": "source_retired" });
    phone.post("sync/snapshot-sessions", &json!({ "source_replacement": replacement })).await.ok();
    let next = phone.with_source(successor);
    next.push(1, &[row]).await.ok();
    next.get("sync/pull?after_bundle_seq=1").await.ok();
    story.facts_are_written().await;
    story.reload().await;
    screen.sees("source_retired").await;
    screen.click("See the device that replaces it").await;
    screen.sees("Replaces").await;
    screen.sees("Healthy: it has everything up to bundle 2.").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn the_tokens_of_a_user_are_ended_on_the_page_of_a_device_and_of_the_user() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    let phone = story.plain_device("ada", "phone").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    let open = stream(&phone).await;
    story.facts_are_written().await;
    // Tokens tell in whole seconds when they were issued.
    story.app.clock.advance(Duration::seconds(2));

    screen.click("Devices").await;
    screen.click("phone").await;
    screen.click("Revoke all tokens…").await;
    screen.sees("refused within a second").await;
    screen.click("Revoke all tokens").await;
    screen.sees("All tokens of ada are revoked. The user must sign in again.").await;
    ends(open).await;
    let said = phone.get("sync/pull?after_bundle_seq=0").await.refused(401, "authentication_failed");
    assert_eq!(said, "The bearer token was revoked. Sign in again.");
    story.facts_are_written().await;
    story.reload().await;
    screen.sees("token refused").await;
    screen.click("Let older tokens in again…").await;
    screen.click("Let them in again").await;
    screen.sees("Tokens of ada that have not expired are good again.").await;
    phone.get("sync/pull?after_bundle_seq=0").await.ok();

    screen.click("ada").await;
    screen.sees("Latest bundles").await;
    screen.click("Revoke all tokens…").await;
    screen.click("Revoke all tokens").await;
    screen.sees("All tokens of ada are revoked. The user must sign in again.").await;
    screen.sees("until just now is refused").await;
    phone.get("sync/pull?after_bundle_seq=0").await.refused(401, "authentication_failed");
    screen.until("it is the page of the user", "location.pathname === '/d/acme/notes/users/ada'").await;
    screen.is_quiet().await;
}
