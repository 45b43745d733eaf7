//! Writes by the server itself: ordinary bundles of a writer with a name of its own (PROTOCOL.md section 7).

use std::sync::Arc;

use serde_json::json;
use syncline::{
    ids::{ScopeId, SourceId},
    sync::{
        keys::RowOp,
        server_write::{ServerRow, ServerWriteError, ServerWriter, WrittenBundle},
    },
    tables::spec::WireProfile,
};

use crate::support::sync_app::{SyncApp, insert};

fn row(op: RowOp, id: &str, values: &[(&str, Option<&str>)]) -> ServerRow {
    ServerRow {
        table: "users".to_owned(),
        key: id.to_owned(),
        op,
        values: values.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        base_row_version: None,
    }
}

async fn write(app: &SyncApp, scope: &str, rows: Vec<ServerRow>) -> Result<WrittenBundle, ServerWriteError> {
    let catalog = Arc::new(app.catalog().await);
    let writer =
        ServerWriter { source: SourceId::server("dashboard"), written_by: "ada@example.com".to_owned() };
    app.state.engine.write(&catalog, &ScopeId::parse(scope).unwrap(), &writer, rows).await
}

#[tokio::test]
async fn a_write_is_a_bundle_and_initializes_the_scope() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = SyncApp::start(profile).await;
        let written =
            write(&app, "ada", vec![row(RowOp::Insert, "u", &[("name", Some("Ada"))])]).await.unwrap();
        assert_eq!((written.bundle_seq.0, written.source_bundle_id, written.row_count), (1, 1, 1));
        let mut change = row(RowOp::Update, "u", &[("name", Some("Countess")), ("email", None)]);
        change.base_row_version = Some(1);
        let written = write(&app, "ada", vec![change]).await.unwrap();
        assert_eq!((written.bundle_seq.0, written.source_bundle_id), (2, 2));

        let device = app.device("ada", "dev-1").await;
        assert_eq!(device.connect(true).await.ok()["resolution"], "remote_authoritative");
        let page = device.get("sync/committed-bundles/2/rows").await.ok();
        assert_eq!(page["source_id"], "server:dashboard");
        assert_eq!(page["bundle_hash"], written.bundle_hash);
        assert_eq!(page["rows"][0]["payload"], json!({"id": "u", "name": "Countess", "email": null}));
        let by =
            app.json_rows("select written_by, user_id from {schema}._sync_bundle where bundle_seq = 2").await;
        assert_eq!(by, json!([{"written_by": "ada@example.com", "user_id": null}]));
        write(&app, "ada", vec![row(RowOp::Delete, "u", &[])]).await.unwrap();
    }
}

#[tokio::test]
async fn a_number_may_be_written_as_people_write_it() {
    let app = SyncApp::strings().await;
    let mut number = row(RowOp::Insert, "n", &[("score", Some("1.50")), ("enabled", Some("1"))]);
    number.table = "numeric_values".to_owned();
    write(&app, "ada", vec![number.clone()]).await.unwrap();
    let device = app.device("ada", "dev-1").await;
    assert_eq!(device.bundle_rows(1).await[0]["payload"]["score"], "1.5");
    for bad in ["NaN", "1e999", "", "1,5"] {
        number.values[0].1 = Some(bad.to_owned());
        let error = write(&app, "ada", vec![number.clone()]).await.unwrap_err();
        assert!(matches!(error, ServerWriteError::Row(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_scope_that_a_device_is_filling_is_left_alone() {
    let app = SyncApp::strings().await;
    let device = app.device("ada", "dev-1").await;
    device.connect(true).await.ok();
    let rows = vec![row(RowOp::Insert, "u", &[("name", Some("Ada"))])];
    let error = write(&app, "ada", rows.clone()).await.unwrap_err();
    assert!(matches!(error, ServerWriteError::ScopeInitializing), "{error:?}");
    app.advance(time::Duration::minutes(16));
    write(&app, "ada", rows).await.unwrap();
}

#[tokio::test]
async fn a_write_conflicts_as_a_push_does() {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "u", json!({"name": "Ada"}))]).await.ok();
    let mut stale = row(RowOp::Update, "u", &[("name", Some("x"))]);
    stale.base_row_version = Some(7);
    for conflicting in [
        stale,
        row(RowOp::Insert, "u", &[("name", Some("x"))]),
        row(RowOp::Update, "v", &[("name", Some("x"))]),
        row(RowOp::Delete, "v", &[]),
    ] {
        let error = write(&app, "ada", vec![conflicting.clone()]).await.unwrap_err();
        let ServerWriteError::Conflict(conflict) = error else { panic!("{error:?}") };
        assert_eq!(conflict.server_row.is_some(), conflicting.key == "u");
    }
    assert_eq!(app.json_rows("select 1 from {schema}._sync_conflict").await, json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_write_is_said() {
    let app = SyncApp::strings().await;
    app.connected("ada", "dev-1").await;
    let name = [("name", Some("x"))];
    let mut elsewhere = row(RowOp::Insert, "u", &name);
    elsewhere.table = "nothing".to_owned();
    let bad = [
        elsewhere,
        row(RowOp::Insert, "u", &[("nope", None)]),
        row(RowOp::Insert, "u", &[("_sync_scope_id", Some("eve"))]),
        row(RowOp::Insert, "u", &[("name", Some("x")), ("name", Some("y"))]),
        row(RowOp::Insert, "u", &[("id", Some("v")), ("name", Some("y"))]),
        row(RowOp::Insert, "a\0", &name),
        row(RowOp::Insert, "u", &[("name", Some("\0"))]),
        row(RowOp::Delete, "u", &name),
    ];
    for row in bad {
        let error = write(&app, "ada", vec![row]).await.unwrap_err();
        assert!(matches!(error, ServerWriteError::Row(_)), "{error:?}");
    }
    let twice = vec![row(RowOp::Insert, "u", &name); 2];
    assert!(matches!(write(&app, "ada", twice).await, Err(ServerWriteError::Row(_))));
    assert!(matches!(write(&app, "ada", vec![]).await, Err(ServerWriteError::Empty)));
    let error = write(&app, "ada", vec![row(RowOp::Insert, "u", &[])]).await.unwrap_err();
    let ServerWriteError::Constraint(refusal) = error else { panic!("{error:?}") };
    assert_eq!((refusal.table.as_deref(), refusal.column.as_deref()), (Some("users"), Some("name")));
    assert_eq!(app.json_rows("select 1 from {schema}._sync_bundle").await, json!([]));
}
