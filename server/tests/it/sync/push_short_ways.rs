//! The short ways of a commit: one statement for a small push, one for a group of them. Nobody must be able to tell.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::sync_app::{SyncApp, SyncClient, delete, insert, update};

fn numbers(id: &str) -> Value {
    insert(
        "numeric_values",
        id,
        json!({
            "amount": "1234567890.123456789", "count": "2147483647", "enabled": "1",
            "large_count": "9007199254740993", "ratio": "1.2345678901234567", "score": "5e-324",
            "small_count": null,
        }),
    )
}

fn user(id: &str, email: &str) -> Value {
    insert("users", id, json!({"name": "Ada \u{1F600} \"\\<&>\u{2028}", "email": email}))
}

/// Everything that a scope's bundles left behind, without what names the scope or the time.
async fn left_behind(app: &SyncApp, scope: &str) -> Value {
    app.json_rows(&format!(
        "select jsonb_build_object(
            'bundle', b.bundle_seq, 'source', b.source_id, 'number', b.source_bundle_id, 'rows', b.row_count,
            'bytes', b.byte_count, 'hash', b.bundle_hash, 'request', b.request_hash, 'version', b.schema_version,
            'bodies', (
                select jsonb_agg(jsonb_build_array(r.first_ordinal, r.row_count, r.body, r.prior_versions))
                from {{schema}}._sync_bundle_rows r
                where r.scope_id = b.scope_id and r.bundle_seq = b.bundle_seq
            ),
            'versions', (
                select jsonb_agg(jsonb_build_array(v.table_no, v.key, v.deleted) order by v.table_no, v.key)
                from {{schema}}._sync_row v
                where v.scope_id = b.scope_id and v.row_version = b.bundle_seq
            )
         )
         from {{schema}}._sync_bundle b where b.scope_id = '{scope}' order by b.bundle_seq"
    ))
    .await
}

async fn nothing_is_staged(app: &SyncApp) {
    let left = app
        .rows(
            "select from {schema}._sync_push union all select from {schema}._sync_push_chunk
             union all select from {schema}._sync_effect union all select from {schema}._sync_pending",
        )
        .await;
    assert_eq!(left.len(), 0);
}

#[tokio::test]
async fn the_short_way_leaves_behind_what_the_long_way_does() {
    let app = SyncApp::strings().await;
    for rows in [vec![numbers("n-1")], vec![user("u1", "a"), user("u2", "b"), user("u3", "c")]] {
        let scopes = [format!("long-{}", rows.len()), format!("short-{}", rows.len())];
        // A push that initializes its scope takes the long way.
        let long = app.device(&scopes[0], "dev").await;
        let lease = long.connect(true).await.ok();
        let mut announcement = long.announcement(1, &rows);
        announcement["initialization_id"] = lease["initialization_id"].clone();
        let created = long.post("sync/push-sessions", &announcement).await.ok();
        let push_id = created["push_id"].as_str().unwrap();
        long.stage(push_id, 0, &rows).await.ok();
        let committed = long.commit(push_id).await.ok();

        let short = app.connected(&scopes[1], "dev").await;
        assert_eq!(short.push(1, &rows).await.ok(), committed);
        assert_eq!(left_behind(&app, &scopes[1]).await, left_behind(&app, &scopes[0]).await);
    }
    nothing_is_staged(&app).await;
}

#[tokio::test]
async fn rows_that_leave_columns_out_keep_their_defaults_and_their_values() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev").await;
    device.push(1, &[insert("notes", "n", json!({"title": "one"}))]).await.ok();
    assert_eq!(device.bundle_rows(1).await[0]["payload"]["pinned"], json!(false));
    device.push(2, &[update("notes", "n", 1, json!({"id": "n", "stars": "3"}))]).await.ok();
    let payload = device.bundle_rows(2).await[0]["payload"].clone();
    assert_eq!((&payload["title"], &payload["stars"]), (&json!("one"), &json!("3")));
}

#[tokio::test]
async fn a_small_push_that_is_refused_is_refused_as_ever() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev").await;
    device.push(1, &[user("u1", "a@b.c")]).await.ok();
    let twice = device.push(2, &[user("u2", "a@b.c")]).await;
    let message = twice.refused(400, "push_commit_invalid");
    assert!(message.contains("users") && message.contains("email"), "{message}");
    device.push(2, &[user("u1", "x")]).await.refused(409, "push_conflict");
    device.push(2, &[delete("users", "u9", 1)]).await.refused(409, "push_conflict");
    assert_eq!(device.push(2, &[delete("users", "u1", 1)]).await.ok()["bundle_seq"], 2);
    // Over a tombstone, and over none.
    device.push(3, &[user("u1", "x")]).await.refused(409, "push_conflict");
    let mut again = user("u1", "x");
    again["base_row_version"] = json!(2);
    assert_eq!(device.push(3, &[again]).await.ok()["bundle_seq"], 3);
    let cascade = insert("notes", "n", json!({"user_id": "u1", "title": "t", "stars": null, "pinned": "0"}));
    device.push(4, &[cascade]).await.ok();
    // Two effects of one row.
    assert_eq!(device.push(5, &[delete("users", "u1", 3)]).await.ok()["row_count"], 2);
}

/// Many users' devices, each with its row on the server already.
async fn crowd(app: &SyncApp, size: usize) -> Vec<SyncClient> {
    join_all((0..size).map(|n| async move {
        let device = app.connected(&format!("user-{n:02}"), "dev").await;
        device.push(1, &[user("u1", "a@b.c")]).await.ok();
        device
    }))
    .await
}

/// Stage all, then commit all at once.
async fn commit_together(devices: &[SyncClient], rows: impl Fn(usize) -> Value) -> Vec<(u16, Value)> {
    let staged = devices.iter().enumerate().map(|(n, device)| {
        let row = rows(n);
        async move { device.staged(2, &[row]).await }
    });
    let staged = join_all(staged).await;
    let commits = devices.iter().zip(&staged).map(|(device, push_id)| device.commit(push_id));
    join_all(commits).await.into_iter().map(|reply| (reply.status.as_u16(), reply.body)).collect()
}

#[tokio::test]
async fn commits_that_come_together_are_made_together_and_each_has_its_own_answer() {
    let app = SyncApp::strings().await;
    let devices = crowd(&app, 40).await;
    let alone = app.connected("alone", "dev").await;
    alone.push(1, &[user("u1", "a@b.c")]).await.ok();

    let answers = commit_together(&devices, |n| match n % 4 {
        0 => numbers("n-1"),
        1 => update("users", "u1", 1, json!({"id": "u1", "name": "Bob", "email": "b@b.c"})),
        2 => delete("users", "u1", 1),
        _ => user("u2", "c@b.c"),
    })
    .await;
    for (status, body) in &answers {
        assert_eq!((*status, &body["bundle_seq"], &body["row_count"]), (200, &json!(2), &json!(1)));
    }
    // As if it had been alone.
    let expected = alone.push(2, &[numbers("n-1")]).await.ok();
    assert_eq!(answers[0].1, expected);
    assert_eq!(left_behind(&app, "user-00").await, left_behind(&app, "alone").await);
    for device in &devices {
        let page = device.get("sync/pull?after_bundle_seq=1").await.ok();
        assert_eq!(page["bundles"].as_array().unwrap().len(), 1);
    }
    let transactions = app
        .rows("select distinct xmin::text from {schema}._sync_bundle where bundle_seq = 2 and scope_id <> 'alone'")
        .await;
    assert!(transactions.len() < devices.len(), "{} transactions", transactions.len());
    nothing_is_staged(&app).await;
}

#[tokio::test]
async fn one_commit_of_a_group_that_is_refused_spoils_no_other() {
    let app = SyncApp::strings().await;
    let devices = crowd(&app, 40).await;
    let answers = commit_together(&devices, |n| match n {
        // A unique value that is taken, and a row that is there already.
        7 => user("u2", "a@b.c"),
        11 => user("u1", "c@b.c"),
        _ => numbers("n-1"),
    })
    .await;
    for (n, (status, body)) in answers.iter().enumerate() {
        let code = body["error"].as_str().unwrap_or_default();
        match n {
            7 => assert_eq!((*status, code), (400, "push_commit_invalid")),
            11 => assert_eq!((*status, code), (409, "push_conflict")),
            _ => assert_eq!((*status, &body["bundle_seq"]), (200, &json!(2))),
        }
    }
    let bundles = app.rows("select count(*) as n from {schema}._sync_bundle where bundle_seq = 2").await;
    assert_eq!(bundles[0].get::<i64, _>("n"), 38);
}
