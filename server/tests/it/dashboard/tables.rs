//! An app's tables through the door: filters over every type, pages, files, edits.

use std::sync::Arc;

use reqwest::StatusCode;
use syncline::{
    ids::{ScopeId, SourceId},
    sync::{
        keys::RowOp,
        server_write::{ServerRow, ServerWriter},
    },
    tables::{activity, spec::WireProfile},
};

use crate::support::{
    app::{TestApp, TestSyncApp},
    browser::{Browser, Page},
};

pub(super) const DDL: &str = "
    CREATE TABLE kinds (
        id UUID PRIMARY KEY NOT NULL, small SMALLINT, big BIGINT, real4 REAL, real8 DOUBLE PRECISION, price NUMERIC(8,2),
        flag BOOLEAN, body TEXT, short VARCHAR(8), doc JSON, docb JSONB, at TIMESTAMPTZ, local TIMESTAMP, day DATE,
        clock TIME, ref UUID, data BYTEA
    );";

pub(super) const TABLE: &str = "/d/acme/notes/tables/kinds";

pub(super) fn key(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A row of table `kinds`, as the server writes it.
pub(super) fn kinds_row(number: usize, values: &[(&str, &str)]) -> ServerRow {
    ServerRow {
        table: "kinds".to_owned(),
        key: key(number),
        op: RowOp::Insert,
        values: values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect(),
        base_row_version: None,
    }
}

pub(super) async fn write(server: &TestApp, app: &TestSyncApp, scope: &str, rows: Vec<ServerRow>) {
    let live = server.state().directory.find("acme", app.app.slug.as_str()).await.unwrap().unwrap();
    let writer = ServerWriter { source: SourceId::server("test"), written_by: "test".to_owned() };
    let catalog = Arc::clone(&live.catalog);
    server.state().engine.write(&catalog, &ScopeId::parse(scope).unwrap(), &writer, rows).await.unwrap();
}

/// Rows 1 (low), 2 (high) and 3 (nothing but NULL) of `ada`, and row 4 of `bob`.
pub(super) async fn with_kinds(server: &TestApp, profile: WireProfile) -> TestSyncApp {
    let app = server.create_app(profile, DDL).await;
    let low = [
        ("small", "-3"),
        ("big", "9007199254740993"),
        ("real4", "0.5"),
        ("real8", "1e-7"),
        ("price", "10.50"),
        ("flag", "0"),
        ("body", "Milk & <b>bread</b>"),
        ("short", "aaa"),
        ("doc", "{\"a\": 1}"),
        ("docb", "{\"b\": [1, 2]}"),
        ("at", "2024-01-01T00:00:00Z"),
        ("local", "2024-01-01T00:00:00"),
        ("day", "2024-01-01"),
        ("clock", "07:00:00"),
        ("ref", "10000000-0000-4000-8000-000000000000"),
        ("data", "AAEC"),
    ];
    let high = [
        ("small", "30"),
        ("big", "9007199254740995"),
        ("real4", "2.5"),
        ("real8", "1e22"),
        ("price", "99999.99"),
        ("flag", "1"),
        ("body", ""),
        ("short", "zzz"),
        ("doc", "[]"),
        ("docb", "{\"c\": null}"),
        ("at", "2024-06-01T00:00:00.123456Z"),
        ("local", "2024-06-01T00:00:00"),
        ("day", "2024-06-01"),
        ("clock", "19:00:00"),
        ("ref", "20000000-0000-4000-8000-000000000000"),
        ("data", "/w=="),
    ];
    write(server, &app, "ada", vec![kinds_row(1, &low), kinds_row(2, &high), kinds_row(3, &[])]).await;
    write(server, &app, "bob", vec![kinds_row(4, &[("small", "-3"), ("body", "milky")])]).await;
    app
}

pub(super) async fn owner(server: &TestApp) -> Browser {
    let mut browser = server.browser();
    browser.sign_in("owner@acme.example").await.location();
    browser
}

/// The numbers of the rows that the page shows.
fn shown(page: &Page) -> Vec<usize> {
    page.texts(".grid tbody th").iter().map(|key| key[24..].parse().unwrap()).collect()
}

fn asked(conditions: &[(&str, &str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(column, test, value)| format!("column={column}&test={test}&value={}", encode(value)))
        .collect();
    format!("{TABLE}?{}", conditions.join("&"))
}

#[tokio::test]
async fn rows_are_filtered_by_every_type_of_column() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let server = TestApp::start().await;
        with_kinds(&server, profile).await;
        let mut browser = owner(&server).await;
        let cases: &[(&str, &str, &str, &[usize])] = &[
            ("small", "is", "-3", &[1, 4]),
            ("small", "is-not", "-3", &[2, 3]),
            ("small", "less", "30", &[1, 4]),
            ("small", "at-most", "30", &[1, 2, 4]),
            ("small", "null", "", &[3]),
            ("small", "not-null", "", &[1, 2, 4]),
            ("big", "more", "9007199254740993", &[2]),
            ("big", "is", "9007199254740993", &[1]),
            ("real4", "at-least", "2.5", &[2]),
            ("real8", "is", "0.0000001", &[1]),
            ("real8", "more", "1e21", &[2]),
            ("price", "is", "10.5", &[1]),
            ("price", "more", "99999.98", &[2]),
            ("flag", "is", "true", &[2]),
            ("flag", "is", "false", &[1]),
            ("flag", "is-not", "false", &[2, 3, 4]),
            ("body", "contains", "MILK", &[1, 4]),
            ("body", "contains", "<b>", &[1]),
            ("body", "contains", "%", &[]),
            ("body", "starts-with", "Milk", &[1]),
            ("body", "is", "", &[2]),
            ("body", "more", "N", &[4]),
            ("short", "less", "b", &[1]),
            ("doc", "contains", "\"a\"", &[1]),
            ("docb", "is", "{\"b\":[1,2]}", &[1]),
            ("at", "at-least", "2024-05-01", &[2]),
            ("at", "is", "2024-01-01T01:00:00+01:00", &[1]),
            ("local", "less", "2024-05-01 00:00", &[1]),
            ("day", "is", "2024-06-01", &[2]),
            ("clock", "more", "12:00:00", &[2]),
            ("ref", "is", "20000000-0000-4000-8000-000000000000", &[2]),
            ("ref", "starts-with", "1000", &[1]),
            ("data", "is", "0xff", &[2]),
            ("data", "is", "AAEC", &[1]),
            ("id", "is", &key(3), &[3]),
        ];
        for (column, test, value, rows) in cases {
            let page = browser.get(&asked(&[(column, test, value)])).await;
            assert_eq!(page.status, StatusCode::OK, "{column} {test} {value}: {}", page.html);
            assert_eq!(shown(&page), *rows, "{profile} {column} {test} {value}");
        }
        let both = [("small", "is", "-3"), ("body", "contains", "milk")];
        assert_eq!(shown(&browser.get(&asked(&both)).await), [1, 4]);
        assert_eq!(shown(&browser.get(&format!("{}&scope=bob", asked(&both))).await), [4]);
    }
}

#[tokio::test]
async fn a_condition_that_makes_no_sense_is_named_where_it_stands() {
    let server = TestApp::start().await;
    with_kinds(&server, WireProfile::Strings).await;
    let mut browser = owner(&server).await;
    for (column, test, value, sentence) in [
        ("small", "is", "many", "It must be a whole number"),
        ("small", "contains", "3", "does not work on a column of type smallint"),
        ("flag", "is", "maybe", "It must be true or false"),
        ("flag", "less", "true", "does not work"),
        ("at", "less", "yesterday", "It must be an RFC 3339 time"),
        ("data", "is", "0x1", "pairs of hex digits"),
        ("body", "is", "\0", "must not contain"),
        ("body", "contains", "\0", "must not contain"),
        ("nothing", "is", "1", "no column nothing"),
        ("_sync_scope_id", "is", "ada", "no column"),
        ("body", "like", "x", "Choose how to compare"),
        ("docb", "is", "{", "valid JSON"),
    ] {
        let page = browser.get(&asked(&[("small", "is", "1"), (column, test, value)])).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{column} {test}: {}", page.html);
        assert!(page.error_at("value-1").contains(sentence), "{column} {test}: {}", page.html);
        assert!(page.texts(".grid").is_empty());
    }
    let page = browser.get(&format!("{TABLE}?scope=%00")).await;
    assert!(page.error_at("scope").contains("user’s id"), "{}", page.html);
    let many = vec![("small", "is", "1"); 13];
    assert_eq!(browser.get(&asked(&many)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.get(&format!("{TABLE}?value=1")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_go_forwards_and_back_with_the_filter_kept() {
    let server = TestApp::start().await;
    let app = server.create_app(WireProfile::Strings, DDL).await;
    for (scope, from) in [("ada", 0), ("bob", 1000)] {
        let rows = (1..=70).map(|n| kinds_row(from + n, &[("small", "1"), ("body", "x")])).collect();
        write(&server, &app, scope, rows).await;
    }
    write(&server, &app, "ada", vec![kinds_row(500, &[("small", "2")])]).await;
    let mut browser = owner(&server).await;
    let first = browser.get(&asked(&[("small", "is", "1")])).await;
    let link = |page: &Page, rel: &str| page.attribute(&format!(".pager a[rel={rel}]"), "href");
    let second = browser.get(&link(&first, "next").unwrap()).await;
    let third = browser.get(&link(&second, "next").unwrap()).await;
    let all = [shown(&first), shown(&second), shown(&third)].concat();
    let expected: Vec<usize> = (1..=70).chain(1001..=1070).collect();
    assert_eq!(all, expected);
    assert_eq!((link(&first, "prev"), link(&third, "next")), (None, None));
    let back = browser.get(&link(&third, "prev").unwrap()).await;
    assert_eq!(shown(&back), shown(&second));
    assert_eq!(
        browser.get(&link(&back, "prev").unwrap()).await.texts(".grid tbody th"),
        first.texts(".grid tbody th")
    );
    // The size is more than nothing.
    assert!(first.text(".lede").contains("KiB"), "{}", first.text(".lede"));
}

/// The lines of an exported file.
fn lines(page: &Page) -> Vec<serde_json::Value> {
    page.html.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_export_is_what_devices_see() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let server = TestApp::start().await;
        let app = with_kinds(&server, profile).await;
        let mut browser = owner(&server).await;
        let file = browser.get(&format!("{TABLE}/export.ndjson")).await;
        assert_eq!(
            file.headers["content-disposition"],
            "attachment; filename=\"kinds.ndjson\"; filename*=UTF-8''kinds.ndjson"
        );
        let mut exported: Vec<_> = Vec::new();
        for line in lines(&file) {
            exported.push((line["scope"].clone(), line["row_version"].clone(), line["row"].clone()));
        }
        let mut pulled = Vec::new();
        for scope in ["ada", "bob"] {
            let token = app.token(scope).await;
            let answer = crate::support::app::Answer::of(
                reqwest::Client::new()
                    .get(format!("{}/sync/pull?after_bundle_seq=0", app.base_url))
                    .bearer_auth(token)
                    .header("Oversync-Source-ID", "dev"),
            )
            .await;
            for bundle in answer.json()["bundles"].as_array().unwrap_or_else(|| panic!("{}", answer.text)) {
                for row in bundle["rows"].as_array().unwrap() {
                    pulled.push((scope.into(), row["row_version"].clone(), row["payload"].clone()));
                }
            }
        }
        assert_eq!(exported, pulled, "{profile}");
        let log = browser.get("/d/acme/audit").await;
        assert!(log.html.contains("rows.exported") && !log.html.contains("bread"), "{}", log.html);
    }
}

#[tokio::test]
async fn a_csv_file_quotes_what_must_be_and_defuses_formulas() {
    let server = TestApp::start().await;
    let app = server
        .create_app(
            WireProfile::Strings,
            "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, \"a,b\" TEXT, n INTEGER);",
        )
        .await;
    let row = |id: &str, text: Option<&str>, n: &str| ServerRow {
        table: "t".to_owned(),
        key: id.to_owned(),
        op: RowOp::Insert,
        values: vec![
            ("a,b".to_owned(), text.map(str::to_owned)),
            ("n".to_owned(), Some(n.to_owned()).filter(|n| !n.is_empty())),
        ],
        base_row_version: None,
    };
    let rows = vec![
        row("1", Some("=cmd|'/c calc'!A1"), "-5"),
        row("2", Some(""), ""),
        row("3", None, "1"),
        row("4", Some("a \"quoted\"\nline, and more"), "2"),
        row("5", Some("\\back"), "3"),
    ];
    write(&server, &app, "=ada", rows).await;
    let mut browser = owner(&server).await;
    let file = browser.get("/d/acme/notes/tables/t/export.csv").await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8; header=present");
    let expected = "_sync_scope,_sync_version,id,\"a,b\",n\n\
        \\=ada,1,1,\\=cmd|'/c calc'!A1,-5\n\
        \\=ada,1,2,\\,\n\
        \\=ada,1,3,,1\n\
        \\=ada,1,4,\"a \"\"quoted\"\"\nline, and more\",2\n\
        \\=ada,1,5,\\\\back,3\n";
    assert_eq!(file.html, expected);
    let some = browser.get("/d/acme/notes/tables/t/export.csv?column=n&test=more&value=1").await;
    assert_eq!(some.html.matches("=ada,1").count(), 2, "{}", some.html);
    let none = browser.get("/d/acme/notes/tables/t/export.ndjson?scope=bob").await;
    assert_eq!((none.status, none.html.as_str()), (StatusCode::OK, ""));
    let wrong = browser.get("/d/acme/notes/tables/t/export.csv?column=n&test=is&value=x").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_export_of_many_parts_has_every_row_once() {
    let server = TestApp::start().await;
    let app = server.create_app(WireProfile::Strings, DDL).await;
    let wide = "x".repeat(60_000);
    let rows = (1..=150).map(|n| kinds_row(n, &[("body", &wide)])).collect();
    write(&server, &app, "ada", rows).await;
    write(&server, &app, "bob", (1000..4500).map(|n| kinds_row(n, &[("small", "1")])).collect()).await;
    let mut browser = owner(&server).await;
    let file = browser.get(&format!("{TABLE}/export.ndjson")).await;
    let keys: Vec<_> =
        lines(&file).iter().map(|line| line["row"]["id"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<_> = (1..=150).chain(1000..4500).map(key).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn the_schema_is_drawn_with_a_link_to_every_table() {
    let server = TestApp::start().await;
    let ddl = "CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL, up TEXT REFERENCES parent (id));
        CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parent (id) ON DELETE CASCADE);
        CREATE TABLE alone (id TEXT PRIMARY KEY NOT NULL);";
    server.create_app(WireProfile::Strings, ddl).await;
    let mut browser = owner(&server).await;
    let map = browser.get("/d/acme/notes/schema/map").await;
    assert_eq!(map.status, StatusCode::OK);
    assert_eq!(map.texts("svg.schema-map .map-name").len(), 3);
    assert_eq!(map.texts("svg.schema-map path.map-arrow").len(), 2);
    assert_eq!(
        map.text(".map-words"),
        "parent.up names a row of parentchild.parent_id names a row of parent"
    );
    assert!(map.html.contains("href=\"/d/acme/notes/tables/alone\""));
}

/// The table's page, once PostgreSQL has counted so many rows written: it does so seconds after the commit.
async fn written(browser: &mut Browser, rows: &str) -> Page {
    for _ in 0..600 {
        let page = browser.get(TABLE).await;
        if page.texts("#chart-writes .chart-headline") == [rows] {
            return page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never: {rows} rows written. {}", browser.get(TABLE).await.html);
}

#[tokio::test]
async fn what_is_written_to_a_table_is_told_day_by_day() {
    let server = TestApp::start().await;
    let app = server.create_app(WireProfile::Strings, DDL).await;
    let mut browser = owner(&server).await;
    assert!(browser.get(TABLE).await.html.contains("Nothing was written in these 30 days."));
    write(&server, &app, "ada", vec![kinds_row(1, &[]), kinds_row(2, &[])]).await;
    written(&mut browser, "2").await;
    let (apps, schema) = (&server.state().databases.apps, app.app.app_id.schema());
    // As often as one likes: what was noted is not noted again.
    for _ in 0..2 {
        activity::note(apps, &schema, server.clock.now()).await.unwrap();
    }

    server.clock.advance(time::Duration::days(1));
    let mut gone = kinds_row(1, &[]);
    gone.op = RowOp::Delete;
    write(&server, &app, "ada", vec![gone]).await;
    let page = written(&mut browser, "3").await;
    // Inserted, changed, deleted: today's and yesterday's.
    let days = page.texts("#chart-writes tbody td");
    assert_eq!(days, ["0", "0", "1", "2", "0", "0"]);
    activity::note(apps, &schema, server.clock.now()).await.unwrap();
    let list = browser.get("/d/acme/notes/tables").await;
    assert_eq!(list.texts("tbody td[data-label='Rows written']"), ["3"], "{}", list.html);
}
