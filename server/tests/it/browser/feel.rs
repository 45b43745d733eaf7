//! How it feels: with the keyboard alone, without scripts, on a slow line, and under the eyes of somebody who reads (issue 4,
//! "How it must feel"). What can be said of every page is looked at on every page, in [`super::pages`].

use serde_json::json;

use super::{
    Screen,
    harness::Look,
    screen_of_the_owner,
    story::{Story, writes},
};
use crate::support::{
    app::PASSWORD,
    device::schema::DDL,
    furnished::{ddl, folder, with_stars},
};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// The name of what has the focus, and whether a ring tells so.
const FOCUSED: &str = "
    const element = document.activeElement;
    const name = element.getAttribute('aria-label') ?? [...(element.labels ?? [])].map((label) => label.innerText).join(' ');
    const hasRing = (one) => getComputedStyle(one).outlineStyle !== 'none' && parseFloat(getComputedStyle(one).outlineWidth) >= 2;
    return [(name || element.innerText).replace(/\\s+/g, ' ').trim(), [element, ...(element.labels ?? []), element.closest('.control') ?? element].some(hasRing)];";

/// Press Tab until the focus is on what is called so, and see a ring all the way.
async fn tab_to(screen: &Screen, name: &str) {
    let mut passed = Vec::new();
    for _ in 0..120 {
        screen.press(TAB).await;
        let focused = screen.evaluate(FOCUSED, json!([])).await;
        let at = focused[0].as_str().unwrap_or_default().to_owned();
        if focused[1] == json!(true) && at.starts_with(name) {
            return;
        }
        // Behind the last element is the browser itself.
        let is_page = screen.evaluate("return document.activeElement !== document.body;", json!([])).await;
        assert!(focused[1] == json!(true) || is_page == json!(false), "no ring around “{at}”");
        passed.push(at);
    }
    panic!("Tab never comes to “{name}”, but to {passed:?}");
}

#[tokio::test]
async fn a_device_is_found_and_retired_with_the_keyboard_alone() {
    let story = Story::of(&ddl()).await;
    let phone = story.plain_device("ada", "phone").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    story.facts_are_written().await;
    let app = &story.app;
    drop(story.screen);

    let screen = Screen::at(app.url()).await;
    screen.visit("/sign-in").await;
    tab_to(&screen, "Email").await;
    screen.press("owner@acme.example").await;
    tab_to(&screen, "Password").await;
    screen.press(&format!("{PASSWORD}{ENTER}")).await;
    screen.until("one is signed in", "location.pathname.startsWith('/d')").await;
    // The first stop leads past the navigation.
    screen.press(TAB).await;
    let first = screen.evaluate(FOCUSED, json!([])).await;
    assert_eq!(first, json!(["Skip to content", true]));
    screen.press(ENTER).await;
    tab_to(&screen, "App notes").await;
    screen.press(ENTER).await;
    screen.sees("Base URL").await;
    tab_to(&screen, "Devices").await;
    screen.press(ENTER).await;
    screen.sees("Installations of your app").await;
    tab_to(&screen, "phone").await;
    screen.press(ENTER).await;
    screen.sees("Timeline").await;

    tab_to(&screen, "Retire…").await;
    screen.press(ENTER).await;
    screen.sees("This cannot be taken back.").await;
    screen.press(ESCAPE).await;
    screen.misses("This cannot be taken back.").await;
    screen.press(ENTER).await;
    tab_to(&screen, "Retire the device").await;
    screen.press(ENTER).await;
    screen.sees("The device is retired.").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn what_is_copied_is_said_and_nothing_moves_for_it() {
    let app = crate::support::app::TestApp::start().await;
    app.create_app(syncline::tables::spec::WireProfile::Strings, DDL).await;
    let screen = screen_of_the_owner(&app).await;
    screen.allow_the_clipboard().await;
    for look in [Look::DESKTOP, Look::PHONE] {
        screen.look(look).await;
        screen.visit("/d/acme/notes").await;
        screen.click("Copy the base URL").await;
        screen.sees("Copied").await;
        let told = "document.querySelector('[data-copy-label]').getAttribute('role') === 'status'";
        screen.until("it is told to who does not see it", told).await;
        screen.shot(&format!("copied-{}", look.name)).await;
        let copied = screen.evaluate_to_the_end("return navigator.clipboard.readText();").await;
        assert_eq!(copied, json!(format!("{}/t/acme/notes", app.url())));
        screen.misses("Copied").await;
        screen.nothing_moved().await;
    }
}

#[tokio::test]
async fn nothing_moves_on_a_slow_line() {
    let app = crate::support::app::TestApp::start().await;
    app.create_app(syncline::tables::spec::WireProfile::Strings, DDL).await;
    let screen = screen_of_the_owner(&app).await;
    screen.slow_down().await;
    for look in [Look::DESKTOP, Look::PHONE] {
        screen.look(look).await;
        for page in ["/", "/d/acme/notes", "/d/acme/notes/schema", "/d/acme/notes/simulator"] {
            screen.visit(page).await;
            screen.nothing_moved().await;
        }
    }
}

/// From the first device over the first bundle to trouble, with the overview open and nobody at the mouse.
#[tokio::test]
async fn nothing_moves_under_somebody_who_watches_the_overview() {
    for look in [Look::DESKTOP, Look::PHONE] {
        let story = Story::of(DDL).await;
        let screen = &story.screen;
        screen.look(look).await;
        story.reload().await;
        screen.until("it is live", "document.querySelector('.live.on')").await;
        let mut phone = story.device("ada", "phone").await;
        phone.sync().await.unwrap();
        screen.sees("The first device has arrived: phone.").await;
        writes(&mut phone, "f1", "Plants").await;
        screen.sees("The first bundle has arrived: your app syncs.").await;
        screen.until("a bar is drawn", "document.querySelector('#chart-commits .chart-bar')").await;
        screen.nothing_moved().await;

        // And once more where everything is set up.
        story.reload().await;
        screen.until("it is live", "document.querySelector('.live.on')").await;
        screen.sees("No refused write is open.").await;
        writes(&mut phone, "f1", "Herbs").await;
        for (source, title) in [("laptop", "Stones"), ("tablet", "Mosses")] {
            let device = story.plain_device("ada", source).await;
            let row = json!({
                "schema": "main", "table": "folders", "key": { "id": "f1" }, "op": "UPDATE", "base_row_version": 1,
                "payload": { "id": "f1", "title": title },
            });
            device.push(1, &[row]).await.refused(409, "push_conflict");
            let wrong = [json!({
                "schema": "main", "table": "nowhere", "key": { "id": "n1" }, "op": "INSERT", "base_row_version": 0,
                "payload": { "id": "n1" },
            })];
            let push = device.create(1, &wrong).await.ok();
            device
                .stage(push["push_id"].as_str().unwrap(), 0, &wrong)
                .await
                .refused(400, "push_chunk_invalid");
        }
        screen.sees("tablet lost").await;
        screen.sees("push rejected").await;
        screen.misses("No refused write is open.").await;
        screen.nothing_moved().await;
        screen.is_quiet().await;
    }
}

/// Forms, questions and lists need no script; the figures stand still until the page is loaded again.
#[tokio::test]
async fn a_device_is_judged_and_a_row_corrected_without_scripts() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    screen.forbid_scripts().await;
    let phone = story.plain_device("ada", "phone").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    let wrong = with_stars(folder("f2", "INSERT", 0, "Stones"), "-1");
    phone.push(2, &[wrong]).await.refused(400, "push_commit_invalid");
    story.facts_are_written().await;

    story.reload().await;
    screen
        .until("no script ran", "!window.htmx && !document.documentElement.classList.contains('scripted')")
        .await;
    screen.sees("One refused write blocks its device").await;
    screen.misses("Copy").await;
    screen.click("Devices").await;
    screen.select("Verdict", "push rejected").await;
    screen.click("Show").await;
    screen.click("phone").await;
    screen.sees("Its push is rejected (push_commit_invalid, 1 try)").await;
    screen.click("See the refused write").await;
    screen.sees("stars").await;

    screen.click("Tables").await;
    screen.click("folder").await;
    screen.click("f1").await;
    screen.fill("title", "Herbs").await;
    screen.click("Preview the change").await;
    screen.sees("1 row in folder changes").await;
    screen.click("Change the row").await;
    screen.sees("Done, as bundle 2.").await;
    assert_eq!(phone.bundle_rows(2).await[0]["payload"]["title"], "Herbs");

    screen.click("Devices").await;
    screen.click("phone").await;
    screen.click("Retire…").await;
    screen.click("Retire the device").await;
    screen.sees("The device is retired.").await;
    screen.sign_out().await;
    screen.sees("Sign in").await;
}
