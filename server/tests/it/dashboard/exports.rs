//! Everything of a user, taken away: as lines of JSON, and as a SQLite file.

use reqwest::{Client, StatusCode};
use rusqlite::{Connection, types::Value as Sqlite};
use serde_json::Value as Json;
use sqlx::AssertSqlSafe;
use syncline::tables::spec::WireProfile;

use crate::support::app::{TestApp, TestSyncApp};

const DDL: &str = "
create table folder (id blob primary key not null, name text not null unique, parent blob references folder (id) on delete cascade);
create table note (
    id text primary key not null, folder_id blob not null references folder (id),
    n integer, r real, price numeric(8,3), done boolean, at datetime, body blob
);
";

/// Two users with the same rows; ada has more notes than one page.
async fn filled(app: &TestApp, profile: WireProfile) -> TestSyncApp {
    let notes = app.create_app(profile, DDL).await;
    let schema = notes.app.app_id.schema();
    let id = "0197f0c2-a4f8-7c3e-b1d2-f60a9be40000";
    for user in ["ada", "grace"] {
        let mut tx = app.state().databases.apps.begin(&schema).await.unwrap();
        for sql in [
            format!("insert into {schema}.folder (_sync_scope_id, id, name) values ('{user}', '{id}', 'f \"ü\"')"),
            format!(
                "insert into {schema}.note (_sync_scope_id, id, folder_id, n, r, price, done, at, body)
                 select '{user}', 'n' || g, '{id}', 9007199254740993, 0.1, 12.5, g % 2 = 0, '2026-01-01 10:00:00', '\\x00ff'
                 from generate_series(1, 300) g"
            ),
            format!("insert into {schema}.note (_sync_scope_id, id, folder_id) values ('{user}', 'empty', '{id}')"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    notes
}

/// A download by the owner: its bytes, and what it is called.
async fn download(app: &TestApp, path: &str) -> (StatusCode, String, Vec<u8>) {
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    let cookie = format!("syncline_session={}", browser.cookie().unwrap());
    let request = Client::new().get(format!("{}{path}", app.url())).header("cookie", cookie);
    let response = request.send().await.unwrap();
    let name = response.headers().get("content-disposition").map(|name| name.to_str().unwrap().to_owned());
    (response.status(), name.unwrap_or_default(), response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_users_rows_become_a_sqlite_file_with_the_apps_tables() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = TestApp::start().await;
        filled(&app, profile).await;
        let (status, name, bytes) = download(&app, "/d/acme/notes/users/ada/export.sqlite").await;
        assert_eq!((status, name.as_str()), (StatusCode::OK, "attachment; filename=\"ada.sqlite\""));
        let folder = crate::support::scratch::ScratchFolder::new("export");
        let path = folder.path().join("ada.sqlite");
        std::fs::write(&path, bytes).unwrap();
        let file = Connection::open(&path).unwrap();
        let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, Sqlite>(0)).unwrap();
        assert_eq!(one("pragma integrity_check"), Sqlite::Text("ok".to_owned()));
        assert_eq!(one("select count(*) from pragma_foreign_key_check"), Sqlite::Integer(0));
        assert_eq!(one("select count(*) from pragma_foreign_key_list('note')"), Sqlite::Integer(1));
        assert_eq!(one("select count(*) from note"), Sqlite::Integer(301));
        assert_eq!(one("select name from folder where length(id) = 16"), Sqlite::Text("f \"ü\"".to_owned()));
        assert_eq!(one("select n from note where id = 'n2'"), Sqlite::Integer(9_007_199_254_740_993));
        assert_eq!(one("select r from note where id = 'n2'"), Sqlite::Real(0.1));
        assert_eq!(one("select price from note where id = 'n2'"), Sqlite::Real(12.5));
        assert_eq!(one("select done from note where id = 'n2'"), Sqlite::Integer(1));
        assert_eq!(one("select body from note where id = 'n2'"), Sqlite::Blob(vec![0, 255]));
        assert_eq!(one("select at from note where id = 'empty'"), Sqlite::Null);
        assert!(
            file.execute("insert into note (id, folder_id) values ('n2', x'00')", []).is_err(),
            "keys are keys"
        );
    }
}

#[tokio::test]
async fn lines_of_json_hold_everything_and_say_that_they_are_whole() {
    let app = TestApp::start().await;
    filled(&app, WireProfile::Strings).await;
    let (status, name, bytes) = download(&app, "/d/acme/notes/users/ada/export.ndjson").await;
    assert_eq!((status, name.as_str()), (StatusCode::OK, "attachment; filename=\"ada.ndjson\""));
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(lines[0]["user"], "ada");
    assert_eq!(of("row").len(), 302);
    assert_eq!(of("row")[0]["table"], "folder", "parents first");
    assert_eq!(of("row")[0]["row_version"], 1);
    assert_eq!(of("bundle").len(), 1);
    let changes: usize = of("changes").iter().map(|line| line["rows"].as_array().unwrap().len()).sum();
    assert_eq!(changes, 302);
    let last = lines.last().unwrap();
    assert_eq!((last["kind"].as_str(), last["lines"].as_u64()), (Some("end"), Some(lines.len() as u64 - 2)));
    assert!(!text.contains("grace"));

    let (status, _, _) = download(&app, "/d/acme/notes/users/nobody/export.ndjson").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    assert!(browser.get("/d/acme/audit").await.html.contains("user.exported"));
}
