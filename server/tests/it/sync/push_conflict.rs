//! Conflicts: what the device is told, what the ledger keeps, and how they end (PROTOCOL.md section 3).

use std::sync::Arc;

use serde_json::{Value, json};
use syncline::{
    ids::{ScopeId, SourceId},
    sync::conflict::DeviceProgress,
};

use crate::support::sync_app::{SyncApp, delete, insert, row, update};

async fn ledger(app: &SyncApp) -> Value {
    app.json_rows(
        "select source_id, user_id, source_bundle_id, key, op, client_payload::jsonb as client, base_row_version as base,
            base_payload::jsonb as base_row, server_row_version as server, server_row_deleted as deleted,
            server_payload::jsonb as server_row, server_source_id, attempts
         from {schema}._sync_conflict
         order by key",
    )
    .await
}

/// Settle, and answer the outcome of every conflict by its key.
async fn settle(app: &SyncApp, source: &str, pulled_seq: i64) -> Value {
    let device = DeviceProgress {
        scope: ScopeId::parse("ada").unwrap(),
        source: SourceId::parse_device(source).unwrap(),
        pulled_seq,
    };
    let catalog = Arc::new(app.catalog().await);
    app.state.engine.settle_conflicts(&catalog, &[device]).await.unwrap();
    app.json_rows("select key, outcome, settled_seq as seq from {schema}._sync_conflict order by key").await
}

#[tokio::test]
async fn every_kind_of_conflict_is_told_with_the_servers_row() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "u1", json!({"name": "Ada", "email": "a@x"}))]).await.ok();
    device.push(2, &[insert("users", "u2", json!({"name": "Bob"}))]).await.ok();
    device.push(3, &[delete("users", "u2", 2)]).await.ok();

    let ada = json!({"id": "u1", "name": "Ada", "email": "a@x"});
    let none = Value::Null;
    let cases = [
        // What is pushed, the server's version, whether deleted, the server's row.
        (insert("users", "u1", json!({"name": "x"})), 1, false, &ada),
        (row("users", "INSERT", "u1", 1, json!({"name": "x"})), 1, false, &ada),
        (row("users", "INSERT", "u9", 1, json!({"name": "x"})), 0, false, &none),
        (insert("users", "u2", json!({"name": "x"})), 3, true, &none),
        (row("users", "INSERT", "u2", 2, json!({"name": "x"})), 3, true, &none),
        (update("users", "u1", 2, json!({"name": "x"})), 1, false, &ada),
        (update("users", "u1", 0, json!({"name": "x"})), 1, false, &ada),
        (update("users", "u2", 3, json!({"name": "x"})), 3, true, &none),
        (update("users", "u9", 0, json!({"name": "x"})), 0, false, &none),
        (delete("users", "u1", 9), 1, false, &ada),
        (delete("users", "u2", 3), 3, true, &none),
        (delete("users", "u9", 0), 0, false, &none),
    ];
    for (pushed, server_version, deleted, server_row) in cases {
        let reply = device.push(4, std::slice::from_ref(&pushed)).await;
        let message = reply.refused(409, "push_conflict");
        for named in [pushed["op"].as_str().unwrap(), "users", pushed["key"]["id"].as_str().unwrap()] {
            assert!(message.contains(named), "{message}");
        }
        assert_eq!(
            reply.body["conflict"],
            json!({
                "schema": "business", "table": "users", "key": pushed["key"], "op": pushed["op"],
                "base_row_version": pushed["base_row_version"], "server_row_version": server_version,
                "server_row_deleted": deleted, "server_row": server_row,
            }),
            "{pushed}"
        );
    }
    assert_eq!(
        app.json_rows("select bundle_seq from {schema}._sync_scope").await,
        json!([{"bundle_seq": 3}])
    );
}

#[tokio::test]
async fn the_servers_row_loses_no_digit_in_profile_numbers() {
    let app = SyncApp::numbers().await;
    let device = app.connected("ada", "dev-1").await;
    app.sql(
        "insert into {schema}.numeric_values (_sync_scope_id, id, amount, large_count)
         values ('ada', 'n', 1234567890.1234567891, 9007199254740993)",
    )
    .await
    .unwrap();
    let reply = device.push(1, &[update("numeric_values", "n", 0, json!({"count": 1}))]).await;
    reply.refused(409, "push_conflict");
    assert!(reply.text.contains("\"amount\":1234567890.1234567891,"), "{}", reply.text);
    assert!(reply.text.contains("\"large_count\":9007199254740993,"), "{}", reply.text);
}

#[tokio::test]
async fn the_first_row_in_upload_order_is_told_and_all_are_kept() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows: Vec<_> =
        ["a", "b", "c", "d"].iter().map(|id| insert("users", id, json!({"name": id, "email": id}))).collect();
    device.push(1, &rows).await.ok();
    let other = device.with_source("dev-2");
    let theirs = [update("users", "b", 1, json!({"name": "B"})), delete("users", "d", 1)];
    other.push(1, &theirs).await.ok();

    let mine = [
        delete("users", "d", 1),
        update("users", "a", 1, json!({"name": "mine"})),
        update("users", "b", 1, json!({"name": "mine"})),
        insert("users", "c", json!({"name": "mine"})),
    ];
    let push_id = device.staged(2, &mine).await;
    for _ in 0..2 {
        let reply = device.commit(&push_id).await;
        reply.refused(409, "push_conflict");
        assert_eq!(reply.body["conflict"]["key"], json!({"id": "d"}));
    }
    let common = |mut kept: Value| {
        for (member, value) in [("source_id", json!("dev-1")), ("user_id", json!("ada"))] {
            kept[member] = value;
        }
        kept["source_bundle_id"] = json!(2);
        kept["attempts"] = json!(2);
        kept
    };
    assert_eq!(
        ledger(&app).await,
        json!([
            common(json!({
                "key": "b", "op": "UPDATE", "client": {"name": "mine"}, "base": 1,
                "base_row": {"id": "b", "name": "b", "email": "b"}, "server": 2, "deleted": false,
                "server_row": {"id": "b", "name": "B", "email": "b"}, "server_source_id": "dev-2",
            })),
            common(json!({
                "key": "c", "op": "INSERT", "client": {"id": "c", "name": "mine"}, "base": 0, "base_row": null,
                "server": 1, "deleted": false, "server_row": {"id": "c", "name": "c", "email": "c"},
                "server_source_id": "dev-1",
            })),
            common(json!({
                "key": "d", "op": "DELETE", "client": null, "base": 1,
                "base_row": {"id": "d", "name": "d", "email": "d"}, "server": 2, "deleted": true, "server_row": null,
                "server_source_id": "dev-2",
            })),
        ])
    );
}

#[tokio::test]
async fn a_base_that_is_no_longer_retained_is_left_out() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "a", json!({"name": "x"}))]).await.ok();
    device.push(2, &[update("users", "a", 1, json!({"name": "y"}))]).await.ok();
    app.sql(
        "update {schema}._sync_scope set floor_seq = 1;
         delete from {schema}._sync_bundle_rows where bundle_seq = 1;
         delete from {schema}._sync_bundle where bundle_seq = 1",
    )
    .await
    .unwrap();
    device.push(3, &[update("users", "a", 1, json!({"name": "z"}))]).await.refused(409, "push_conflict");
    let kept = ledger(&app).await;
    assert_eq!((&kept[0]["base_row"], &kept[0]["server_source_id"]), (&json!(null), &json!("dev-1")));
}

#[tokio::test]
async fn a_conflict_ends_as_its_device_went_on() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let number =
        |id: &str, amount: &str| insert("numeric_values", id, json!({"amount": amount, "enabled": "0"}));
    device.push(1, &[number("kept", "1"), number("left", "1"), number("merged", "1")]).await.ok();
    let other = device.with_source("dev-2");
    let change = |id: &str, version: i64, amount: &str| {
        update("numeric_values", id, version, json!({"amount": amount, "enabled": "1"}))
    };
    other.push(1, &[change("kept", 1, "2"), change("left", 1, "2"), change("merged", 1, "2")]).await.ok();
    let mine = [change("kept", 1, "3.50"), change("left", 1, "3.50"), change("merged", 1, "3.50")];
    device.push(2, &mine).await.refused(409, "push_conflict");

    // Nothing yet: the device has only pulled what it had already.
    let open = |key: &str| json!({"key": key, "outcome": null, "seq": null});
    assert_eq!(settle(&app, "dev-1", 1).await, json!([open("kept"), open("left"), open("merged")]));
    assert_eq!(settle(&app, "dev-2", 2).await, json!([open("kept"), open("left"), open("merged")]));

    device.push(2, &[change("kept", 2, "3.50"), change("merged", 2, "5.50")]).await.ok();
    assert_eq!(
        settle(&app, "dev-1", 0).await,
        json!([
            {"key": "kept", "outcome": "kept_local", "seq": 3},
            {"key": "left", "outcome": "accepted_server", "seq": 3},
            {"key": "merged", "outcome": "merged", "seq": 3},
        ])
    );
}

#[tokio::test]
async fn a_device_that_downloads_past_a_conflict_has_accepted_the_server() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device
        .push(1, &[insert("users", "a", json!({"name": "x"})), insert("users", "b", json!({"name": "x"}))])
        .await
        .ok();
    device.with_source("dev-2").push(1, &[update("users", "a", 1, json!({"name": "y"}))]).await.ok();
    device.push(2, &[delete("users", "a", 1)]).await.refused(409, "push_conflict");
    let settled = settle(&app, "dev-1", 2).await;
    assert_eq!(settled, json!([{"key": "a", "outcome": "accepted_server", "seq": 2}]));
}

#[tokio::test]
async fn a_delete_that_is_pushed_again_was_kept_and_a_retired_device_gave_up() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "a", json!({"name": "x"}))]).await.ok();
    let other = device.with_source("dev-2");
    other.push(1, &[update("users", "a", 1, json!({"name": "y"}))]).await.ok();
    device.push(2, &[delete("users", "a", 1)]).await.refused(409, "push_conflict");
    device.push(2, &[delete("users", "a", 2)]).await.ok();
    assert_eq!(settle(&app, "dev-1", 0).await, json!([{"key": "a", "outcome": "kept_local", "seq": 3}]));

    other.push(2, &[update("users", "a", 2, json!({"name": "z"}))]).await.refused(409, "push_conflict");
    let bad = [insert("users", "c", json!({"name": null}))];
    other.push(2, &bad).await.refused(400, "push_commit_invalid");
    app.sql("update {schema}._sync_source set state = 'retired' where source_id = 'dev-2'").await.unwrap();
    settle(&app, "dev-2", 0).await;
    let outcomes =
        app.json_rows("select outcome from {schema}._sync_conflict where source_id = 'dev-2'").await;
    assert_eq!(outcomes, json!([{"outcome": "gave_up"}]));
    let inbox = app.json_rows("select state from {schema}._sync_rejected_write").await;
    assert_eq!(inbox, json!([{"state": "resolved"}]));
}
