//! Rows from CSV files: the dry run, and the import that does the same.

use reqwest::StatusCode;
use syncline::{sync::keys::RowOp, tables::spec::WireProfile};

use super::tables::{TABLE, key, kinds_row, owner, with_kinds, write};
use crate::support::{
    app::TestApp,
    browser::{Browser, Page},
};

const IMPORT: &str = "/d/acme/notes/tables/kinds/import";
const APPLY: &str = "/d/acme/notes/tables/kinds/import/apply";

async fn dry_run(browser: &mut Browser, csv: &str, scope: &str) -> Page {
    browser.submit(IMPORT, IMPORT, &[("csv", csv), ("scope", scope)]).await
}

/// Press the button that the dry run offers.
async fn apply(browser: &mut Browser, run: &Page) -> Page {
    assert_eq!(run.attribute("button[formaction]", "formaction").as_deref(), Some(APPLY), "{}", run.html);
    let mut fields = run.form(IMPORT);
    for (name, value) in &mut fields {
        if name == "csv" {
            // HTML drops the line feed that follows the tag.
            *value = value.strip_prefix('\n').unwrap_or(value).to_owned();
        }
    }
    browser.post(APPLY, &fields).await
}

#[tokio::test]
async fn what_was_exported_is_imported_without_a_change() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let server = TestApp::start().await;
        with_kinds(&server, profile).await;
        let mut browser = owner(&server).await;
        let csv = browser.get(&format!("{TABLE}/export.csv")).await.html;
        let run = dry_run(&mut browser, &csv, "").await;
        assert_eq!(run.status, StatusCode::OK, "{}", run.html);
        assert!(
            run.text(".preview-summary p").starts_with("0 rows are inserted, 0 changed, 4 are like this"),
            "{}",
            run.html
        );
        assert!(run.attribute("button[formaction]", "formaction").is_none());

        // To another user: the same rows once more.
        let run = dry_run(&mut browser, &csv.replace(",1,0000", ",,0000"), "zoe").await;
        assert!(run.text(".preview-summary p").starts_with("4 rows are inserted, 0 changed"), "{}", run.html);
        let done = apply(&mut browser, &run).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.html);
        let rows = |page: Page| -> Vec<serde_json::Value> {
            page.html
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["row"].clone())
                .collect()
        };
        let mut before = rows(browser.get(&format!("{TABLE}/export.ndjson?scope=ada")).await);
        before.extend(rows(browser.get(&format!("{TABLE}/export.ndjson?scope=bob")).await));
        assert_eq!(rows(browser.get(&format!("{TABLE}/export.ndjson?scope=zoe")).await), before, "{profile}");
        assert!(browser.get("/d/acme/audit").await.html.contains("rows.imported"));
    }
}

#[tokio::test]
async fn an_import_does_what_its_dry_run_said() {
    let server = TestApp::start().await;
    let app = with_kinds(&server, WireProfile::Strings).await;
    let mut browser = owner(&server).await;
    let csv = format!(
        "_sync_scope,id,small,body\nada,{},7,\nada,{},30,\\\nada,{},1,new\nbob,{},-3,milky\n",
        key(1),
        key(2),
        key(9),
        key(4)
    );
    let run = dry_run(&mut browser, &csv, "").await;
    assert!(
        run.text(".preview-summary p")
            .starts_with("1 row is inserted, 1 changed, 2 are like this already; of 1 user"),
        "{}",
        run.html
    );
    assert_eq!(run.texts("tbody tr").len(), 2);

    // Somebody else is faster: nothing is overwritten unseen.
    let mut change = kinds_row(1, &[("short", "x")]);
    change.op = RowOp::Update;
    write(&server, &app, "ada", vec![change]).await;
    let renewed = apply(&mut browser, &run).await;
    assert_eq!(renewed.status, StatusCode::CONFLICT);
    assert!(renewed.text(".notice.heed").contains("changed since you looked"), "{}", renewed.html);

    let done = apply(&mut browser, &renewed).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.html);
    assert!(done.html.contains("2 rows were written"), "{}", done.html);
    assert_eq!(done.texts(".changes li"), ["ada: bundle 3, 2 rows"]);
    let after = browser.get(&format!("{TABLE}/export.csv?scope=ada")).await.html;
    assert!(after.contains(&format!("ada,3,{},7,", key(1))), "{after}");
    let again = dry_run(&mut browser, &csv, "").await;
    assert!(
        again.text(".preview-summary p").starts_with("0 rows are inserted, 0 changed, 4 are"),
        "{}",
        again.html
    );
}

#[tokio::test]
async fn every_line_that_is_wrong_is_named() {
    let server = TestApp::start().await;
    with_kinds(&server, WireProfile::Strings).await;
    let mut browser = owner(&server).await;
    let (one, nine) = (key(1), key(9));
    let csv = format!(
        "_sync_scope,_sync_version,id,small,flag\nada,,{nine},x,true\nada,,{nine}\nada,7,{one},5,true\nada,,no,1,\nada,,{},1,maybe\nada,,{one},1,\nada,,{one},2,\n,,{nine},1,\nada,4,{nine},1,\n",
        key(8)
    );
    let run = dry_run(&mut browser, &csv, "").await;
    assert_eq!(run.status, StatusCode::UNPROCESSABLE_ENTITY);
    let problems = run.texts(".remarks li").join("\n");
    for expected in [
        "Line 2small: It must be a whole number",
        "Line 3The line has 3 fields; the first line has 5.",
        "Line 5The key must be a UUID.",
        "Line 6flag: It must be true or false.",
        "Line 7Line 4 is the same row already.",
        "Line 8Line 4 is the same row already.",
        "Line 9_sync_scope is no user’s id",
        "Line 4The file has version 7 of this row, but it has been changed since, to version 1.",
        "Line 10The file has version 4 of this row, but it has been deleted since.",
    ] {
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
    assert!(run.attribute("button[formaction]", "formaction").is_none());
    for (csv, expected) in [
        ("", "The file is empty"),
        ("small\n1\n", "The sync key id is missing."),
        ("id,id,nothing\n", "named twice"),
        ("id,_sync_scope_id\n", "no column “_sync_scope_id”"),
        ("id\n", "Whose rows are they?"),
    ] {
        let run = dry_run(&mut browser, csv, "").await;
        assert!(run.text(".remarks").contains(expected), "{csv}: {}", run.html);
    }
    let bad_scope = dry_run(&mut browser, "id\n", "\u{1}").await;
    assert!(bad_scope.error_at("scope").contains("user’s id"), "{}", bad_scope.html);
}

#[tokio::test]
async fn what_the_database_refuses_is_said_by_the_dry_run() {
    let server = TestApp::start().await;
    let ddl = "CREATE TABLE kinds (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, up TEXT REFERENCES kinds (id));";
    server.create_app(WireProfile::Strings, ddl).await;
    let mut browser = owner(&server).await;
    let refused = dry_run(&mut browser, "id,name,up\na,x,\nb,x,\n", "ada").await;
    assert!(
        refused.text(".remarks").contains("Lines 2 to 3, user ada: another row has the same value already"),
        "{}",
        refused.html
    );
    let refused = dry_run(&mut browser, "id,name,up\na,x,b\n", "ada").await;
    assert!(refused.text(".remarks").contains("refers to a row that does not exist"), "{}", refused.html);
    // A child before its parent is fine: both are in one bundle.
    let run = dry_run(&mut browser, "id,name,up\na,x,b\nb,y,\n", "ada").await;
    let done = apply(&mut browser, &run).await;
    assert!(done.html.contains("2 rows were written"), "{}", done.html);
}
