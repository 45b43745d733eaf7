//! Conflicts: where and when they happen, and how one is settled by hand (issue 4, item 2).

use super::story::Story;
use crate::support::{
    furnished::{ddl, folder, with_stars},
    sync_app::SyncClient,
};

/// `phone` has changed the title of f1 in bundle 2, from which `laptop` and `tablet` knew nothing.
async fn start() -> (Story, SyncClient) {
    let story = Story::of(&ddl()).await;
    let phone = story.plain_device("ada", "phone").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    phone.push(2, &[folder("f1", "UPDATE", 1, "Plants of spring")]).await.ok();
    for (source, row) in [
        ("laptop", folder("f1", "UPDATE", 1, "Herbs")),
        ("tablet", with_stars(folder("f1", "UPDATE", 1, "Plants"), "5")),
    ] {
        let device = story.plain_device("ada", source).await;
        device.push(1, &[row]).await.refused(409, "push_conflict");
    }
    (story, phone)
}

/// The folder as the device receives it in that bundle.
async fn received(device: &SyncClient, bundle: i64) -> serde_json::Value {
    let rows = device.bundle_rows(bundle).await;
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    rows[0]["payload"].clone()
}

#[tokio::test]
async fn a_conflict_is_found_and_the_devices_version_applied_after_a_look_at_what_it_does() {
    let (story, phone) = start().await;
    let screen = &story.screen;
    screen.click("Conflicts").await;
    screen.until("they are drawn over time", "document.querySelector('.hot-chart .chart-bar')").await;
    screen.sees("2 on 1 row").await;
    screen.sees("ada: 2 conflicts").await;
    let today = story.app.clock.now().date().to_string();
    screen.fill("Device", "laptop").await;
    screen.fill("From", &today).await;
    screen.fill("Until", &today).await;
    screen.select("Outcome", "still open").await;
    screen.click("Show").await;
    screen.until("the filter is in the address", "location.search.includes('outcome=open')").await;
    assert_eq!(screen.texts(".table.stack tbody th").await, ["folder f1"]);
    screen.click("folder f1").await;
    screen.sees("The device wanted to change this row starting from bundle 1").await;

    screen.click("Apply the device’s version…").await;
    screen.sees("3 devices receive this as bundle 3.").await;
    assert_eq!(screen.texts(".write-rows del").await, ["Plants of spring"]);
    assert_eq!(screen.texts(".write-rows ins").await, ["Herbs"]);
    screen.shot("settle-preview").await;
    screen.click("Apply the device’s version").await;
    screen.sees("Done, as bundle 3. Devices receive it when they sync next.").await;
    assert_eq!(received(&phone, 3).await["title"], "Herbs");

    screen.click("Conflicts").await;
    screen.select("Outcome", "settled by hand").await;
    screen.click("Show").await;
    screen.until("the filter is in the address", "location.search.includes('settled_by_hand')").await;
    screen.click("folder f1").await;
    screen.sees("settled by hand").await;
    screen.sees("See bundle 3 by owner@acme.example.").await;
    screen.click("bundle 3").await;
    screen.sees("1 row of ada").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_conflict_is_merged_column_by_column_and_leads_to_the_history_of_the_row() {
    let (story, phone) = start().await;
    let screen = &story.screen;
    screen.click("Conflicts").await;
    screen.click_in("tablet", "folder f1").await;
    screen.sees("Merge by column").await;
    screen.click("Show the merged row…").await;
    screen.sees("Choose at least one column").await;
    screen.choose_in("stars", "device: 5").await;
    screen.click("Show the merged row…").await;
    screen.sees("1 row in folder changes").await;
    assert_eq!(screen.texts(".write-rows ins").await, ["5"]);
    screen.click("Cancel").await;
    screen.sees("The three rows").await;
    screen.choose_in("stars", "device: 5").await;
    screen.choose_in("title", "before both: Plants").await;
    screen.click("Show the merged row…").await;
    screen.sees("1 row in folder changes").await;
    screen.click("Write the merged row").await;
    screen.sees("Done, as bundle 3.").await;
    let merged = received(&phone, 3).await;
    assert_eq!((&merged["title"], &merged["stars"]), (&"Plants".into(), &"5".into()));

    screen.click("Conflicts").await;
    screen.click_in("tablet", "folder f1").await;
    screen.sees("See bundle 3 by owner@acme.example.").await;
    screen.click("Everything that happened to it").await;
    assert_eq!(screen.texts(".versions tbody th").await, ["3 current", "2", "1"]);
    // The hottest row leads there as well.
    screen.click("Conflicts").await;
    screen.click_in("Hottest rows", "folder f1").await;
    screen.sees("What happened to this row").await;
    screen.is_quiet().await;
}
