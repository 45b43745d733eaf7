//! What a write would do, looked at before it is done.

use std::sync::Arc;

use serde_json::json;
use syncline::{
    ids::{ScopeId, SourceId},
    sync::{
        keys::RowOp,
        server_write::{
            ServerRow, ServerWriteError, ServerWriter, WrittenBundle,
            preview::{PreviewToken, PreviewedWrite},
        },
    },
};

use crate::support::sync_app::{SyncApp, SyncClient, insert, update};

fn row(table: &str, op: RowOp, id: &str, values: &[(&str, Option<&str>)]) -> ServerRow {
    ServerRow {
        table: table.to_owned(),
        key: id.to_owned(),
        op,
        values: values.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        base_row_version: None,
    }
}

async fn preview(app: &SyncApp, rows: &[ServerRow]) -> Result<PreviewedWrite, ServerWriteError> {
    let catalog = app.catalog().await;
    app.state.engine.preview_write(&catalog, &ScopeId::parse("ada").unwrap(), rows).await
}

async fn write(
    app: &SyncApp,
    rows: Vec<ServerRow>,
    token: PreviewToken,
) -> Result<WrittenBundle, ServerWriteError> {
    let catalog = Arc::new(app.catalog().await);
    let writer =
        ServerWriter { source: SourceId::server("dashboard"), written_by: "ada@example.com".to_owned() };
    let scope = ScopeId::parse("ada").unwrap();
    app.state.engine.write_as_previewed(&catalog, &scope, &writer, rows, token).await
}

/// A user with two notes, of which one has a comment.
async fn with_notes() -> (SyncApp, SyncClient) {
    let app = SyncApp::strings().await;
    let device = app.connected("ada", "dev-1").await;
    let rows = [
        insert("users", "u", json!({"name": "Ada", "email": "a@b"})),
        insert("notes", "n1", json!({"user_id": "u", "title": "one", "stars": "1"})),
        insert("notes", "n2", json!({"user_id": "u", "title": "two", "stars": "2"})),
        insert("comments", "c", json!({"note_id": "n1", "body": "!"})),
    ];
    device.push(1, &rows).await.ok();
    (app, device)
}

async fn everything(app: &SyncApp) -> serde_json::Value {
    app.json_rows(
        "select (select jsonb_agg(s) from {schema}._sync_scope s) as scopes,
            (select jsonb_agg(s) from {schema}._sync_source s) as sources,
            (select jsonb_agg(b order by b.bundle_seq) from {schema}._sync_bundle b) as bundles,
            (select jsonb_agg(r order by r.table_no, r.key) from {schema}._sync_row r) as versions,
            (select jsonb_agg(n order by n.id) from {schema}.notes n) as notes,
            (select jsonb_agg(e) from {schema}._sync_effect e) as effects",
    )
    .await
}

#[tokio::test]
async fn a_preview_tells_every_row_cascades_among_them_and_changes_nothing() {
    let (app, _) = with_notes().await;
    let before = everything(&app).await;
    let previewed = preview(&app, &[row("users", RowOp::Delete, "u", &[])]).await.unwrap();
    assert_eq!((previewed.bundle_seq.0, previewed.row_count()), (2, 4));
    let mut rows: Vec<_> = previewed
        .rows
        .iter()
        .map(|row| (row.table.as_str(), row.key.as_str(), row.op.as_str(), row.is_asked_for, row.row_version))
        .collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            ("comments", "c", "UPDATE", false, 1),
            ("notes", "n1", "DELETE", false, 1),
            ("notes", "n2", "DELETE", false, 1),
            ("users", "u", "DELETE", true, 1),
        ]
    );
    let comment = previewed.rows.iter().find(|row| row.table == "comments").unwrap();
    let changed: Vec<_> = comment.columns.iter().filter(|column| column.changed).collect();
    assert_eq!(changed.len(), 1, "{comment:?}");
    assert_eq!(changed[0].name, "note_id");
    assert_eq!(changed[0].before.clone().unwrap().into_text(), "n1");
    let deleted = previewed.rows.iter().find(|row| row.key == "n2").unwrap();
    assert!(deleted.columns.iter().all(|column| column.before.is_some() && column.after.is_none()));
    assert_eq!(everything(&app).await, before);
}

#[tokio::test]
async fn what_was_looked_at_is_what_is_written() {
    let (app, device) = with_notes().await;
    let rows = vec![row("users", RowOp::Delete, "u", &[])];
    let token = preview(&app, &rows).await.unwrap().token;
    // A note more would go with the user: that is not what was looked at.
    device
        .push(2, &[insert("notes", "n3", json!({"user_id": "u", "title": "three", "stars": "3"}))])
        .await
        .ok();
    let error = write(&app, rows.clone(), token).await.unwrap_err();
    assert!(matches!(error, ServerWriteError::PreviewOutdated), "{error:?}");
    // Nor is a note with another text.
    let token = preview(&app, &rows).await.unwrap().token;
    device.push(3, &[update("notes", "n3", 2, json!({"id": "n3", "title": "3"}))]).await.ok();
    let error = write(&app, rows.clone(), token).await.unwrap_err();
    assert!(matches!(error, ServerWriteError::PreviewOutdated), "{error:?}");

    let previewed = preview(&app, &rows).await.unwrap();
    let written = write(&app, rows, previewed.token.clone()).await.unwrap();
    assert_eq!(
        (written.bundle_seq, i64::from(written.row_count)),
        (previewed.bundle_seq, previewed.row_count())
    );
    let served = device.bundle_rows(4).await;
    let order: Vec<_> = served.as_array().unwrap().iter().map(|row| row["key"]["id"].clone()).collect();
    let looked_at: Vec<_> = previewed.rows.iter().map(|row| json!(row.key)).collect();
    assert_eq!(order, looked_at);
}

#[tokio::test]
async fn a_preview_is_refused_as_the_write_would_be() {
    let (app, _) = with_notes().await;
    let name = [("name", Some("Bea")), ("email", Some("a@b"))];
    let error = preview(&app, &[row("users", RowOp::Insert, "v", &name)]).await.unwrap_err();
    assert!(
        matches!(&error, ServerWriteError::Constraint(it) if it.column.as_deref() == Some("email")),
        "{error:?}"
    );
    let orphan = [("user_id", Some("nobody")), ("title", Some("x")), ("stars", Some("1"))];
    let error = preview(&app, &[row("notes", RowOp::Insert, "x", &orphan)]).await.unwrap_err();
    assert!(
        matches!(error, ServerWriteError::Constraint(_)),
        "deferred constraints are looked at: {error:?}"
    );
    let error =
        preview(&app, &[row("notes", RowOp::Update, "x", &[("stars", Some("1"))])]).await.unwrap_err();
    assert!(matches!(error, ServerWriteError::Conflict(_)), "{error:?}");
    let error =
        preview(&app, &[row("notes", RowOp::Update, "n1", &[("stars", Some("x"))])]).await.unwrap_err();
    assert!(matches!(error, ServerWriteError::Row(_)), "{error:?}");
    assert!(matches!(preview(&app, &[]).await, Err(ServerWriteError::Empty)));
}

#[tokio::test]
async fn a_preview_shows_some_rows_and_counts_all_and_leaves_the_scope_free() {
    let app = SyncApp::strings().await;
    let rows: Vec<_> = (0..450)
        .map(|n| {
            row(
                "users",
                RowOp::Insert,
                &format!("u{n}"),
                &[("name", Some("x")), ("email", Some(&format!("{n}")))],
            )
        })
        .collect();
    let previewed = preview(&app, &rows).await.unwrap();
    assert_eq!((previewed.rows.len(), previewed.row_count(), previewed.devices), (200, 450, 0));
    assert_eq!(previewed.tables[0].inserted, 450);
    // The scope that it would have made is not there, and whoever wants to write may.
    assert_eq!(app.json_rows("select 1 from {schema}._sync_scope").await, json!([]));
    let device = app.connected("ada", "dev-1").await;
    device.push(1, &[insert("users", "u0", json!({"name": "Ada", "email": "a"}))]).await.ok();
}

#[tokio::test]
async fn a_preview_does_not_wait_long_for_a_scope_that_somebody_holds() {
    let (app, _) = with_notes().await;
    let mut tx = app.state.databases.apps.begin(&app.app.schema()).await.unwrap();
    let lock = syncline::ops::database::in_schema(
        &app.app.schema(),
        "select 1 from {schema}._sync_scope where scope_id = 'ada' for update",
    );
    sqlx::query(lock).execute(&mut *tx).await.unwrap();
    let error = preview(&app, &[row("notes", RowOp::Delete, "n1", &[])]).await.unwrap_err();
    assert!(matches!(error, ServerWriteError::Busy), "{error:?}");
    tx.rollback().await.unwrap();
    preview(&app, &[row("notes", RowOp::Delete, "n1", &[])]).await.unwrap();
}
