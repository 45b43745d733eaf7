//! What is known of devices afterwards.

use serde_json::{Value, json};
use syncline::{
    ids::{ScopeId, SourceId},
    sync::device::{detail::DeviceDetail, search::DeviceFilter, verdict::VerdictKind},
};

use crate::support::sync_app::{SyncApp, insert, without};

async fn device(app: &SyncApp, source: &str) -> Option<DeviceDetail> {
    app.state.engine.write_device_facts().await;
    let (scope, source) = (ScopeId::parse("u").unwrap(), SourceId::parse_device(source).unwrap());
    app.state.engine.device(&app.catalog().await, &scope, &source).await.unwrap()
}

#[tokio::test]
async fn a_devices_requests_are_noted_and_judged() {
    let app = SyncApp::strings().await;
    assert_eq!(device(&app, "d1").await, None);
    let (one, two) = (app.connected("u", "d1").await, app.connected("u", "d2").await);
    one.push(1, &[insert("users", "a", json!({"name": "A"}))]).await.ok();
    let known = device(&app, "d1").await.unwrap();
    assert_eq!(known.device.verdict.kind, VerdictKind::Healthy);
    assert_eq!(known.device.last_push_seq.map(|seq| seq.0), Some(1));
    assert_eq!((known.device.behind, known.source_bundle_id), (0, 1));
    assert_eq!(known.device.user.as_deref(), Some("u"));

    for n in 1..=3 {
        two.push(1, &[insert("users", "a", json!({"name": "B"}))]).await.refused(409, "push_conflict");
        let known = device(&app, "d2").await.unwrap();
        let error = known.device.last_error.unwrap();
        assert_eq!(
            (error.code.as_str(), error.verb.as_str(), error.count),
            ("push_conflict", "push_commit", n)
        );
    }
    assert_eq!(device(&app, "d2").await.unwrap().device.verdict.kind, VerdictKind::Conflicting);
    two.get("sync/pull").await.ok();
    two.push(1, &[insert("users", "b", json!({"name": "B"}))]).await.ok();
    let known = device(&app, "d2").await.unwrap();
    assert_eq!((known.device.last_error, known.device.verdict.kind), (None, VerdictKind::Healthy));
    let codes: Vec<Option<&str>> = known.events.iter().map(|event| event.code.as_deref()).collect();
    let conflict = Some("push_conflict");
    assert_eq!(codes, [None, None, conflict, conflict, conflict, None]);
    let verbs: Vec<&str> = known.events.iter().map(|event| event.verb.as_str()).collect();
    assert_eq!([verbs[0], verbs[1], verbs[5]], ["push_commit", "pull", "connect"]);
    assert_eq!(known.events[0].bundle_seq.map(|seq| seq.0), Some(2));

    one.rotate("d9").await.ok();
    assert_eq!(device(&app, "d1").await.unwrap().device.verdict.kind, VerdictKind::Retired);
    let (engine, catalog, all) = (&app.state.engine, app.catalog().await, DeviceFilter::default());
    let list = engine.find_devices(&catalog, &all, None, 1).await.unwrap();
    let rest = engine.find_devices(&catalog, &all, list.next, 5).await.unwrap();
    assert_eq!((list.items.len(), rest.items.len(), rest.next), (1, 1, None));
}

#[tokio::test]
async fn a_devices_events_are_bounded() {
    let app = SyncApp::strings().await;
    let client = app.connected("u", "d1").await;
    for _ in 0..7 {
        for _ in 0..18 {
            client.get("sync/pull?max_bundles=0").await.refused(400, "invalid_request");
        }
        app.state.engine.write_device_facts().await;
    }
    let count = app.json_rows("select count(*) as n from {schema}._sync_device_event").await;
    assert_eq!(count, json!([{"n": 100}]));
    assert_eq!(device(&app, "d1").await.unwrap().device.last_error.unwrap().count, 126);
}

#[tokio::test]
async fn a_devices_own_bundles_are_no_news_to_it_however_many_it_pushes_at_once() {
    let app = SyncApp::strings().await;
    let (one, two) = (app.connected("u", "d1").await, app.connected("u", "d2").await);
    for n in 1..=3 {
        one.push(n, &[insert("users", &format!("a{n}"), json!({"name": "A"}))]).await.ok();
    }
    assert_eq!(device(&app, "d1").await.unwrap().device.behind, 0);
    for n in 4..=5 {
        one.push(n, &[insert("users", &format!("a{n}"), json!({"name": "A"}))]).await.ok();
    }
    assert_eq!(device(&app, "d1").await.unwrap().device.behind, 0);
    assert_eq!(device(&app, "d2").await.unwrap().device.behind, 5);
    // Between two of another's.
    two.push(1, &[insert("users", "b", json!({"name": "B"}))]).await.ok();
    one.push(6, &[insert("users", "c", json!({"name": "A"}))]).await.ok();
    assert_eq!(device(&app, "d1").await.unwrap().device.behind, 2);
    one.get("sync/pull?after_bundle_seq=5").await.ok();
    one.push(7, &[insert("users", "d", json!({"name": "A"}))]).await.ok();
    one.push(8, &[insert("users", "e", json!({"name": "A"}))]).await.ok();
    assert_eq!(device(&app, "d1").await.unwrap().device.behind, 0);
}

/// Where `device` stands, as far as it can be compared with another.
async fn stands(app: &SyncApp, source: &str) -> Value {
    let row = format!(
        "select to_jsonb(d) - 'source_id' as stands from {{schema}}._sync_device d where d.source_id = '{source}'"
    );
    app.json_rows(&row).await
}

#[tokio::test]
async fn the_short_way_of_noting_devices_writes_what_the_long_one_does() {
    let app = SyncApp::strings().await;
    for source in ["d1", "d2"] {
        app.connected("u", source).await;
    }
    app.state.engine.write_device_facts().await;
    app.sql(
        "update {schema}._sync_device set first_seen_at = '2026-01-01', last_seen_at = '2026-01-01',
            last_served_seq = 4, pull_event_at = '2026-01-02 10:00:00'",
    )
    .await
    .unwrap();
    // When seen; push at, of which bundles; pull at, checkpoint, served; when it brought something.
    for [seen, push_at, push_seq, pushed_from, pull_at, pull_seq, served, brought] in [
        ["'2026-01-02'", "null", "null", "null", "null", "null", "null", "null"],
        ["'2025-12-31'", "null", "null", "null", "null", "null", "null", "null"],
        ["'2026-01-03'", "'2026-01-03'", "6", "5", "null", "null", "null", "null"],
        ["'2026-01-03'", "'2026-01-03'", "9", "8", "null", "null", "null", "null"],
        ["'2026-01-03'", "'2026-01-03'", "9", "8", "'2026-01-03'", "6", "7", "'2026-01-02 10:00:30'"],
        ["'2026-01-04'", "null", "null", "null", "'2026-01-04'", "9", "9", "null"],
        ["'2026-01-04'", "null", "null", "null", "'2026-01-04'", "2", "3", "null"],
    ] {
        let short = format!(
            "select * from {{schema}}._sync_note_progress(array['u'], array['d1'], array['u'], array[null::text],
                array['::1'], array[{seen}::timestamptz], array[{push_at}::timestamptz], array[{push_seq}::bigint],
                array[{pushed_from}::bigint], array[{pull_at}::timestamptz], array[{pull_seq}::bigint],
                array[{served}::bigint], array[{brought}::timestamptz])"
        );
        let long = format!(
            "select * from {{schema}}._sync_note_devices(json_build_array(json_build_object('scope_id', 'u',
                'source_id', 'd2', 'user_id', 'u', 'address', '::1', 'seen_at', {seen}::timestamptz,
                'push_at', {push_at}::timestamptz, 'push_seq', {push_seq}::bigint,
                'pushed_from', {pushed_from}::bigint, 'pull_at', {pull_at}::timestamptz,
                'pull_seq', {pull_seq}::bigint, 'served_seq', {served}::bigint,
                'brought_at', {brought}::timestamptz, 'brought_seq', {served}::bigint, 'settled', array['pull'],
                'error_count', 0, 'is_reading', false, 'events', 0))::text, '[]')"
        );
        let answers = [app.json_rows(&short).await, app.json_rows(&long).await]
            .map(|rows| without(&rows[0], &["source_id"]));
        assert_eq!(answers[0], answers[1], "{short}");
        assert_eq!(answers[0]["is_written"], true, "{short}");
        assert_eq!(stands(&app, "d1").await, stands(&app, "d2").await, "{short}");
    }
}

#[tokio::test]
async fn the_short_way_leaves_devices_alone_that_need_the_long_one() {
    let app = SyncApp::strings().await;
    let device = app.connected("u", "d1").await;
    app.state.engine.write_device_facts().await;
    let short =
        "select * from {schema}._sync_note_progress(array['u'], array['d1'], array['u'], array[null::text],
        array['::1'], array['2030-01-02'::timestamptz], array[null::timestamptz], array[null::bigint],
        array[null::bigint], array['2030-01-02'::timestamptz], array[3::bigint], array[3::bigint],
        array['2030-01-02'::timestamptz])";
    for reason in [
        "last_error_at = '2030-01-01'",
        "auth_failed_at = '2030-01-01'",
        "snapshot_since = '2030-01-01'",
        "pull_event_at = null",
        "pull_event_at = '2030-01-01'",
    ] {
        app.sql(
            "update {schema}._sync_device set last_error_at = null, auth_failed_at = null, snapshot_since = null,
                pull_event_at = '2030-01-02'",
        )
        .await
        .unwrap();
        app.sql(&format!("update {{schema}}._sync_device set {reason}")).await.unwrap();
        let before = stands(&app, "d1").await;
        assert_eq!(app.json_rows(short).await, json!([]), "{reason}");
        assert_eq!(stands(&app, "d1").await, before, "{reason}");
    }
    // The server then takes the long one.
    device.get("sync/pull").await.ok();
    assert!(self::device(&app, "d1").await.unwrap().device.last_pull_at.is_some());
}
