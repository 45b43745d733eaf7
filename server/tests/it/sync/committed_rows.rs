//! `GET sync/committed-bundles/{bundle_seq}/rows` (PROTOCOL.md section 3).

use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::sync_app::{SyncApp, insert, request_hash, without};

fn users(count: usize) -> Vec<Value> {
    (0..count).map(|i| insert("users", &format!("u{i}"), json!({"name": format!("a,\nb {i}")}))).collect()
}

#[tokio::test]
async fn pages_of_any_size_put_together_are_the_bundle() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let device = app.connected("ada", "dev-1").await;
        // More than a segment as they are stored.
        device.push(1, &users(1_203)).await.ok();
        let whole = device.bundle_rows(1).await;
        assert_eq!(whole.as_array().unwrap().len(), 1_203);
        for max_rows in [1_203, 1_000, 499, 500, 77] {
            let mut rows = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("sync/committed-bundles/1/rows?max_rows={max_rows}{cursor}");
                let page = device.get(&path).await.ok();
                let part = page["rows"].as_array().unwrap().clone();
                assert!(part.len() <= max_rows);
                rows.extend(part);
                assert_eq!(page["next_row_ordinal"], rows.len() - 1);
                assert_eq!(page["row_count"], 1_203);
                if page["has_more"] == false {
                    break;
                }
                cursor = format!("&after_row_ordinal={}", page["next_row_ordinal"]);
            }
            assert_eq!(Value::Array(rows), whole, "{max_rows}");
        }
    }
}

#[tokio::test]
async fn a_page_has_a_default_and_a_largest_size() {
    let app = SyncApp::start_with(WireProfile::Strings, crate::support::sync_app::tables(), |config| {
        config.limits.default_rows_per_committed_bundle_chunk = 3;
        config.limits.max_rows_per_committed_bundle_chunk = 5;
    })
    .await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &users(10)).await.ok();
    let count = async |query: &str| {
        let page = device.get(&format!("sync/committed-bundles/1/rows{query}")).await.ok();
        page["rows"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count("?max_rows=9223372036854775807").await, 5);
}

#[tokio::test]
async fn a_cursor_at_or_past_the_end_is_echoed() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = users(2);
    device.push(1, &rows).await.ok();
    for cursor in [1, 2, 4_000_000_000i64, i64::MAX] {
        let page =
            device.get(&format!("sync/committed-bundles/1/rows?after_row_ordinal={cursor}")).await.ok();
        assert_eq!(
            without(&page, &["bundle_hash"]),
            json!({
                "bundle_seq": 1, "source_id": "dev-1", "source_bundle_id": 1, "row_count": 2,
                "canonical_request_hash": request_hash(&rows), "rows": [], "next_row_ordinal": cursor,
                "has_more": false,
            })
        );
    }
}

#[tokio::test]
async fn the_servers_own_bundles_have_a_hash_of_zeros_or_none() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let device = app.connected("ada", "dev-1").await;
        app.sql("insert into {schema}.users (_sync_scope_id, id, name) values ('ada', 'u', 'Ada')")
            .await
            .unwrap();
        let page = device.get("sync/committed-bundles/1/rows").await.ok();
        assert_eq!(page["source_id"], "server:sql");
        match profile {
            WireProfile::Strings => assert_eq!(page["canonical_request_hash"], "0".repeat(64)),
            WireProfile::Numbers => assert!(page.get("canonical_request_hash").is_none()),
        }
    }
}

#[tokio::test]
async fn what_is_not_there_or_no_longer_is_named() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &users(1)).await.ok();
    device.push(2, &[insert("users", "v", json!({"name": "x"}))]).await.ok();
    let get = async |path: &str| device.get(&format!("sync/committed-bundles/{path}")).await;
    get("3/rows").await.refused(404, "committed_bundle_not_found");
    let stranger = app.device("eve", "dev-1").await;
    stranger.get("sync/committed-bundles/1/rows").await.refused(404, "committed_bundle_not_found");
    for bad in [
        "0/rows",
        "-1/rows",
        "x/rows",
        "1.5/rows",
        "99999999999999999999/rows",
        "1/rows?max_rows=0",
        "1/rows?max_rows=-1",
        "1/rows?max_rows=x",
        "1/rows?max_rows=",
        "1/rows?after_row_ordinal=-1",
        "1/rows?after_row_ordinal=x",
        "1/rows?after_row_ordinal=1&after_row_ordinal=2",
    ] {
        get(bad).await.refused(400, "committed_bundle_chunk_invalid");
    }
    app.sql(
        "update {schema}._sync_scope set floor_seq = 1;
         delete from {schema}._sync_bundle_rows where bundle_seq = 1;
         delete from {schema}._sync_bundle where bundle_seq = 1",
    )
    .await
    .unwrap();
    get("1/rows").await.refused(409, "history_pruned");
    get("2/rows").await.ok();
}
