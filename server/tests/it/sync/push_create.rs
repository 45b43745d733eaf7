//! `POST sync/push-sessions` and `DELETE sync/push-sessions/{push_id}` (PROTOCOL.md section 3).

use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;

use crate::support::sync_app::{Reply, SyncApp, SyncClient, insert, request_hash, without};

fn user(id: &str) -> [Value; 1] {
    [insert("users", id, json!({"name": "Ada"}))]
}

/// A device that was told to fill its scope, and the id it was given.
async fn leased(app: &SyncApp, source: &str) -> (SyncClient, String) {
    leased_as(app, "ada", source).await
}

async fn leased_as(app: &SyncApp, user: &str, source: &str) -> (SyncClient, String) {
    let device = app.device(user, source).await;
    let answer = device.connect(true).await.ok();
    (device, answer["initialization_id"].as_str().unwrap().to_owned())
}

async fn create_with(device: &SyncClient, initialization_id: &str) -> Reply {
    let mut body = device.announcement(1, &user("u"));
    body["initialization_id"] = json!(initialization_id);
    device.post("sync/push-sessions", &body).await
}

#[tokio::test]
async fn a_new_push_is_staging() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let created = device.create(1, &user("u")).await.ok();
    let push_id = created["push_id"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(push_id).unwrap().to_string(), push_id);
    assert_eq!(
        without(&created, &["push_id"]),
        json!({
            "status": "staging", "planned_row_count": 1, "next_expected_row_ordinal": 0,
            "canonical_request_hash": request_hash(&user("u")),
        })
    );
}

#[tokio::test]
async fn in_profile_numbers_no_hash_is_needed() {
    let app = SyncApp::numbers().await;
    let device = app.connected("ada", "dev-1").await;
    let created = device.create(1, &user("u")).await.ok();
    assert_eq!(
        without(&created, &["push_id"]),
        json!({"status": "staging", "planned_row_count": 1, "next_expected_row_ordinal": 0})
    );
    let body = json!({"source_bundle_id": 1, "planned_row_count": 1, "canonical_request_hash": "xyz"});
    device.post("sync/push-sessions", &body).await.refused(400, "push_session_invalid");
}

#[tokio::test]
async fn a_newer_push_of_the_same_number_replaces_the_older() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let first = device.staged(1, &user("u")).await;
    let second = device.staged(1, &user("v")).await;
    device.stage(&first, 0, &user("u")).await.refused(404, "push_session_not_found");
    device.commit(&first).await.refused(404, "push_session_not_found");
    device.commit(&second).await.ok();
    assert_eq!(device.bundle_rows(1).await[0]["key"], json!({"id": "v"}));
    // Nothing of the first is left behind.
    assert_eq!(app.json_rows("select * from {schema}._sync_push_chunk").await, json!([]));
}

#[tokio::test]
async fn a_push_whose_answer_was_lost_is_found_committed() {
    for app in [SyncApp::strings().await, SyncApp::numbers().await] {
        let device = app.connected("ada", "dev-1").await;
        let push_id = device.staged(1, &user("u")).await;
        let committed = device.commit(&push_id).await.ok();
        // The device heard nothing and commits again.
        device.commit(&push_id).await.refused(404, "push_session_not_found");
        let again = device.create(1, &user("u")).await.ok();
        assert_eq!(again["status"], "already_committed");
        assert_eq!(without(&again, &["status"]), committed);
        assert_eq!(app.rows("select 1 from {schema}._sync_bundle").await.len(), 1);
    }
}

#[tokio::test]
async fn a_number_that_was_committed_with_other_rows_is_out_of_order() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &user("u")).await.ok();
    device.push(2, &user("v")).await.ok();
    // Restored from a backup: it has counted to 2 before, and knows nothing of it.
    for taken in [1, 2] {
        let message = device.create(taken, &user("other")).await.refused(409, "source_sequence_out_of_order");
        assert!(message.contains("other rows") && message.contains(&taken.to_string()), "{message}");
    }
    // Even if it believes that its scope is to be filled: a gate would keep it from hearing what is wrong.
    let id = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
    let mut body = device.announcement(1, &user("other"));
    body["initialization_id"] = json!(id);
    device.post("sync/push-sessions", &body).await.refused(409, "source_sequence_out_of_order");
    // It goes on as a new source, for just this reason, and keeps its rows.
    device.rotate("dev-1b").await.ok();
    device.with_source("dev-1b").push(1, &user("other")).await.ok();
    device.create(2, &user("other")).await.refused(409, "source_retired");
    assert_eq!(app.rows("select 1 from {schema}._sync_bundle").await.len(), 3);

    // Where nobody announces hashes, what was committed counts.
    let app = SyncApp::numbers().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &user("u")).await.ok();
    assert_eq!(device.create(1, &user("other")).await.ok()["status"], "already_committed");
}

#[tokio::test]
async fn a_source_that_the_scope_does_not_know_begins_with_any_number() {
    let app = SyncApp::strings().await;
    // Somebody else was signed in on the device before.
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &user("u")).await.ok();
    let device = app.connected("eve", "dev-1").await;
    let first = device.staged(7, &user("u")).await;
    let committed = device.commit(&first).await.ok();
    assert_eq!((&committed["source_bundle_id"], &committed["bundle_seq"]), (&json!(7), &json!(1)));
    // From there on it is as any other.
    let again = device.create(7, &user("u")).await.ok();
    assert_eq!(again["status"], "already_committed");
    assert_eq!(without(&again, &["status"]), committed);
    device.create(6, &user("v")).await.refused(409, "history_pruned");
    device.create(9, &user("v")).await.refused(409, "source_sequence_out_of_order");
    device.push(8, &user("v")).await.ok();
    // And so is one whose scope is to be filled.
    let (device, id) = leased_as(&app, "bob", "dev-1").await;
    let mut body = device.announcement(12, &user("u"));
    body["initialization_id"] = json!(id);
    let created = device.post("sync/push-sessions", &body).await.ok();
    let push_id = created["push_id"].as_str().unwrap();
    device.stage(push_id, 0, &user("u")).await.ok();
    device.commit(push_id).await.ok();
    device.push(13, &user("v")).await.ok();
}

#[tokio::test]
async fn a_source_begins_once() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let staged = device.staged(5, &user("u")).await;
    // A copy of the device, which has counted further.
    let message = device.create(7, &user("v")).await.refused(409, "source_sequence_out_of_order");
    assert!(message.contains('5'), "{message}");
    device.create(4, &user("v")).await.refused(409, "history_pruned");
    device.commit(&staged).await.ok();

    // Announcements at once: one number is begun with, the others are not.
    let device = app.connected("eve", "dev-1").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 2..10 {
        let device = device.clone();
        tasks.spawn(async move {
            let created = device.create(n, &user("u")).await;
            created.body["push_id"].as_str().map(str::to_owned)
        });
    }
    let begun: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(begun.len(), 1);
    // Nothing is known before a gate lets it pass, and no number is too great to be followed.
    let stranger = app.device("bob", "dev-1").await;
    stranger.create(5, &user("u")).await.refused(409, "scope_uninitialized");
    let sources = app.json_rows("select 1 from {schema}._sync_source where scope_id = 'bob'").await;
    assert_eq!(sources, json!([]));
    for too_great in [(1i64 << 53), i64::MAX] {
        device.with_source("dev-2").create(too_great, &user("u")).await.refused(400, "push_session_invalid");
    }
    let last = (1i64 << 53) - 1;
    device.with_source("dev-2").push(last, &user("u")).await.ok();
    device.with_source("dev-2").create(last + 1, &user("v")).await.refused(400, "push_session_invalid");
}

#[tokio::test]
async fn numbers_out_of_order_are_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &user("u")).await.ok();
    let message = device.create(3, &user("v")).await.refused(409, "source_sequence_out_of_order");
    assert!(message.contains('2'), "{message}");
    device.create(3, &user("v")).await.refused(409, "source_sequence_out_of_order");
    device.create((1 << 53) - 1, &user("v")).await.refused(409, "source_sequence_out_of_order");
    // Every source counts for itself.
    device.with_source("dev-2").push(1, &user("v")).await.ok();
}

#[tokio::test]
async fn a_committed_bundle_that_was_pruned_is_history() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &user("u")).await.ok();
    device.push(2, &user("v")).await.ok();
    app.sql(
        "update {schema}._sync_scope set floor_seq = 1;
         delete from {schema}._sync_bundle_rows where bundle_seq = 1;
         delete from {schema}._sync_bundle where bundle_seq = 1",
    )
    .await
    .unwrap();
    device.create(1, &user("u")).await.refused(409, "history_pruned");
    assert_eq!(device.create(2, &user("v")).await.ok()["status"], "already_committed");
}

#[tokio::test]
async fn a_retired_source_is_told_its_successor() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &user("u")).await.ok();
    let staged = device.staged(2, &user("v")).await;
    app.sql(
        "update {schema}._sync_source set state = 'retired', replaced_by_source_id = 'dev-1b', retired_at = now();
         insert into {schema}._sync_source (scope_id, source_id, state, created_at, replaces_source_id)
         values ('ada', 'dev-1b', 'reserved', now(), 'dev-1')",
    )
    .await
    .unwrap();
    for reply in [device.create(2, &user("v")).await, device.commit(&staged).await] {
        reply.refused(409, "source_retired");
        assert_eq!(reply.body["source_id"], "dev-1");
        assert_eq!(reply.body["replaced_by_source_id"], "dev-1b");
    }
    // What it committed while it was active is still found.
    assert_eq!(device.create(1, &user("u")).await.ok()["status"], "already_committed");
    // Its successor begins to count anew, and becomes active with its first commit.
    device.with_source("dev-1b").push(1, &user("v")).await.ok();
    let states = app.json_rows("select source_id, state from {schema}._sync_source order by 1").await;
    assert_eq!(
        states,
        json!([{"source_id": "dev-1", "state": "retired"}, {"source_id": "dev-1b", "state": "active"}])
    );
}

#[tokio::test]
async fn a_push_needs_a_scope_that_is_ready_for_it() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    device.create(1, &user("u")).await.refused(409, "scope_uninitialized");
    let (device, id) = leased(&app, "dev-1").await;
    device.create(1, &user("u")).await.refused(400, "push_session_invalid");
    let other = "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f";
    create_with(&device, other).await.refused(409, "initialization_stale");
    create_with(&device.with_source("dev-2"), &id).await.refused(409, "initialization_stale");
    create_with(&device, &id.to_uppercase()).await.refused(400, "push_session_invalid");
    create_with(&device, "1").await.refused(400, "push_session_invalid");
    create_with(&device, &id).await.ok();
    app.advance(Duration::minutes(16));
    create_with(&device, &id).await.refused(410, "initialization_expired");
    device.create(1, &user("u")).await.refused(409, "scope_uninitialized");
    device.connect(false).await.ok();
    create_with(&device, &id).await.refused(400, "push_session_invalid");
}

#[tokio::test]
async fn a_lease_is_refreshed_by_every_step_and_ends_with_the_commit() {
    let app = SyncApp::strings().await;
    let (device, id) = leased(&app, "dev-1").await;
    app.advance(Duration::minutes(10));
    let push_id = create_with(&device, &id).await.ok()["push_id"].as_str().unwrap().to_owned();
    app.advance(Duration::minutes(10));
    device.stage(&push_id, 0, &user("u")).await.ok();
    app.advance(Duration::minutes(10));
    device.commit(&push_id).await.ok();
    assert_eq!(device.connect(true).await.ok(), json!({"resolution": "remote_authoritative"}));
    // The answer got lost: the device asks with its old id.
    assert_eq!(create_with(&device, &id).await.ok()["status"], "already_committed");
}

#[tokio::test]
async fn a_lease_that_ends_during_the_upload_stops_it() {
    let app = SyncApp::strings().await;
    let (device, id) = leased(&app, "dev-1").await;
    let push_id = create_with(&device, &id).await.ok()["push_id"].as_str().unwrap().to_owned();
    device.stage(&push_id, 0, &user("u")).await.ok();
    // The session lives as long as the lease; a shorter lease makes it end first.
    app.sql("update {schema}._sync_scope set lease_expires_at = lease_expires_at - interval '10 minutes'")
        .await
        .unwrap();
    app.advance(Duration::minutes(6));
    device.commit(&push_id).await.refused(410, "initialization_expired");
    let (_, second) = leased(&app, "dev-2").await;
    assert_ne!(second, id);
    device.commit(&push_id).await.refused(409, "initialization_stale");
}

#[tokio::test]
async fn a_body_that_announces_nothing_is_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let good = device.announcement(1, &user("u"));
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    let hash = "a".repeat(63);
    for body in [
        json!({}),
        json!([]),
        without(&good, &["source_bundle_id"]),
        without(&good, &["planned_row_count"]),
        without(&good, &["canonical_request_hash"]),
        with("source_bundle_id", json!(0)),
        with("source_bundle_id", json!(-1)),
        with("source_bundle_id", json!(1.5)),
        with("source_bundle_id", json!("1")),
        with("source_bundle_id", json!(1e300)),
        with("planned_row_count", json!(0)),
        with("planned_row_count", json!(null)),
        with("planned_row_count", json!(1_000_000_000)),
        with("canonical_request_hash", json!(hash)),
        with("canonical_request_hash", json!(format!("{hash}A"))),
        with("canonical_request_hash", json!(format!("{hash}g"))),
        with("canonical_request_hash", json!(7)),
        with("initialization_id", json!("")),
        with("initialization_id", json!({})),
    ] {
        device.post("sync/push-sessions", &body).await.refused(400, "push_session_invalid");
    }
    let huge = "{\"source_bundle_id\":99999999999999999999,\"planned_row_count\":1}";
    let reply = Reply::of(device.request(Method::POST, "sync/push-sessions").body(huge)).await;
    reply.refused(400, "push_session_invalid");
}

#[tokio::test]
async fn a_push_that_was_given_up_is_gone() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let push_id = device.staged(1, &user("u")).await;
    let path = format!("sync/push-sessions/{push_id}");
    device.with_source("dev-2").delete(&path).await.refused(403, "push_session_forbidden");
    app.device("eve", "dev-1").await.delete(&path).await.refused(403, "push_session_forbidden");
    let reply = device.delete(&path).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""));
    device.delete(&path).await.refused(404, "push_session_not_found");
    assert_eq!(app.json_rows("select 1 from {schema}._sync_push_chunk").await, json!([]));
    device.delete("sync/push-sessions/not-an-id").await.refused(404, "push_session_not_found");
    let late = device.staged(1, &user("u")).await;
    app.advance(Duration::minutes(16));
    device.delete(&format!("sync/push-sessions/{late}")).await.refused(410, "push_session_expired");
}

#[tokio::test]
async fn a_request_without_a_good_token_or_source_is_refused() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let push_id = device.staged(1, &user("u")).await;
    let mut stranger = device.clone();
    stranger.token = "nonsense".to_owned();
    stranger.connect(false).await.refused(401, "authentication_failed");
    stranger.create(1, &user("u")).await.refused(401, "authentication_failed");
    stranger.commit(&push_id).await.refused(401, "authentication_failed");
    for source in ["", "a b", "server:dashboard", &"x".repeat(257)] {
        let bad = device.with_source(source);
        bad.connect(false).await.refused(400, "invalid_request");
        bad.create(1, &user("u")).await.refused(400, "invalid_request");
    }
    let longest = "~".repeat(256);
    device.with_source(&longest).push(1, &user("u")).await.ok();
}
