//! An app's tables through the door: filters over every type, pages, files, edits.

use std::sync::Arc;

use reqwest::StatusCode;
use syncline::{
    ids::{ScopeId, SourceId},
    sync::{
        keys::RowOp,
        server_write::{ServerRow, ServerWriter},
    },
    tables::spec::WireProfile,
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
