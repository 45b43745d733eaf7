//! What devices do costs what they ask for, whatever else the app has: no hot path reads a table from end to end.

use futures_util::future::join_all;
use serde_json::json;
use syncline::{app::Syncline, ids::Chance, ops::config::Config};

use crate::support::{
    app::secret_key,
    scans::{assert_read_by_index, backends, scans, wait_for_backends},
    sync_app::{SyncApp, SyncClient, delete, insert, serve, update},
};

/// Tables that grow with what an app syncs. The others are small here, and a small table is rightly read whole: they hold
/// what is in flight, a row a synced table or version, or what is known of the few devices of this test.
const GROWING: [&str; 8] = [
    "_sync_scope",
    "_sync_source",
    "_sync_row",
    "_sync_bundle",
    "_sync_bundle_rows",
    "users",
    "notes",
    "comments",
];

/// Scopes of ten users with a note and a comment each, and one of many.
const FILL: &str = "
insert into {schema}.users (_sync_scope_id, id, name, email)
select case when n <= 10000 then 'scope-' || n % 1000 else 'big' end, 'u' || n, 'Ada', 'mail-' || n
from generate_series(1, 20000) n;
insert into {schema}.notes (_sync_scope_id, id, user_id, title)
select _sync_scope_id, 'n-' || id, id, 'A note' from {schema}.users;
insert into {schema}.comments (_sync_scope_id, id, note_id, body)
select _sync_scope_id, 'c-' || id, id, 'A comment' from {schema}.notes";

/// Everything that devices do all day.
async fn use_everything(device: &SyncClient, others: &[SyncClient]) {
    device.get("sync/capabilities").await.ok();
    device.connect(false).await.ok();
    let user =
        |n: usize| insert("users", &format!("new-{n}"), json!({"name": "Ada", "email": format!("new-{n}")}));

    // One row, a few, many, and all ways of changing them.
    device.push(1, &[user(0)]).await.ok();
    device.push(2, &(1..=5).map(user).collect::<Vec<_>>()).await.ok();
    device.push(3, &(100..=600).map(user).collect::<Vec<_>>()).await.ok();
    let note =
        insert("notes", "new", json!({"user_id": "new-0", "title": "x", "stars": null, "pinned": null}));
    let committed =
        device.push(4, &[note, insert("comments", "new", json!({"note_id": "new", "body": "y"}))]).await.ok();
    let seq = committed["bundle_seq"].as_i64().unwrap();
    device.push(5, &[update("users", "new-1", seq - 2, json!({"name": "Bea"}))]).await.ok();
    device.push(6, &[delete("users", "new-0", seq - 3)]).await.ok();
    device
        .push(7, &[update("users", "new-1", 1, json!({"name": "late"}))])
        .await
        .refused(409, "push_conflict");
    let twice = insert("users", "other", json!({"name": "Ada", "email": "new-3"}));
    device.push(7, &[twice]).await.refused(400, "push_commit_invalid");

    // Devices of many scopes at once: what goes together.
    join_all(others.iter().map(|other| async {
        for number in 1..=3 {
            let row = insert(
                "users",
                &format!("other-{number}"),
                json!({"name": "x", "email": format!("o-{number}")}),
            );
            let committed = other.push(number, &[row]).await.ok();
            other.bundle_rows(committed["bundle_seq"].as_i64().unwrap()).await;
        }
    }))
    .await;

    assert_eq!(device.bundle_rows(seq).await.as_array().unwrap().len(), 2);
    device.get("sync/pull?after_bundle_seq=0&max_bundles=2").await.ok();
    device.get(&format!("sync/pull?after_bundle_seq={seq}")).await.ok();
    let snapshot = others[0].post("sync/snapshot-sessions", &json!({})).await.ok();
    let chunk = format!("sync/snapshot-sessions/{}?max_rows=5", snapshot["snapshot_id"].as_str().unwrap());
    assert_eq!(others[0].get(&chunk).await.ok()["rows"].as_array().unwrap().len(), 5);
    others[0].delete(chunk.split('?').next().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hot_path_reads_a_table_from_end_to_end() {
    let app = SyncApp::strings().await;
    let pool = app.database.pool().await;
    let filler = app.database.databases().await;
    let idle = backends(&pool).await;
    let mut tx = filler.apps.begin(&app.app.schema()).await.unwrap();
    for sql in [FILL, "commit", "analyze"] {
        let sql = sql.replace("{schema}", app.app.schema().as_str());
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
    }
    drop(tx);
    filler.close().await;
    let device = app.device("big", "device").await;
    let mut others = Vec::new();
    for n in 0..24 {
        others.push(app.device(&format!("scope-{n}"), "device").await);
    }
    wait_for_backends(&pool, idle).await;
    let before = scans(&pool, app.app.schema().as_str()).await;

    let databases = app.database.databases().await;
    let server =
        Syncline::new(Config::default(), secret_key(), app.state.clock.clone(), Chance::seeded(3), databases);
    let base = serve(&server).await;
    let others: Vec<_> = others.iter().map(|other| other.at(&base)).collect();
    use_everything(&device.at(&base), &others).await;
    server.end().await;
    wait_for_backends(&pool, idle).await;

    let after = scans(&pool, app.app.schema().as_str()).await;
    assert_read_by_index(&GROWING, &before, &after);
}
