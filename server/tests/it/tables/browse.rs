//! Paging and filtering an app's rows.

use std::{collections::BTreeSet, time::Duration};

use syncline::{
    ids::ScopeId,
    tables::{
        browse::{self, BrowseError, LOOKED_AT, Place, RowPage, Wanted},
        catalog::{AppCatalog, CatalogTable},
        filter::{Filter, Test},
        inspect::{BrowsedRow, RowCursor},
        spec::WireProfile,
    },
};

use super::support::TestTables;

const TABLES: &str = "
    CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, body TEXT);
    CREATE TABLE things (id BLOB PRIMARY KEY NOT NULL, n INTEGER);";

const PATIENCE: Duration = Duration::from_secs(20);

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

fn cursor(row: &BrowsedRow) -> RowCursor {
    RowCursor { scope: row.scope.clone(), key: row.key.clone() }
}

fn place_of(row: &BrowsedRow) -> (String, String) {
    (row.scope.as_str().to_owned(), row.key.clone())
}

async fn page(
    app: &TestTables,
    catalog: &AppCatalog,
    table: &CatalogTable,
    wanted: Wanted<'_>,
    place: &Place,
) -> RowPage {
    browse::page(&app.databases.apps, catalog, table, wanted, place, 4, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn rows_are_paged_through_by_scope_and_key_in_both_directions() {
    let app = app_with_rows().await;
    let catalog = app.catalog().await;
    for (table, of, total) in [("notes", None, 10), ("notes", Some("bob"), 5), ("things", Some("ann"), 30)] {
        let table = catalog.table(table).unwrap();
        let of = of.map(scope);
        let wanted = Wanted { scope: of.as_ref(), filters: &[] };
        let mut pages = vec![page(&app, &catalog, table, wanted, &Place::Beginning).await];
        assert!(!pages[0].has_previous);
        while pages.last().unwrap().has_next {
            let after = Place::After(cursor(pages.last().unwrap().rows.last().unwrap()));
            pages.push(page(&app, &catalog, table, wanted, &after).await);
        }
        let rows: Vec<_> = pages.iter().flat_map(|page| page.rows.iter().map(place_of)).collect();
        assert!(rows.is_sorted());
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), total);
        assert!(pages.iter().flat_map(|page| &page.rows).all(|row| row.row_version == Some(1)));

        // And back again: the same pages.
        for at in (1..pages.len()).rev() {
            let before = Place::Before(cursor(pages[at].rows.first().unwrap()));
            let back = page(&app, &catalog, table, wanted, &before).await;
            assert_eq!(back.rows, pages[at - 1].rows);
            assert_eq!((back.has_previous, back.has_next), (at > 1, true));
        }
    }
    // A cursor that somebody has edited is the beginning.
    let things = catalog.table("things").unwrap();
    let edited = Place::After(RowCursor { scope: scope("ann"), key: "no uuid".to_owned() });
    let first = page(&app, &catalog, things, Wanted::default(), &edited).await;
    assert!(!first.has_previous && first.has_next);
}

#[tokio::test]
async fn every_row_that_stays_is_seen_once_while_others_come_and_go() {
    let app = app_with_rows().await;
    let catalog = app.catalog().await;
    let notes = catalog.table("notes").unwrap();
    let mut seen = Vec::new();
    let mut place = Place::Beginning;
    for turn in 0.. {
        let page = page(&app, &catalog, notes, Wanted::default(), &place).await;
        seen.extend(page.rows.iter().map(place_of));
        if !page.has_next {
            break;
        }
        place = Place::After(cursor(page.rows.last().unwrap()));
        // Before and behind the place; and the very row that the place names goes.
        app.sql(&format!(
            "delete from {{schema}}.notes where id like 'x%' or ({turn} = 0 and _sync_scope_id = 'ann' and id = 'n4');
             insert into {{schema}}.notes values ('aaa', 'x{turn}', ''), ('ann', 'x{turn}', ''), ('zoe', 'x{turn}', '')"
        ))
        .await
        .unwrap();
    }
    let stayed: Vec<_> = seen.iter().filter(|(_, key)| key.starts_with('n')).collect();
    assert_eq!(stayed.len(), 10, "{seen:?}");
    assert_eq!(stayed.iter().collect::<BTreeSet<_>>().len(), 10);
}

#[tokio::test]
async fn a_search_looks_at_so_many_rows_and_goes_on_where_it_ended() {
    let app = app_with_rows().await;
    let catalog = app.catalog().await;
    let notes = catalog.table("notes").unwrap();
    let many = LOOKED_AT * 2 + LOOKED_AT / 2;
    app.sql(&format!(
        "insert into {{schema}}.notes
         select 'carl', lpad(n::text, 6, '0'), case when n in (7, {many}) then 'here' else 'body' end
         from generate_series(1, {many}) n"
    ))
    .await
    .unwrap();
    let filters = [Filter::new(notes.column("body").unwrap(), Test::Is, "here").unwrap()];
    let wanted = Wanted { scope: None, filters: &filters };
    let found = |page: &RowPage| page.rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    let last = format!("{many:06}");

    // Forwards: the rows of ann and bob are looked at before those of carl.
    let (mut place, mut pages) = (Place::Beginning, Vec::new());
    loop {
        let page = page(&app, &catalog, notes, wanted, &place).await;
        let until = page.looked_until.clone();
        assert_eq!(page.has_next, until.is_some());
        pages.push(page);
        let Some(until) = until else { break };
        place = Place::After(until);
    }
    let keys: Vec<_> = pages.iter().map(found).collect();
    assert_eq!(keys, [vec!["000007".to_owned()], vec![], vec![last.clone()]]);

    // And back from the last row, which the page before it does not have again.
    let (mut place, mut keys) = (Place::Before(cursor(&pages[2].rows[0])), Vec::new());
    loop {
        let page = page(&app, &catalog, notes, wanted, &place).await;
        keys.push(found(&page));
        assert_eq!(page.has_previous, page.looked_until.is_some());
        let Some(until) = page.looked_until else { break };
        place = Place::Before(until);
    }
    assert_eq!(keys, [vec![], vec![], vec!["000007".to_owned()]]);

    // More of them than a page has: no row is left out.
    let filters = [Filter::new(notes.column("body").unwrap(), Test::Is, "body").unwrap()];
    let wanted = Wanted { scope: None, filters: &filters };
    let first = page(&app, &catalog, notes, wanted, &Place::Beginning).await;
    assert_eq!((first.rows.len(), first.has_next, &first.looked_until), (4, true, &None));
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_ended_and_can_change_nothing() {
    let app = app_with_rows().await;
    let catalog = app.catalog().await;
    let things = catalog.table("things").unwrap();
    app.sql(
        "insert into {schema}.things select 'bob', gen_random_uuid(), n from generate_series(1, 60000) n",
    )
    .await
    .unwrap();
    let filter = Filter::new(things.column("n").unwrap(), Test::Is, "-1").unwrap();
    let wanted = Wanted { scope: None, filters: &[filter] };
    let patience = Duration::from_millis(1);
    let ended =
        browse::page(&app.databases.apps, &catalog, things, wanted, &Place::Beginning, 50, patience).await;
    assert!(matches!(ended, Err(BrowseError::TooSlow)), "{ended:?}");

    let mut tx = app.databases.apps.begin_reading(&catalog.schema, PATIENCE).await.unwrap();
    let sql = app.fill_in("delete from {schema}.things");
    let refused = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "25006", "{refused}");
}
