//! A user: what they have, a token to try things with, everything exported, everything erased (issue 4, item 6).

use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use serde_json::Value;

use super::story::{Story, title_on, writes};
use crate::support::{device::schema::DDL, scratch::ScratchFolder, sync_app::SyncClient};

#[tokio::test]
async fn a_user_is_looked_up_tried_out_exported_and_erased() {
    let story = Story::of(DDL).await;
    let screen = &story.screen;
    let mut phone = story.device("ada", "phone").await;
    phone.may_be_erased = true;
    writes(&mut phone, "f1", "Plants").await;
    writes(&mut phone, "f1", "Herbs").await;
    let mut other = story.device("grace", "phone").await;
    writes(&mut other, "f1", "Stones").await;
    story.facts_are_written().await;

    screen.click("Users").await;
    screen.fill("Id begins with", "ad").await;
    screen.click("Find").await;
    screen.misses("grace").await;
    screen.click("ada").await;
    screen.sees("2 bundles, the last").await;
    let rows = screen.texts(".rows .row-link").await;
    assert!(
        rows.iter().any(|row| row.starts_with("folders1 row") || row.starts_with("folders 1 row")),
        "{rows:?}"
    );

    screen.choose("5 minutes").await;
    screen.click("Mint a token").await;
    screen.sees("This is the only time it is shown. It is good for 5 minutes").await;
    let token = screen.text(".issued pre").await;
    let try_out = SyncClient::of(&story.notes, &token, "try-out");
    let pulled = try_out.get("sync/pull?after_bundle_seq=1").await.ok();
    assert_eq!(pulled["bundles"][0]["rows"][0]["payload"]["title"], "Herbs");
    story.app.clock.advance(time::Duration::minutes(7));
    assert_eq!(
        try_out.request(Method::GET, "sync/pull").send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    screen.visit("/d/acme/notes/users/ada").await;
    screen.misses(&token).await;

    let (name, lines) = screen.download("Lines of JSON").await;
    assert_eq!(name, "ada.ndjson");
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line.to_string().contains("Herbs")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.to_string().contains("Stones")), "another user's row: {lines:?}");
    let (name, file) = screen.download("SQLite file").await;
    assert_eq!(name, "ada.sqlite");
    let files = ScratchFolder::new("syncline-export");
    let path = files.path().join(name);
    std::fs::write(&path, file).unwrap();
    let title: String = Connection::open(&path)
        .unwrap()
        .query_row("select title from folders", [], |row| row.get(0))
        .unwrap();
    assert_eq!(title, "Herbs");

    screen.fill("Type ada to confirm", "Ada").await;
    screen.click("Erase everything of this user").await;
    screen.sees("Type the user’s id exactly as it stands at the top of this page.").await;
    screen.fill("Type ada to confirm", "ada").await;
    screen.click("Erase everything of this user").await;
    screen.sees("Everything of this user is erased. Devices that come back start over with nothing.").await;
    screen.sees("What stays is the name with the number").await;
    phone.sync().await.unwrap();
    assert_eq!(title_on(&phone, "f1"), None);
    screen.click("Users").await;
    screen.click("grace").await;
    screen.sees("1 row").await;
    screen.is_quiet().await;
}
