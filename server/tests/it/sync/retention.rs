//! Pruning: what goes, what stays, and what devices are told.

use serde_json::{Value, json};
use sqlx::Row;
use syncline::sync::retention::{Keep, Pruned};
use time::Duration;

use crate::support::sync_app::{SyncApp, SyncClient, insert};

/// Bundles `first..=last` of one new user each, by a device whose token is fresh.
async fn push(app: &SyncApp, scope: &str, first: i64, last: i64) -> SyncClient {
    let device = app.connected(scope, "d1").await;
    for n in first..=last {
        let row =
            insert("users", &format!("user-{n}"), json!({"name": format!("N{n}"), "email": format!("e{n}")}));
        device.push(n, &[row]).await.ok();
    }
    device
}

async fn prune(app: &SyncApp, min_bundles: i64, days: i64) -> Pruned {
    let keep = Keep { min_bundles, max_age: Duration::days(days) };
    app.state.engine.prune_history(&app.app.schema(), keep).await.unwrap()
}

async fn pulled(device: &SyncClient, after: i64) -> Vec<i64> {
    let page = device.get(&format!("sync/pull?after_bundle_seq={after}")).await.ok();
    page["bundles"].as_array().unwrap().iter().map(|bundle| bundle["bundle_seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_young_stays() {
    let app = SyncApp::strings().await;
    push(&app, "u", 1, 5).await;
    app.advance(Duration::days(40));
    let device = push(&app, "u", 6, 7).await;

    assert_eq!(prune(&app, 1, 60).await, Pruned::default());
    assert_eq!(prune(&app, 1, 30).await, Pruned { scopes: 1, bundles: 5 });
    assert_eq!(prune(&app, 1, 30).await, Pruned::default());
    device.get("sync/pull?after_bundle_seq=0").await.refused(409, "history_pruned");
    device.get("sync/pull?after_bundle_seq=5").await.refused(409, "history_pruned");
    device.get("sync/committed-bundles/5/rows").await.refused(409, "history_pruned");
    assert_eq!(pulled(&device, 6).await, [7]);
    let left = app.rows("select count(*) from {schema}._sync_bundle_rows").await;
    assert_eq!(left[0].get::<i64, _>(0), 2);
}

#[tokio::test]
async fn a_number_of_bundles_stays_whatever_their_age() {
    let app = SyncApp::strings().await;
    push(&app, "u", 1, 6).await;
    push(&app, "quiet", 1, 2).await;
    app.advance(Duration::days(400));
    let device = app.connected("u", "d1").await;

    assert_eq!(prune(&app, 4, 30).await, Pruned { scopes: 1, bundles: 2 });
    assert_eq!(pulled(&device, 3).await, [4, 5, 6]);
    // The latest stays even if nothing is asked to: it is the checkpoint of whoever rebuilds now.
    assert_eq!(prune(&app, 0, 30).await, Pruned { scopes: 2, bundles: 4 });
    assert_eq!(pulled(&device, 6).await, Vec::<i64>::new());
}

#[tokio::test]
async fn a_device_that_fell_below_the_floor_rebuilds_and_goes_on() {
    let app = SyncApp::strings().await;
    push(&app, "u", 1, 4).await;
    app.advance(Duration::days(40));
    prune(&app, 1, 30).await;

    let behind = app.connected("u", "d2").await;
    behind.get("sync/pull?after_bundle_seq=2").await.refused(409, "history_pruned");
    let session: Value = behind.post("sync/snapshot-sessions", &json!({})).await.ok();
    assert_eq!((&session["snapshot_bundle_seq"], &session["row_count"]), (&json!(4), &json!(4)));
    assert_eq!(pulled(&behind, 4).await, Vec::<i64>::new());
    let row = insert("users", "user-9", json!({"name": "N9", "email": "e9"}));
    behind.push(1, &[row]).await.ok();
    assert_eq!(pulled(&behind, 4).await, [5]);
    // The source that wrote the pruned bundles goes on counting where it was.
    push(&app, "u", 5, 5).await;
    assert_eq!(pulled(&behind, 5).await, [6]);
}
