//! `GET sync/capabilities`, `syncx/health` and `syncx/status` (PROTOCOL.md section 8).

use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::sync_app::{Reply, SyncApp, table, tables};

#[tokio::test]
async fn a_base_url_may_end_with_a_slash() {
    let app = SyncApp::strings().await;
    let device = app.device("u", "d").await;
    let without = device.get("sync/capabilities").await.ok();
    assert_eq!(device.get("/sync/capabilities").await.ok(), without);
    device.post("/sync/connect", &json!({"has_local_pending_rows": false})).await.ok();
    assert_eq!(device.get("/sync/pull?after_bundle_seq=0").await.ok()["bundles"], json!([]));
    device.get("sync//pull?after_bundle_seq=0").await.refused(404, "not_found");
}

#[tokio::test]
async fn clients_are_told_tables_features_and_limits() {
    let app = SyncApp::strings().await;
    let device = app.device("u", "d").await;
    let capabilities = device.get("sync/capabilities").await.ok();
    assert_eq!(capabilities["protocol_version"], "v1");
    assert_eq!(capabilities["schema_version"], 1);
    assert_eq!(capabilities["app_name"], "Notes");
    let names = ["comments", "notes", "numeric_values", "things", "users"];
    let tables: Vec<String> = names.iter().map(|name| format!("business.{name}")).collect();
    assert_eq!(capabilities["registered_tables"], json!(tables));
    let specs: Vec<Value> = names
        .iter()
        .map(|name| json!({"schema": "business", "table": name, "sync_key_columns": ["id"]}))
        .collect();
    assert_eq!(capabilities["registered_table_specs"], json!(specs));

    let features = capabilities["features"].as_object().unwrap();
    assert_eq!(features.len(), 11);
    assert!(features.values().all(|feature| feature == &json!(true)));
    let limits = capabilities["bundle_limits"].as_object().unwrap();
    assert_eq!(limits.len(), 21);
    assert!(limits.values().all(|limit| limit.as_i64().unwrap() > 0));
    for (name, limit) in [
        ("max_bundles_per_pull", 5_000),
        ("default_rows_per_push_chunk", 1_000),
        ("max_rows_per_push_chunk", 5_000),
        ("default_rows_per_committed_bundle_chunk", 1_000),
        ("max_rows_per_committed_bundle_chunk", 5_000),
        ("default_rows_per_snapshot_chunk", 1_000),
        ("max_rows_per_snapshot_chunk", 5_000),
        ("default_bytes_per_snapshot_chunk", 4_194_304),
        ("max_bytes_per_snapshot_chunk", 16_777_216),
        ("max_bytes_per_snapshot_row", 4_194_304),
        ("push_session_ttl_seconds", 900),
        ("snapshot_session_ttl_seconds", 900),
        ("initialization_lease_ttl_seconds", 900),
    ] {
        assert_eq!(limits[name], limit, "{name}");
    }
}

#[tokio::test]
async fn a_new_version_of_the_tables_is_told() {
    let app = SyncApp::numbers().await;
    let device = app.device("u", "d").await;
    let mut more = tables();
    more.as_array_mut().unwrap().push(table("a_new_one", vec![]));
    app.publish(more).await;
    app.state.directory.poll().await.unwrap();
    let capabilities = device.get("sync/capabilities").await.ok();
    assert_eq!(capabilities["registered_tables"][0], "business.a_new_one");
    assert_eq!(capabilities["schema_version"], 2);
}

#[tokio::test]
async fn capabilities_need_a_token_and_tell_when_watching_is_off() {
    let app =
        SyncApp::start_with(WireProfile::Strings, tables(), |config| config.limits.max_watch_streams = 0)
            .await;
    let mut device = app.device("u", "d").await;
    let features = device.get("sync/capabilities").await.ok()["features"].clone();
    assert_eq!(features["bundle_change_watch"], false);
    device.token.clear();
    device.get("sync/capabilities").await.refused(401, "authentication_failed");
}

#[tokio::test]
async fn health_and_status_need_no_token() {
    let app = SyncApp::strings().await;
    let get = |path: &str| Reply::of(reqwest::Client::new().get(format!("{}/{path}", app.base)));
    assert_eq!(get("syncx/health").await.ok(), json!({"status": "healthy", "lifecycle": "running"}));
    assert_eq!(
        get("syncx/status").await.ok(),
        json!({"status": "healthy", "lifecycle": "running", "app_name": "Notes", "protocol_version": "v1",
            "schema_version": 1})
    );
    let elsewhere = app.base.replace("/notes", "/nothing");
    let missing = Reply::of(reqwest::Client::new().get(format!("{elsewhere}/syncx/health"))).await;
    missing.refused(404, "not_found");
}
