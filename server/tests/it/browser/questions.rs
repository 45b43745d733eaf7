//! The three questions that bring people to a sync console, asked on the screen: why is this device not syncing, who overwrote
//! my data, which write was refused and why (issue 4, items 1 to 3); and finding a user, and watching the app (items 6 and 7).

use syncline::tables::spec::WireProfile;

use super::screen_of_the_owner;
use crate::support::{
    app::{TestApp, TestSyncApp},
    furnished::{PlainDevice, ddl, folder, with_stars},
};

async fn start() -> (TestApp, TestSyncApp) {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, &ddl()).await;
    (app, notes)
}

#[tokio::test]
async fn why_a_device_does_not_sync_is_one_click_away() {
    let (app, notes) = start().await;
    let phone = PlainDevice::connected(&notes, "ada", "phone").await;
    phone.commits(1, &[folder("f1", "INSERT", 0, "Plants")]).await;
    let tablet = PlainDevice::connected(&notes, "ada", "tablet").await;
    let wrong = with_stars(folder("f2", "INSERT", 0, "Stones"), "-1");
    assert!(tablet.push(1, &[wrong]).await.status.is_client_error());
    app.state().engine.write_device_facts().await;

    let screen = screen_of_the_owner(&app).await;
    screen.visit("/d/acme/notes").await;
    screen.click("Devices").await;
    screen.sees("Its push is rejected").await;
    screen.click("tablet").await;
    screen.sees("Until the rows are corrected on the device").await;
    screen.sees("stars").await;
    screen.shot("device-push-rejected").await;

    tablet.commits(1, &[folder("f2", "INSERT", 0, "Stones")]).await;
    app.state().engine.write_device_facts().await;
    screen.visit(&screen.path().await).await;
    screen.misses("Its push is rejected").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn who_overwrote_a_row_is_found_by_filters_and_shown_as_three_rows() {
    let (app, notes) = start().await;
    let phone = PlainDevice::connected(&notes, "ada", "phone").await;
    phone.commits(1, &[folder("f1", "INSERT", 0, "Plants"), folder("f2", "INSERT", 0, "Stones")]).await;
    phone
        .commits(2, &[folder("f1", "UPDATE", 1, "Plants of spring"), folder("f2", "UPDATE", 1, "Pebbles")])
        .await;
    for (source, row) in
        [("laptop", folder("f1", "UPDATE", 1, "Herbs")), ("tablet", folder("f2", "UPDATE", 1, "Rocks"))]
    {
        let device = PlainDevice::connected(&notes, "ada", source).await;
        assert!(device.push(1, &[row]).await.status.is_client_error());
    }

    let screen = screen_of_the_owner(&app).await;
    screen.visit("/d/acme/notes").await;
    screen.click("Conflicts").await;
    screen.select("Table", "folder").await;
    screen.fill("User", "ada").await;
    screen.fill("Device", "laptop").await;
    screen.click("Show").await;
    screen
        .until("one conflict is left", "document.querySelectorAll('.table.stack tbody tr').length === 1")
        .await;
    screen.click("folder f1").await;
    screen.sees("The three rows").await;
    assert_eq!(screen.texts(".compare tr.disputed td").await, ["Plants", "Herbs", "Plants of spring"]);
    // Who had written the row before.
    screen.click_in("The server’s row is by", "phone").await;
    screen.sees("Timeline").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn which_write_was_refused_and_why_is_in_the_inbox() {
    let (app, notes) = start().await;
    let tablet = PlainDevice::connected(&notes, "ada", "tablet").await;
    for _ in 0..3 {
        let wrong = with_stars(folder("f2", "INSERT", 0, "Stones"), "-1");
        assert!(tablet.push(1, &[wrong]).await.status.is_client_error());
    }

    let screen = screen_of_the_owner(&app).await;
    screen.visit("/d/acme/notes").await;
    screen.click("Rejected writes").await;
    screen
        .until(
            "each distinct refusal is there once",
            "document.querySelectorAll('.table.stack tbody tr').length === 1",
        )
        .await;
    assert_eq!(screen.text(".table.stack tbody td[data-label=Tries]").await, "3");
    screen.click_in("tablet", &screen.text(".table.stack tbody th a").await).await;
    screen.sees("Rows as the device sent them").await;
    screen.sees("Stones").await;
    screen.sees("stars").await;
    screen.shot("rejected-write").await;
    screen.click("tablet").await;
    screen.sees("Timeline").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_user_is_found_by_how_the_id_begins() {
    let (app, notes) = start().await;
    for user in ["ada", "adam", "grace"] {
        PlainDevice::connected(&notes, user, "phone").await;
    }
    let screen = screen_of_the_owner(&app).await;
    screen.visit("/d/acme/notes/users").await;
    screen.sees("grace").await;
    screen.fill("Id begins with", "ada").await;
    screen.click("Find").await;
    screen.misses("grace").await;
    screen.click("adam").await;
    screen.sees("Latest bundles").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn the_overview_says_by_itself_when_the_first_device_has_come() {
    let (app, notes) = start().await;
    let screen = screen_of_the_owner(&app).await;
    screen.visit("/d/acme/notes").await;
    screen.sees("Waiting for its first request").await;
    screen.evaluate("window.untouched = true;", serde_json::json!([])).await;

    let phone = PlainDevice::connected(&notes, "ada", "phone").await;
    phone.commits(1, &[folder("f1", "INSERT", 0, "Plants")]).await;
    app.state().engine.write_device_facts().await;
    screen.misses("Waiting for its first request").await;
    screen.until("the page was not loaded anew", "window.untouched").await;
    screen.is_quiet().await;
}
