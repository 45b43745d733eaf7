//! Tables: rows found, written and carried in and out as files (issue 4, item 5).

use std::fs;

use super::story::{Story, folder, title_on, titled, writes};
use crate::support::{
    device::{Device, schema::DDL},
    furnished::{ddl, folder as plain_folder, with_stars},
    scratch::ScratchFolder,
};

/// A table's rows on the screen, and a device of ada with folders f01 to f60.
async fn start() -> (Story, Device) {
    let story = Story::of(DDL).await;
    let mut phone = story.device("ada", "phone").await;
    phone.appetite.rows_per_chunk = 100;
    for number in 1..=60 {
        let id = format!("f{number:02}");
        assert!(phone.put(folder(&id), titled(&id, if number % 2 == 0 { "Stones" } else { "Plants" })));
    }
    phone.sync().await.unwrap();
    story.screen.click("Tables").await;
    story.screen.click("folders").await;
    (story, phone)
}

#[tokio::test]
async fn rows_are_found_by_conditions_that_know_the_types_and_page_by_page() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    let rows: Vec<_> = (0..70)
        .map(|number| {
            let title = if number < 65 { "Plants" } else { "Stones" };
            let row = plain_folder(&format!("f{number:02}"), "INSERT", 0, title);
            with_stars(row, &number.to_string())
        })
        .collect();
    story.plain_device("ada", "phone").await.push(1, &rows).await.ok();
    story.plain_device("bob", "phone").await.push(1, &rows[..1]).await.ok();

    screen.click("Tables").await;
    screen.click("folder").await;
    screen.sees("71 rows of all users").await;
    screen.select("Column", "title").await;
    screen.select("Comparison", "is").await;
    screen.fill("Value", "Plants").await;
    screen.click("Show rows").await;
    let keys = async || screen.texts(".grid tbody th").await;
    screen
        .until("the condition is there", "document.querySelector('[aria-label=\"Remove condition 1\"]')")
        .await;
    assert_eq!(keys().await.len(), 50);
    screen.click("Next").await;
    screen.until("it is the second page", "document.querySelectorAll('.grid tbody tr').length === 16").await;
    screen.click("Previous").await;
    screen.until("it is the first page", "document.querySelectorAll('.grid tbody tr').length === 50").await;

    screen.fill("User", "ada").await;
    // A second condition, on a number.
    screen.select_in("Another condition", "Column", "stars").await;
    screen.select_in("Another condition", "Comparison", "is at least").await;
    screen.fill_in("Another condition", "Value", "many").await;
    screen.click("Show rows").await;
    screen.sees("It must be a whole number").await;
    screen.fill_in("Condition 2", "Value", "63").await;
    screen.click("Show rows").await;
    screen.until("two rows are left", "document.querySelectorAll('.grid tbody tr').length === 2").await;
    assert_eq!(keys().await, ["f63", "f64"]);
    screen.click("Export").await;
    screen.sees("Export these rows").await;
    let (name, csv) = screen.download("CSV").await;
    assert_eq!(name, "folder.csv");
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv, "_sync_scope,_sync_version,id,title,stars\nada,1,f63,Plants,63\nada,1,f64,Plants,64\n");
    screen.click("Remove condition 2").await;
    screen
        .until("the condition is gone", "!document.querySelector('[aria-label=\"Remove condition 2\"]')")
        .await;
    assert_eq!(keys().await.len(), 50);
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_search_that_finds_nothing_at_first_goes_on_by_itself() {
    let story = Story::of(&ddl()).await;
    let screen = &story.screen;
    story.plain_device("ada", "phone").await.push(1, &[plain_folder("f1", "INSERT", 0, "Plants")]).await.ok();
    let fill = format!(
        "insert into {}.folder (_sync_scope_id, id, title)
         select 'ada', 'g' || lpad(n::text, 6, '0'), case n when 24000 then 'Needle' else 'Hay' end
         from generate_series(1, 25000) n",
        story.notes.app.app_id.schema()
    );
    sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&story.app.pool().await).await.unwrap();
    for (wanted, found) in [("Needle", "g024000"), ("Nothing", "No row matches")] {
        screen.visit("/d/acme/notes/tables/folder").await;
        screen.select("Column", "title").await;
        screen.select("Comparison", "is").await;
        screen.fill("Value", wanted).await;
        screen.click("Show rows").await;
        screen.sees(found).await;
        screen.misses("The search goes on").await;
    }
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_row_is_inserted_changed_and_deleted_and_the_device_follows() {
    let (story, mut phone) = start().await;
    let screen = &story.screen;
    screen.click("Insert a row").await;
    screen.fill("User", "ada").await;
    screen.fill("id", "f99").await;
    screen.fill("title", "Herbs").await;
    screen.click("Preview the row").await;
    screen.sees("1 row in folders is inserted; 1 device receives this as bundle 2.").await;
    screen.click("Insert the row").await;
    screen.sees("Done, as bundle 2.").await;
    phone.sync().await.unwrap();
    assert_eq!(title_on(&phone, "f99").as_deref(), Some("Herbs"));

    screen.click("History of the row").await;
    screen.click("Open the row").await;
    screen.fill("title", "Herbs of spring").await;
    // The device is faster: nothing is written over it unseen.
    writes(&mut phone, "f99", "Mosses").await;
    screen.click("Preview the change").await;
    screen.sees("The row has changed meanwhile").await;
    screen.click("Preview mine over it").await;
    screen.sees("1 row in folders changes").await;
    assert_eq!(screen.texts(".write-rows del, .write-rows ins").await, ["Mosses", "Herbs of spring"]);
    screen.click("Change the row").await;
    screen.sees("Done, as bundle 4.").await;
    phone.sync().await.unwrap();
    assert_eq!(title_on(&phone, "f99").as_deref(), Some("Herbs of spring"));

    screen.click("History of the row").await;
    screen.click("Open the row").await;
    screen.click("Preview the deletion").await;
    screen.sees("1 row in folders is deleted").await;
    screen.click("Delete the row").await;
    screen.sees("Done, as bundle 5.").await;
    phone.sync().await.unwrap();
    assert_eq!(title_on(&phone, "f99"), None);
    screen.is_quiet().await;
}

#[tokio::test]
async fn rows_go_out_as_files_and_come_in_after_a_dry_run() {
    let (story, mut phone) = start().await;
    let screen = &story.screen;
    writes(&mut phone, "f60", "Stones,\n\"polished\"").await;
    screen.click("Export").await;
    screen.sees("Export all rows").await;
    let (name, lines) = screen.download("NDJSON").await;
    assert_eq!(name, "folders.ndjson");
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().count(), 60);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["scope"], &first["row"]["title"]), (&"ada".into(), &"Plants".into()));
    let (_, csv) = screen.download("CSV").await;
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().count(), 62);

    // Changed by hand, with a mistake at first.
    let files = ScratchFolder::new("syncline-import");
    let (wrong, right) = (files.path().join("wrong.csv"), files.path().join("right.csv"));
    let changed = csv.replace("f02,Stones", "f02,Pebbles") + "ada,,f61,Mosses\n";
    fs::write(&wrong, changed.clone() + "ada,,f62\n").unwrap();
    fs::write(&right, &changed).unwrap();
    story.reload().await;
    screen.click("Import").await;
    screen.attach("Choose a file", &wrong).await;
    screen.until("the file is read", "document.getElementById('csv').value.includes('f62')").await;
    screen.click("Dry run").await;
    screen.sees("Line 64").await;
    screen.sees("nothing can be written before they are mended").await;
    screen.attach("Choose a file", &right).await;
    screen.until("the file is read", "!document.getElementById('csv').value.includes('f62')").await;
    screen.click("Try again").await;
    screen.sees("1 row is inserted, 1 changed, 59 are like this already; of 1 user.").await;
    screen.shot("import-dry-run").await;
    screen.click("Import 2 rows").await;
    screen.sees("2 rows were written, as these bundles:").await;
    screen.click("bundle 3").await;
    screen.sees("Mosses").await;
    phone.sync().await.unwrap();
    assert_eq!(title_on(&phone, "f02").as_deref(), Some("Pebbles"));
    assert_eq!(title_on(&phone, "f61").as_deref(), Some("Mosses"));
    screen.is_quiet().await;
}

#[tokio::test]
async fn the_schema_is_a_picture_whose_tables_lead_to_their_rows() {
    let (story, _) = start().await;
    let screen = &story.screen;
    screen.click("Tables").await;
    screen.sees("60").await;
    screen.click("See how they refer to each other").await;
    screen
        .until("five tables are drawn", "document.querySelectorAll('.schema-map .map-box').length === 5")
        .await;
    assert_eq!(screen.texts(".map-words li").await.len(), 5);
    screen.sees("notes.folder_id names a row of folders").await;
    screen.click("folders").await;
    screen.sees("60 rows of all users").await;
    screen.is_quiet().await;
}
