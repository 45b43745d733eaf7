//! Counting an app's rows, and looking at one.

use syncline::{
    ids::ScopeId,
    tables::{inspect, spec::WireProfile},
};

use super::support::TestTables;

const TABLES: &str = "
    CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, body TEXT);
    CREATE TABLE things (id BLOB PRIMARY KEY NOT NULL, n INTEGER);";

fn scope(text: &str) -> ScopeId {
    ScopeId::parse(text).unwrap()
}

async fn app_with_rows() -> TestTables {
    let app = TestTables::new(WireProfile::Strings).await;
    app.publish(TABLES).await.unwrap();
    app.sql(
        "insert into {schema}.notes select s, 'n' || n, 'body' from unnest('{ann,bob}'::text[]) s, generate_series(1, 5) n;
         insert into {schema}.things select 'ann', gen_random_uuid(), n from generate_series(1, 30) n",
    )
    .await
    .unwrap();
    app
}

#[tokio::test]
async fn rows_are_counted_by_table_and_scope() {
    let app = app_with_rows().await;
    let catalog = app.catalog().await;
    let apps = &app.databases.apps;
    let counts = |counts: Vec<inspect::RowCount>| {
        counts.iter().map(|c| (c.table_no, c.rows, c.exact)).collect::<Vec<_>>()
    };
    let all = inspect::row_counts(apps, &catalog, None).await.unwrap();
    assert_eq!(counts(all), [(1, 10, true), (2, 30, true)]);
    let of_bob = inspect::row_counts(apps, &catalog, Some(&scope("bob"))).await.unwrap();
    assert_eq!(counts(of_bob), [(1, 5, true), (2, 0, true)]);

    app.sql("insert into {schema}.notes select 'carl', 'n' || n from generate_series(1, 20001) n")
        .await
        .unwrap();
    let of_carl = inspect::row_counts(apps, &catalog, Some(&scope("carl"))).await.unwrap();
    assert_eq!(counts(of_carl)[0], (1, inspect::COUNTED_ROWS, false));
    let all = inspect::row_counts(apps, &catalog, None).await.unwrap();
    assert!(!all[0].exact && all[0].rows >= inspect::COUNTED_ROWS);
}

#[tokio::test]
async fn a_row_is_shown_as_clients_get_it_unless_it_is_huge() {
    let app = app_with_rows().await;
    let catalog = app.catalog().await;
    let notes = catalog.table("notes").unwrap();
    let mut tx = app.begin().await;
    let row = inspect::row(&mut tx, &catalog, notes, &scope("ann"), "n1").await.unwrap().unwrap();
    assert_eq!(row.payload.as_deref(), Some(r#"{"body":"body","id":"n1"}"#));
    assert!(inspect::row(&mut tx, &catalog, notes, &scope("ann"), "n9").await.unwrap().is_none());
    let things = catalog.table("things").unwrap();
    assert!(inspect::row(&mut tx, &catalog, things, &scope("ann"), "no uuid").await.unwrap().is_none());
    tx.rollback().await.unwrap();

    app.sql("update {schema}.notes set body = repeat('x', 70000) where id = 'n1'").await.unwrap();
    let mut tx = app.begin().await;
    let huge = inspect::row(&mut tx, &catalog, notes, &scope("ann"), "n1").await.unwrap().unwrap();
    assert_eq!((huge.payload.as_deref(), huge.payload_bytes), (None, 70_021));
}
