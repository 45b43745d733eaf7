//! What is known of devices afterwards.

use serde_json::json;
use syncline::{
    ids::{ScopeId, SourceId},
    sync::device::{detail::DeviceDetail, search::DeviceFilter, verdict::VerdictKind},
};

use crate::support::sync_app::{SyncApp, insert};

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
