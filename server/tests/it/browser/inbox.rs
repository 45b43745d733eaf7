//! The inbox of refused writes: what a refusal is about, and what is done about it (issue 4, item 3).

use serde_json::{Value, json};

use super::story::Story;
use crate::support::furnished::{ddl, folder, with_stars};

const NOTE: &str = "0197f0c2-a4f8-7c3e-b1d2-f60a9be40000";

/// A note in the folder f1.
fn note() -> Value {
    json!({
        "schema": "main", "table": "note", "key": { "id": NOTE }, "op": "INSERT", "base_row_version": 0,
        "payload": { "id": NOTE, "folder_id": "f1", "body": "milk" },
    })
}

#[tokio::test]
async fn the_data_is_fixed_and_the_device_that_was_refused_gets_through() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    let phone = story.plain_device("ada", "phone").await;
    phone.push(1, &[folder("f1", "INSERT", 0, "Plants")]).await.ok();
    let mut gone = folder("f1", "DELETE", 1, "");
    gone["payload"] = Value::Null;
    phone.push(2, &[gone]).await.ok();
    let laptop = story.plain_device("ada", "laptop").await;
    for _ in 0..3 {
        laptop.push(1, &[note()]).await.refused(400, "push_commit_invalid");
    }

    screen.click("Rejected writes").await;
    screen.sees("3").await;
    assert_eq!(screen.texts("tbody td[data-label=Tries]").await, ["3"], "one entry for all tries");
    let reason = screen.text("tbody th a").await;
    screen.click(&reason).await;
    screen.sees("folder f1 is referred to, but bundle 2 deleted it.").await;
    screen.sees("milk").await;
    screen.click("Restore it").await;
    screen.sees("Bundle 2 deleted it.").await;
    screen.click("Restore version 1…").await;
    screen.sees("1 row in folder is inserted").await;
    screen.click("Restore version 1").await;
    screen.sees("Done, as bundle 3.").await;

    // The device tries again, as it always does.
    laptop.push(1, &[note()]).await.ok();
    story.facts_are_written().await;
    screen.click("Rejected writes").await;
    screen.select("State", "open").await;
    screen.click("Show").await;
    screen.sees("Nothing matches").await;
    screen.click("All of them").await;
    screen.click(&reason).await;
    screen
        .until(
            "it is resolved",
            "document.querySelector('.verdict-label').textContent.trim().startsWith('resolved')",
        )
        .await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_refusal_is_resolved_comes_back_is_ignored_and_opened_again() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    let tablet = story.plain_device("ada", "tablet").await;
    let refused = async || {
        let wrong = with_stars(folder("f2", "INSERT", 0, "Stones"), "-1");
        tablet.push(1, &[wrong]).await.refused(400, "push_commit_invalid");
    };
    let state = async |word: &str| {
        let begins =
            format!("document.querySelector('.verdict-label').textContent.trim().startsWith('{word}')");
        screen.until(&format!("it is {word}"), &begins).await;
    };
    refused().await;
    screen.click("Rejected writes").await;
    screen.click(&screen.text("tbody th a").await).await;
    state("open").await;
    screen.click("Mark as resolved").await;
    state("resolved").await;
    screen.sees("by owner@acme.example").await;
    // The device does it again: whoever thought it done must know.
    refused().await;
    story.reload().await;
    state("open").await;
    screen.sees("2, the first").await;
    screen.click("Ignore").await;
    state("ignored").await;
    refused().await;
    story.reload().await;
    state("ignored").await;
    screen.sees("3, the first").await;
    screen.click("Open again").await;
    state("open").await;
    screen.is_quiet().await;
}
