//! Rows inserted, edited and deleted from the dashboard, as devices get them.

use reqwest::StatusCode;
use serde_json::{Value, json};
use syncline::{sync::keys::RowOp, tables::spec::WireProfile};

use super::tables::{DDL, TABLE, key, kinds_row, owner, with_kinds, write};
use crate::support::{
    app::{Answer, TestApp, TestSyncApp},
    browser::{Browser, Page},
};

fn row_address(scope: &str, number: usize) -> String {
    format!("{TABLE}/row?scope={scope}&key={}", key(number))
}

const PREVIEW: &str = "/d/acme/notes/tables/kinds/row/preview";
const WRITE: &str = "/d/acme/notes/tables/kinds/row/write";

/// What a device of `scope` gets as bundle `seq`.
async fn bundle(app: &TestSyncApp, scope: &str, seq: i64) -> Vec<Value> {
    let request = reqwest::Client::new()
        .get(format!("{}/sync/committed-bundles/{seq}/rows", app.base_url))
        .bearer_auth(app.token(scope).await)
        .header("Oversync-Source-ID", "dev");
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["rows"].as_array().unwrap().clone()
}

/// Confirm what the page shows.
async fn confirm(browser: &mut Browser, preview: &Page) -> Page {
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.html);
    browser.post(WRITE, &preview.form(WRITE)).await
}

#[tokio::test]
async fn a_device_pulls_what_was_edited_and_nothing_else() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let server = TestApp::start().await;
        let app = with_kinds(&server, profile).await;
        let mut browser = owner(&server).await;
        let before = bundle(&app, "ada", 1).await[0]["payload"].clone();

        let fields = [
            ("value.body", "Eggs\r\nand \"flour\""),
            ("value.price", "11"),
            ("state.day", "null"),
            ("value.day", ""),
            ("value.flag", "true"),
        ];
        let preview = browser.submit(&row_address("ada", 1), PREVIEW, &fields).await;
        assert!(preview.html.contains("Eggs"), "{}", preview.html);
        // Columns that are not changed do not travel.
        assert!(
            !preview.form(WRITE).iter().any(|(name, _)| name == "value.small"),
            "{:?}",
            preview.form(WRITE)
        );
        let done = confirm(&mut browser, &preview).await;
        assert!(done.status.is_redirection(), "{}", done.html);

        let rows = bundle(&app, "ada", 2).await;
        assert_eq!(rows.len(), 1);
        assert_eq!((&rows[0]["op"], &rows[0]["key"]["id"]), (&json!("UPDATE"), &json!(key(1))));
        let mut expected = before;
        let price = if profile == WireProfile::Strings {
            json!("11.00")
        } else {
            serde_json::from_str("11.00").unwrap()
        };
        expected["body"] = json!("Eggs\nand \"flour\"");
        expected["day"] = Value::Null;
        expected["flag"] = rows[0]["payload"]["flag"].clone();
        assert_eq!(rows[0]["payload"]["price"], price);
        expected["price"] = price;
        assert_eq!(rows[0]["payload"], expected);
        assert_ne!(rows[0]["payload"]["flag"], bundle(&app, "ada", 1).await[0]["payload"]["flag"]);

        let log = browser.get("/d/acme/audit").await;
        assert!(log.html.contains("rows.written") && !log.html.contains("flour"), "{}", log.html);
    }
}

#[tokio::test]
async fn a_row_that_changed_in_between_is_shown_in_both_versions() {
    let server = TestApp::start().await;
    let app = with_kinds(&server, WireProfile::Strings).await;
    let mut browser = owner(&server).await;
    let mut form = browser.get(&row_address("ada", 1)).await.form(PREVIEW);
    form.retain(|(name, _)| name != "value.body");
    form.push(("value.body".to_owned(), "mine".to_owned()));
    let mut change = kinds_row(1, &[("body", "theirs"), ("small", "9")]);
    change.op = RowOp::Update;
    write(&server, &app, "ada", vec![change]).await;

    let conflict = browser.post(PREVIEW, &form).await;
    assert_eq!(conflict.status, StatusCode::CONFLICT, "{}", conflict.html);
    let body =
        conflict.texts(".compare tr.disputed").into_iter().find(|row| row.starts_with("body")).unwrap();
    assert_eq!(body, "body mine theirs", "{}", conflict.html);
    assert_eq!(conflict.texts("h1"), ["The row has changed meanwhile"]);

    // Over it, knowingly: only after another look.
    let preview = browser.post(PREVIEW, &conflict.form(PREVIEW)).await;
    assert!(preview.html.contains("theirs") && preview.html.contains("mine"), "{}", preview.html);
    // And between the preview and the write.
    let mut again = kinds_row(1, &[("body", "theirs again")]);
    again.op = RowOp::Update;
    write(&server, &app, "ada", vec![again]).await;
    let renewed = browser.post(WRITE, &preview.form(WRITE)).await;
    assert_eq!(renewed.status, StatusCode::CONFLICT, "{}", renewed.html);
    assert!(renewed.html.contains("theirs again"), "{}", renewed.html);

    let mut gone = kinds_row(1, &[]);
    gone.op = RowOp::Delete;
    write(&server, &app, "ada", vec![gone]).await;
    let conflict = browser.post(PREVIEW, &form).await;
    assert_eq!(conflict.texts("h1"), ["The row has been deleted meanwhile"]);
    assert_eq!(browser.get(&row_address("ada", 1)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_row_is_inserted_with_null_and_empty_text_apart_and_deleted_again() {
    let server = TestApp::start().await;
    let app = with_kinds(&server, WireProfile::Strings).await;
    let mut browser = owner(&server).await;
    let new = format!("{TABLE}/new");
    let fields = [
        ("scope", "carl"),
        ("key", &key(77)),
        ("state.body", "value"),
        ("value.body", ""),
        ("state.data", "value"),
        ("value.data", "0x00ff"),
        ("state.docb", "value"),
        ("value.docb", "{\"a\": [1]}"),
    ];
    let preview = browser.submit(&new, PREVIEW, &fields).await;
    let done = confirm(&mut browser, &preview).await;
    assert!(done.status.is_redirection(), "{}", done.html);
    let payload = bundle(&app, "carl", 1).await[0]["payload"].clone();
    assert_eq!(
        (&payload["body"], &payload["short"], &payload["data"]),
        (&json!(""), &Value::Null, &json!("AP8="))
    );

    // The same key again is no edit.
    let twice = browser.submit(&new, PREVIEW, &fields).await;
    assert_eq!(twice.status, StatusCode::CONFLICT, "{}", twice.html);

    let page = browser.get(&row_address("carl", 77)).await;
    let base = page.attribute("input[name=base]", "value").unwrap();
    let fields: Vec<(String, String)> = [
        ("csrf_token", page.csrf()),
        ("op", "DELETE".to_owned()),
        ("scope", "carl".to_owned()),
        ("key", key(77)),
        ("base", base),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let preview = browser.post(PREVIEW, &fields).await;
    let done = confirm(&mut browser, &preview).await;
    assert!(done.status.is_redirection(), "{}", done.html);
    assert_eq!(bundle(&app, "carl", 2).await[0]["op"], "DELETE");
}

#[tokio::test]
async fn what_is_wrong_is_said_at_the_field() {
    let server = TestApp::start().await;
    with_kinds(&server, WireProfile::Strings).await;
    let mut browser = owner(&server).await;
    let page = row_address("ada", 1);
    for (name, typed, sentence) in [
        ("small", "99999", "It must be from -32768 to 32767"),
        ("price", "1,5", "It must be a decimal number"),
        ("short", "much too long", "It must have at most 8 characters"),
        ("docb", "{", "It must be valid JSON"),
        ("at", "soon", "It must be an RFC 3339 time"),
        ("data", "0xz", "pairs of hex digits"),
        ("ref", "x", "It must be a UUID"),
        ("flag", "perhaps", "true or false"),
    ] {
        let field = format!("value.{name}");
        let refused = browser.submit(&page, PREVIEW, &[(&field, typed)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", refused.html);
        let errors = refused.texts(".field-error");
        assert!(errors.len() == 1 && errors[0].contains(sentence), "{name}: {errors:?}");
    }
    let both = browser.submit(&page, PREVIEW, &[("state.body", "null")]).await;
    assert!(both.text(".field-error").contains("something else is chosen"), "{}", both.html);
    let same = browser.submit(&page, PREVIEW, &[]).await;
    assert!(same.text(".notice.failed").contains("Nothing is changed"), "{}", same.html);
    let new = browser.submit(&format!("{TABLE}/new"), PREVIEW, &[("scope", ""), ("key", "x")]).await;
    assert!(
        new.error_at("scope").contains("user’s id") && new.error_at("key").contains("UUID"),
        "{}",
        new.html
    );
    let _ = DDL;
}
