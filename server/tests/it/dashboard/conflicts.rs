//! Conflicts in numbers, and conflicts that people settle: looked at, written, and marked as settled.

use reqwest::StatusCode;
use sqlx::AssertSqlSafe;
use syncline::{ids::ConflictId, sync::ledger_bounds};

use super::data::{owner, with_conflict};
use crate::support::{
    app::{TestApp, TestSyncApp},
    browser::{Browser, Page},
};

const LIST: &str = "/d/acme/notes/conflicts";

async fn first_conflict(browser: &mut Browser) -> String {
    browser.get(LIST).await.attribute("tbody th a", "href").unwrap()
}

/// Ask for the preview of a settlement.
async fn preview(browser: &mut Browser, conflict: &str, fields: &[(&str, &str)]) -> Page {
    let token = browser.get(conflict).await.csrf();
    let mut values = vec![("csrf_token".to_owned(), token)];
    values.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    browser.post(&format!("{conflict}/settle/preview"), &values).await
}

/// The title of the only note, as devices get it.
async fn title(notes: &TestSyncApp) -> String {
    let token = notes.token_in_scope("ada", "ada/<b>").await;
    let request = reqwest::Client::new()
        .get(format!("{}/sync/pull?after_bundle_seq=0&max_bundles=100", notes.base_url))
        .bearer_auth(token)
        .header("Oversync-Source-ID", "reader");
    let pulled = crate::support::app::Answer::of(request).await.json();
    let last = pulled["bundles"].as_array().unwrap().last().unwrap().clone();
    last["rows"][0]["payload"]["title"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_devices_version_is_written_over_the_servers_and_settles_the_conflict() {
    let app = TestApp::start().await;
    let notes = with_conflict(&app).await;
    let mut browser = owner(&app).await;
    let conflict = first_conflict(&mut browser).await;
    let settle = format!("{conflict}/settle");

    let shown = browser.submit(&conflict, &format!("{settle}/preview"), &[]).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.html);
    assert!(shown.text("#consequence").starts_with("1 row in note changes"), "{}", shown.html);
    assert_eq!(shown.texts(".write-rows del"), ["bread"]);
    assert_eq!(shown.texts(".write-rows ins"), ["eggs"]);
    let written = browser.post(&settle, &shown.form(&settle)).await;
    assert_eq!(written.location(), "/d/acme/notes/history/ada%2F%3Cb%3E/3", "{}", written.html);
    assert_eq!(title(&notes).await, "eggs");

    let page = browser.get(&conflict).await;
    assert!(page.text(".verdict").starts_with("settled by hand"), "{}", page.html);
    assert!(page.text(".verdict").contains("bundle 3 by owner@acme.example"), "{}", page.html);
    let listed = browser.get(&format!("{LIST}?outcome=settled_by_hand")).await;
    assert_eq!(listed.texts(".table tbody tr").len(), 1, "{}", listed.html);
    let done = browser.get("/d/acme/audit").await.texts("tbody td[data-label=What]");
    assert!(done.contains(&"conflict.settled".to_owned()), "{done:?}");
    // The same again changes nothing.
    let again = preview(&mut browser, &conflict, &[("how", "device")]).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.html);
}

#[tokio::test]
async fn a_row_is_merged_column_by_column() {
    let app = TestApp::start().await;
    let notes = with_conflict(&app).await;
    let mut browser = owner(&app).await;
    let conflict = first_conflict(&mut browser).await;
    assert_eq!(browser.get(&conflict).await.texts(".merge-column legend code"), ["title"]);

    let nothing = preview(&mut browser, &conflict, &[("how", "merge"), ("column-title", "")]).await;
    let told = browser.follow(&nothing).await;
    assert!(told.text(".notice").contains("Choose at least one column"), "{}", told.html);

    let shown = preview(&mut browser, &conflict, &[("how", "merge"), ("column-title", "base")]).await;
    assert_eq!(shown.texts(".write-rows ins"), ["milk"], "{}", shown.html);
    let settle = format!("{conflict}/settle");
    let written = browser.post(&settle, &shown.form(&settle)).await;
    assert!(written.status.is_redirection(), "{}", written.html);
    assert_eq!(title(&notes).await, "milk");
}

#[tokio::test]
async fn the_list_says_when_and_where_conflicts_happen() {
    let app = TestApp::start().await;
    with_conflict(&app).await;
    let mut browser = owner(&app).await;
    let today = app.clock.now().date().to_string();
    let page = browser.get(LIST).await;
    assert_eq!(page.texts(".chart-headline"), ["1"], "{}", page.html);
    assert!(page.text(".hot-list").contains("note"), "{}", page.html);
    let found = browser.get(&format!("{LIST}?from={today}&until={today}")).await;
    assert_eq!(found.texts("tbody th a").len(), 1, "{}", found.html);
    for empty in ["until=2020-01-01", "from=2900-01-01"] {
        let page = browser.get(&format!("{LIST}?{empty}")).await;
        assert!(page.html.contains("No conflict matches"), "{empty}: {}", page.html);
    }
    for odd in
        ["from=x", "from=%00", "until=99999-01-01", "from=9000-12-31", "until=-001-01-01", "from=2000-01-01"]
    {
        assert_eq!(browser.get(&format!("{LIST}?{odd}")).await.status, StatusCode::OK, "{odd}");
    }
}

#[tokio::test]
async fn the_ledgers_forget_what_is_old_and_what_is_too_much() {
    let app = TestApp::start().await;
    let notes = with_conflict(&app).await;
    let schema = notes.app.app_id.schema();
    let pool = app.pool().await;
    let now = app.clock.now();
    let insert = |count: i64, age: &str| {
        AssertSqlSafe(format!(
            "insert into {schema}._sync_conflict (
                 scope_id, conflict_id, first_at, last_at, source_id, source_bundle_id, table_no, key, op,
                 base_row_version, server_row_version, server_row_deleted
             )
             select 's', gen_random_uuid(), $1 - interval '{age}', $1, 'd', n, t.table_no, 'k', 'INSERT', 0, 1, false
             from {schema}._sync_table t, generate_series(1, {count}) n"
        ))
    };
    sqlx::query(insert(700, "91 days")).bind(now).execute(&pool).await.unwrap();
    sqlx::query(AssertSqlSafe(format!(
        "insert into {schema}._sync_rejected_write (
             scope_id, rejected_id, fingerprint, source_id, code, message, row_count, rows, first_at, last_at, state
         )
         values ('s', gen_random_uuid(), 'f', 'd', 'c', 'm', 1, '[]', $1, $1 - interval '91 days', 'open')"
    )))
    .bind(now)
    .execute(&pool)
    .await
    .unwrap();
    let engine = &app.state().engine;
    assert_eq!(engine.prune_ledgers().await.unwrap(), 701);
    // Nobody has written or looked since.
    assert_eq!(engine.prune_ledgers().await.unwrap(), 0);

    sqlx::query(insert(ledger_bounds::KEPT_PER_APP + 9, "1 hour")).bind(now).execute(&pool).await.unwrap();
    let mut browser = owner(&app).await;
    assert!(browser.get(LIST).await.html.contains("kept for 90 days"));
    assert_eq!(engine.prune_ledgers().await.unwrap(), 10);
    let left: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {schema}._sync_conflict")))
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(left, ledger_bounds::KEPT_PER_APP);
}

#[tokio::test]
async fn what_nobody_can_settle_is_not_found_and_hostile_choices_break_nothing() {
    let app = TestApp::start().await;
    with_conflict(&app).await;
    let mut browser = owner(&app).await;
    let conflict = first_conflict(&mut browser).await;
    for fields in [
        &[("how", "x")][..],
        &[("how", "merge"), ("column-nothing", "device")],
        &[("how", "merge"), ("column-", "device")],
        &[("how", "merge"), ("column-id", "device")],
        &[("how", "merge"), ("column-_sync_scope_id", "device")],
        &[("how", "merge"), ("column-title", "\0")],
        &[],
    ] {
        let page = preview(&mut browser, &conflict, fields).await;
        assert!(page.status.is_redirection(), "{fields:?}: {}", page.html);
    }
    let token = browser.get(&conflict).await.csrf();
    let gone = format!("{LIST}/{}/settle", ConflictId::new());
    let page = browser.post(&gone, &[("csrf_token".to_owned(), token)]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}
