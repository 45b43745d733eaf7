//! Publishing tables over the API.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::app::{Answer, TestApp, TestSyncApp};

const NOTES: &str = "create table notes (id text primary key not null, title text not null);";
const NOTES_AND_TAGS: &str =
    "create table notes (id text primary key not null, title text not null, body text);
    create table tags (id text primary key not null);";

async fn publish(app: &TestSyncApp, body: Value) -> Answer {
    app.call(Method::POST, "api/schema", &app.secret_key, Some(body)).await
}

#[tokio::test]
async fn tables_are_published_version_by_version_and_every_node_serves_them() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let there = app.another_node().await;
    let elsewhere = TestSyncApp { base_url: notes.base_url.replace(app.url(), &there.url), ..notes.clone() };
    let read = async || elsewhere.call(Method::GET, "api/schema", &notes.secret_key, None).await.json();
    assert_eq!(read().await, json!({ "version": 0, "logical_schema": "main", "tables": [] }));

    let first = publish(&notes, json!({ "ddl": NOTES })).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    assert_eq!((&first.json()["version"], &first.json()["changed"]), (&json!(1), &json!(true)));
    assert_eq!(first.json()["mappings"][0]["declared"], "TEXT");
    let again = publish(&notes, json!({ "ddl": NOTES })).await.json();
    assert_eq!((&again["version"], &again["changed"]), (&json!(1), &json!(false)));

    let dry = publish(&notes, json!({ "ddl": NOTES_AND_TAGS, "dry_run": true })).await.json();
    assert_eq!((&dry["version"], &dry["changed"]), (&json!(2), &json!(true)));
    assert_eq!(read().await["version"], 1);
    let second = publish(&notes, json!({ "ddl": NOTES_AND_TAGS, "base_version": 1 })).await;
    assert_eq!(second.json()["version"], 2, "{}", second.text);
    assert_eq!(read().await["version"], 2);

    there.state.directory.poll().await.unwrap();
    let live = there.state.directory.find("acme", "notes").await.unwrap().unwrap();
    assert_eq!(live.catalog.schema_version, 2);
    let listed = app.state().control.apps(notes.owner.tenant.tenant_id).await.unwrap();
    assert_eq!(listed[0].schema_version, 2);
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_with_places_and_reasons() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, NOTES).await;
    let broken = publish(&notes, json!({ "ddl": "create table t (id text);" })).await;
    assert_eq!((broken.status, broken.code().as_str()), (StatusCode::BAD_REQUEST, "schema_invalid"));
    let problem = &broken.json()["problems"][0];
    assert!(problem["line"].is_number() && problem["remedy"].is_string(), "{problem}");

    let breaking = json!({ "ddl": "create table notes (id text primary key not null);" });
    let refused = publish(&notes, breaking).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "schema_incompatible"));
    assert_eq!(refused.json()["refusals"][0]["table"], "notes");

    let outdated = publish(&notes, json!({ "ddl": NOTES_AND_TAGS, "base_version": 0 })).await;
    assert_eq!((outdated.status, outdated.code().as_str()), (StatusCode::CONFLICT, "schema_outdated"));
    for body in [json!({}), json!({ "ddl": 1 }), json!({ "ddl": NOTES, "dialect": "oracle" })] {
        assert_eq!(publish(&notes, body).await.code(), "invalid_request");
    }
    for text in ["", "select 1", "create table x (id text primary key not null\u{0})", "drop table notes"] {
        let answer = publish(&notes, json!({ "ddl": text })).await;
        assert_eq!(answer.code(), "schema_invalid", "{text:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_publication_that_a_process_did_not_end_is_settled() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, NOTES).await;
    let pool = app.pool().await;
    // As it is when a process dies after publishing and before saying so.
    sqlx::query("update platform.app set schema_version = 0, publishing_since = $1")
        .bind(app.clock.now())
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("update platform.change set number = number + 1").execute(&pool).await.unwrap();
    app.state().directory.poll().await.unwrap();
    let live = app.state().directory.find("acme", "notes").await.unwrap().unwrap();
    assert_eq!(live.catalog.schema_version, 1, "served, though not cached");

    let control = &app.state().control;
    assert_eq!(control.settle_publications().await.unwrap(), 0, "it may still be under way");
    app.clock.advance(time::Duration::minutes(2));
    assert_eq!(control.settle_publications().await.unwrap(), 1);
    let listed = control.apps(notes.owner.tenant.tenant_id).await.unwrap();
    assert_eq!(listed[0].schema_version, 1);
    assert_eq!(control.settle_publications().await.unwrap(), 0);
}
