//! Many devices at the same time: numbers without a gap, nothing twice, nobody starved.

use std::sync::Arc;

use serde_json::{Value, json};
use syncline::tables::spec::WireProfile;

use crate::support::sync_app::{SyncApp, insert, tables, update};

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_one_scope_at_once_are_numbered_without_a_gap() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-0").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let device = device.with_source(&format!("dev-{n}"));
        tasks.spawn(async move {
            let mut seqs = Vec::new();
            for bundle in 1..=4 {
                let row = insert("users", &format!("u-{n}-{bundle}"), json!({"name": "Ada"}));
                seqs.push(device.push(bundle, &[row]).await.ok()["bundle_seq"].as_i64().unwrap());
            }
            assert!(seqs.is_sorted());
            seqs
        });
    }
    let mut seqs: Vec<i64> = tasks.join_all().await.concat();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=64).collect::<Vec<_>>());
    assert_eq!(app.json_rows("select count(*) from {schema}.users").await, json!([{"count": 64}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_that_change_a_row_at_once_one_conflicts() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-0").await;
    device.push(1, &[insert("users", "u", json!({"name": "Ada"}))]).await.ok();
    for round in 1..=5 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 1..=2 {
            let device = device.with_source(&format!("dev-{round}-{n}"));
            tasks.spawn(async move {
                device.push(1, &[update("users", "u", round, json!({"name": "x"}))]).await.status.as_u16()
            });
        }
        let mut statuses = tasks.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_sent_many_times_at_once_applies_once() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-0").await;
    let push_id = device.staged(1, &[insert("users", "u", json!({"name": "Ada"}))]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (device, push_id) = (device.clone(), push_id.clone());
        tasks.spawn(async move { device.commit(&push_id).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
    assert_eq!(
        app.json_rows("select bundle_seq from {schema}._sync_scope").await,
        json!([{"bundle_seq": 1}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_of_one_push_at_once_leave_one_session() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-0").await;
    let rows = [insert("users", "u", json!({"name": "Ada"}))];
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (device, rows) = (device.clone(), rows.clone());
        tasks
            .spawn(async move { device.create(1, &rows).await.ok()["push_id"].as_str().unwrap().to_owned() });
    }
    let mut known = 0;
    for push_id in tasks.join_all().await {
        let reply = device.stage(&push_id, 0, &rows).await;
        match reply.status.as_u16() {
            200 => {
                known += 1;
                device.commit(&push_id).await.ok();
            }
            _ => drop(reply.refused(404, "push_session_not_found")),
        }
    }
    assert_eq!(known, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_commits_elsewhere_meanwhile_is_told() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-0").await;
    let push_id = device.staged(1, &[insert("users", "u", json!({"name": "Ada"}))]).await;
    // Another process with the same source id got ahead: a restored backup, say.
    app.sql(
        "insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
         values ('ada', 'dev-0', 'active', 1, now())",
    )
    .await
    .unwrap();
    device.commit(&push_id).await.refused(409, "source_sequence_changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_scope_holds_no_connections_from_others() {
    let app = Arc::new(SyncApp::start_with(WireProfile::Strings, tables(), |_| {}).await);
    let ada = app.connected("ada", "dev-0").await;
    let bob = app.connected("bob", "dev-0").await;
    // Somebody holds ada's lock, and more of her devices want to commit than there are connections.
    let mut lock = app.state.databases.apps.begin(&app.app.schema()).await.unwrap();
    let sql = format!("select from {}._sync_scope where scope_id = 'ada' for update", app.app.schema());
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *lock).await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..40 {
        let device = ada.with_source(&format!("dev-{n}"));
        let push_id = device.staged(1, &[insert("users", &format!("u{n}"), json!({"name": "Ada"}))]).await;
        waiting.spawn(async move { device.commit(&push_id).await });
    }
    for bundle in 1..=3 {
        let row: Value = insert("users", &format!("u{bundle}"), json!({"name": "Bob"}));
        bob.push(bundle, &[row]).await.ok();
    }
    lock.rollback().await.unwrap();
    for reply in waiting.join_all().await {
        reply.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_goes_on_when_its_client_has_gone() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-0").await;
    let push_id = device.staged(1, &[insert("users", "u", json!({"name": "Ada"}))]).await;
    let mut lock = app.state.databases.apps.begin(&app.app.schema()).await.unwrap();
    let sql = format!("select from {}._sync_scope where scope_id = 'ada' for update", app.app.schema());
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *lock).await.unwrap();
    let commit = {
        let device = device.clone();
        tokio::spawn(async move { device.commit(&push_id).await })
    };
    // Until it waits for the lock.
    let waiting =
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let owner = app.state.databases.apps.as_owner();
    while sqlx::query(waiting).fetch_all(owner).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    commit.abort();
    assert!(commit.await.unwrap_err().is_cancelled());
    lock.rollback().await.unwrap();
    while device.get("sync/committed-bundles/1/rows").await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        device.create(1, &[insert("users", "u", json!({"name": "Ada"}))]).await.ok()["status"],
        "already_committed"
    );
}
