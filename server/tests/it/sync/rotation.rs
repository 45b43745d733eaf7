//! Source replacement: part of `POST sync/snapshot-sessions` (PROTOCOL.md section 5).

use serde_json::{Value, json};

use crate::support::sync_app::{Reply, SyncApp, SyncClient, insert};

async fn replace(device: &SyncClient, previous: &str, new: &str, reason: &str) -> Reply {
    let replacement = json!({"previous_source_id": previous, "new_source_id": new, "reason": reason});
    device.post("sync/snapshot-sessions", &json!({"source_replacement": replacement})).await
}

fn user(id: &str) -> Value {
    insert("users", id, json!({"name": id}))
}

#[tokio::test]
async fn a_rotation_retires_the_previous_source_and_reserves_the_new() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    device.push(1, &[user("a")]).await.ok();
    let session = replace(&device, "d1", "d2", "history_pruned").await.ok();
    assert_eq!(session["row_count"], 1);

    let refused = device.create(2, &[user("b")]).await;
    refused.refused(409, "source_retired");
    assert_eq!(refused.body["source_id"], "d1");
    assert_eq!(refused.body["replaced_by_source_id"], "d2");
    let sources = "select source_id, state, replaces_source_id, replaced_by_source_id, retired_reason
        from {schema}._sync_source order by source_id";
    assert_eq!(
        app.json_rows(sources).await,
        json!([
            {"source_id": "d1", "state": "retired", "replaces_source_id": null, "replaced_by_source_id": "d2",
             "retired_reason": "history_pruned"},
            {"source_id": "d2", "state": "reserved", "replaces_source_id": "d1", "replaced_by_source_id": null,
             "retired_reason": null},
        ])
    );
    // The new source counts from 1, and its first push makes it active.
    device.with_source("d2").push(1, &[user("b")]).await.ok();
    assert_eq!(app.json_rows(sources).await[1]["state"], "active");
}

#[tokio::test]
async fn a_rotation_may_be_asked_for_again() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    replace(&device, "d1", "d2", "source_sequence_changed").await.ok();
    replace(&device, "d1", "d2", "source_sequence_changed").await.ok();
    device.with_source("d2").push(1, &[user("b")]).await.ok();
    // A device that was told of its retirement adopts the successor that it is told.
    replace(&device, "d1", "d2", "source_retired").await.ok();
}

#[tokio::test]
async fn a_retired_source_cannot_go_on_as_another() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    replace(&device, "d1", "d2", "history_pruned").await.ok();
    let refused = replace(&device, "d1", "d3", "history_pruned").await;
    refused.refused(409, "source_retired");
    assert_eq!(refused.body["replaced_by_source_id"], "d2");
}

#[tokio::test]
async fn a_source_that_is_known_cannot_be_the_new_one() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    let other = device.with_source("d2");
    other.push(1, &[user("a")]).await.ok();
    replace(&device, "d1", "d2", "history_pruned").await.refused(409, "source_replacement_invalid");
    replace(&other, "d2", "d9", "history_pruned").await.ok();
    replace(&device, "d1", "d2", "history_pruned").await.refused(409, "source_replacement_invalid");
    replace(&device, "d1", "d9", "history_pruned").await.refused(409, "source_replacement_invalid");
    // Nothing of a refused rotation is done.
    device.push(1, &[user("b")]).await.ok();
    // Another scope's sources are none of ours.
    let elsewhere = app.connected("v", "d1").await;
    replace(&elsewhere, "d1", "d2", "history_pruned").await.ok();
}

#[tokio::test]
async fn a_replacement_that_contradicts_itself_is_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    for (previous, new, reason, named) in [
        ("d0", "d2", "history_pruned", "previous_source_id"),
        ("d1", "d1", "history_pruned", "new_source_id"),
        ("d1", "", "history_pruned", "new_source_id"),
        ("d1", "server:sql", "history_pruned", "new_source_id"),
        ("d1", "a b", "history_pruned", "new_source_id"),
        ("d1", "d2", "because", "reason"),
    ] {
        let message = replace(&device, previous, new, reason).await.refused(400, "snapshot_session_invalid");
        assert!(message.contains(named), "{message}");
    }
    let extra = json!({"source_replacement": {"previous_source_id": "d1", "new_source_id": "d2",
        "reason": "history_pruned", "more": 1}});
    device.post("sync/snapshot-sessions", &extra).await.refused(400, "snapshot_session_invalid");
    assert_eq!(app.json_rows("select 1 from {schema}._sync_source").await, json!([]));
}
