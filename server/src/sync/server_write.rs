//! Writes by the server itself: the dashboard, the management API, jobs. Each is a bundle like a device's, of a writer
//! with a name of its own. What a write would do can be looked at first ([`preview`]), and then be done exactly so.

pub mod preview;

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use self::preview::PreviewToken;
use super::{
    CommitEvent, Engine,
    apply::{self, WriteRow},
    conflict::{ConflictAt, Meeting, PushConflict},
    keys::RowOp,
    payload::{self, InvalidRow},
    queue::ScopeBusy,
    refusal::{Refusal, WriteFailure},
};
use crate::{
    ids::{BundleSeq, ScopeId, SourceId},
    ops::database::{AppTx, in_schema},
    tables::catalog::AppCatalog,
};

/// How often a write is tried before its caller is told to come back.
const ATTEMPTS: usize = 4;

/// A row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    pub table: String,
    pub key: String,
    pub op: RowOp,
    /// Columns and their values in the text form of profile `strings` (PROTOCOL.md section 6), whatever the app's; a
    /// number may have any spelling. None: NULL. Empty for a DELETE.
    pub values: Vec<(String, Option<String>)>,
    /// The version that the writer has seen. None: whatever there is.
    pub base_row_version: Option<i64>,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerWriter {
    /// `server:dashboard`, `server:api:key_…`.
    pub source: SourceId,
    /// The account or key, in words that an administrator knows.
    pub written_by: String,
}

/// The bundle that a write has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBundle {
    pub bundle_seq: BundleSeq,
    pub source_bundle_id: i64,
    /// With everything that cascades and triggers did.
    pub row_count: i32,
    pub bundle_hash: String,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ServerWriteError {
    #[error("a write must have at least one row")]
    Empty,
    #[error("a write must have at most {max} rows")]
    TooManyRows { max: i64 },
    #[error(transparent)]
    Row(Box<InvalidRow>),
    #[error("a device is filling the scope")]
    ScopeInitializing,
    #[error("a row has another version")]
    Conflict(Box<PushConflict>),
    #[error(transparent)]
    Constraint(Box<Refusal>),
    #[error("the write changes nothing")]
    NoEffect,
    /// Only of a write that was looked at before: it would do something else now.
    #[error("the rows have changed since the write was looked at")]
    PreviewOutdated,
    #[error("other writes are in the way")]
    Busy,
    #[error("the write failed")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, sqlx::FromRow)]
struct Opened {
    outcome: String,
    conflict_ordinals: Option<Vec<i64>>,
    conflict_versions: Option<Vec<i64>>,
    conflict_deleted: Option<Vec<bool>>,
}

#[derive(Debug, sqlx::FromRow)]
struct Sealed {
    bundle_seq: BundleSeq,
    source_bundle_id: i64,
    row_count: i32,
    bundle_hash: Option<String>,
}

enum Failed {
    ForGood(ServerWriteError),
    TryAgain,
}

/// A write on its way.
#[derive(Debug)]
struct Write {
    app: Arc<AppCatalog>,
    scope: ScopeId,
    writer: ServerWriter,
    rows: Vec<ServerRow>,
    /// What somebody has looked at and agreed to.
    expected: Option<PreviewToken>,
}

/// The most rows of one write, whatever a push may have: people and their programs can write in parts.
const MAX_ROWS: i64 = 50_000;

impl Engine {
    /// The most rows of one write.
    fn max_rows_of_write(&self) -> i64 {
        self.limits.max_rows_per_bundle.min(MAX_ROWS)
    }

    /// Write rows to a scope as one bundle, and tell watchers. An uninitialized scope is initialized by it.
    ///
    /// Runs to its end even if the caller goes away meanwhile.
    pub async fn write(
        &self,
        app: &Arc<AppCatalog>,
        scope: &ScopeId,
        writer: &ServerWriter,
        rows: Vec<ServerRow>,
    ) -> Result<WrittenBundle, ServerWriteError> {
        let (app, scope, writer) = (Arc::clone(app), scope.clone(), writer.clone());
        self.spawn_write(Write { app, scope, writer, rows, expected: None }).await
    }

    /// As [`Engine::write`], but only if it does what [`Engine::preview_write`] has shown: the same rows, cascades
    /// among them, from the same versions. Otherwise nothing is written and the answer is
    /// [`ServerWriteError::PreviewOutdated`], or the conflict of a row that names its base.
    pub async fn write_as_previewed(
        &self,
        app: &Arc<AppCatalog>,
        scope: &ScopeId,
        writer: &ServerWriter,
        rows: Vec<ServerRow>,
        token: PreviewToken,
    ) -> Result<WrittenBundle, ServerWriteError> {
        let (app, scope, writer) = (Arc::clone(app), scope.clone(), writer.clone());
        self.spawn_write(Write { app, scope, writer, rows, expected: Some(token) }).await
    }

    async fn spawn_write(&self, write: Write) -> Result<WrittenBundle, ServerWriteError> {
        check(&write.app, &write.rows, self.max_rows_of_write())?;
        let engine = self.clone();
        let write = self.tasks.spawn(async move { engine.write_to_its_end(&write).await });
        write.await.expect("BUG: a write panicked")
    }

    async fn write_to_its_end(&self, write: &Write) -> Result<WrittenBundle, ServerWriteError> {
        let turn = self.queues.turn(write.app.app, &write.scope).await;
        let turn = turn.map_err(|ScopeBusy| ServerWriteError::Busy)?;
        for _ in 0..ATTEMPTS {
            let written = match self.try_write(write).await {
                Ok(written) => written,
                Err(Failed::TryAgain) => continue,
                Err(Failed::ForGood(error)) => return Err(error),
            };
            drop(turn);
            self.committed(CommitEvent {
                app: write.app.app,
                scope: write.scope.clone(),
                source: write.writer.source.clone(),
                source_bundle_id: written.source_bundle_id,
                seq: written.bundle_seq,
            });
            self.meter.committed(write.app.app, self.clock.now(), written.row_count);
            return Ok(written);
        }
        Err(ServerWriteError::Busy)
    }

    async fn try_write(&self, write: &Write) -> Result<WrittenBundle, Failed> {
        let Write { app, scope, writer, rows, expected } = write;
        let judge = |error| WriteFailure::judge(app, None, error);
        let now = self.clock.now();
        let mut tx = self.apps.begin(&app.schema).await?;
        open(&mut tx, app, scope, rows, now).await?;
        apply_rows(&mut tx, app, scope, rows).await?;
        if let Some(expected) = expected
            && preview::effects(&mut tx, app, scope).await?.token != *expected
        {
            return Err(ServerWriteError::PreviewOutdated.into());
        }
        let sealed: Sealed = sqlx::query_as(in_schema(
            &app.schema,
            "select bundle_seq, source_bundle_id, row_count, bundle_hash
             from {schema}._sync_seal($1, $2, null, null, $3, null, $4, $5)",
        ))
        .bind(scope)
        .bind(&writer.source)
        .bind(app.schema_version)
        .bind(&writer.written_by)
        .bind(now)
        .fetch_one(&mut *tx)
        .await
        .map_err(judge)?;
        if sealed.row_count == 0 {
            return Err(ServerWriteError::NoEffect.into());
        }
        tx.commit().await.map_err(judge)?;
        Ok(WrittenBundle {
            bundle_seq: sealed.bundle_seq,
            source_bundle_id: sealed.source_bundle_id,
            row_count: sealed.row_count,
            bundle_hash: sealed.bundle_hash.expect("BUG: a bundle without a hash"),
        })
    }
}

/// Lock the scope and become its writer, unless a device is filling it or a row has another version than its base.
async fn open(
    tx: &mut AppTx,
    app: &AppCatalog,
    scope: &ScopeId,
    rows: &[ServerRow],
    now: time::OffsetDateTime,
) -> Result<(), Failed> {
    let opened = lock(tx, app, scope, rows, now).await;
    let opened = opened.map_err(|error| WriteFailure::judge(app, None, error))?;
    if opened.outcome == "initializing" {
        return Err(ServerWriteError::ScopeInitializing.into());
    }
    let conflicts = opened.conflicts();
    if conflicts.is_empty() {
        return Ok(());
    }
    let meetings = conflicts.iter().filter_map(|at| Meeting::of_server_row(app, rows.get(at.ordinal)?, *at));
    let meetings = Meeting::gather(tx, app, scope, meetings.collect()).await?;
    Err(ServerWriteError::Conflict(Box::new(PushConflict::of_first(app, &meetings))).into())
}

async fn apply_rows(
    tx: &mut AppTx,
    app: &AppCatalog,
    scope: &ScopeId,
    rows: &[ServerRow],
) -> Result<(), Failed> {
    let writes = rows.iter().filter_map(|row| write_row(app, row)).collect();
    Ok(apply::apply(tx, app, scope, writes).await?)
}

/// Lock the scope and look for conflicts.
async fn lock(
    tx: &mut AppTx,
    app: &AppCatalog,
    scope: &ScopeId,
    rows: &[ServerRow],
    now: time::OffsetDateTime,
) -> Result<Opened, sqlx::Error> {
    let table_no = |row: &ServerRow| app.table(&row.table).map(|table| table.table_no());
    sqlx::query_as(in_schema(
        &app.schema,
        "select outcome, conflict_ordinals, conflict_versions, conflict_deleted
         from {schema}._sync_write_open($1, $2, $3, $4, $5, $6)",
    ))
    .bind(scope)
    .bind(rows.iter().map(table_no).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.op.letter()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.base_row_version).collect::<Vec<_>>())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

impl Opened {
    fn conflicts(&self) -> Vec<ConflictAt> {
        ConflictAt::list(&self.conflict_ordinals, &self.conflict_versions, &self.conflict_deleted)
    }
}

/// Check every row as a device's rows are checked.
fn check(app: &AppCatalog, rows: &[ServerRow], max: i64) -> Result<(), ServerWriteError> {
    if rows.is_empty() {
        return Err(ServerWriteError::Empty);
    }
    if rows.len() as i64 > max {
        return Err(ServerWriteError::TooManyRows { max });
    }
    let mut seen = HashSet::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let is_new = seen.insert((&row.table, &row.key));
        payload::check_server_row(app, place, row, is_new)
            .map_err(|invalid| ServerWriteError::Row(Box::new(invalid)))?;
    }
    Ok(())
}

/// A row that has been checked.
fn write_row<'a>(app: &'a AppCatalog, row: &'a ServerRow) -> Option<WriteRow<'a>> {
    let table = app.table(&row.table)?;
    let place = |name: &str| table.columns().iter().position(|column| column.name.as_str() == name);
    let values = row
        .values
        .iter()
        .filter(|(name, _)| name != table.key().column.as_str())
        .filter_map(|(name, value)| Some((place(name)?, value.as_deref().map(Cow::Borrowed))));
    Some(WriteRow { table, op: row.op, key: Cow::Borrowed(&row.key), values: values.collect() })
}

impl From<ServerWriteError> for Failed {
    fn from(error: ServerWriteError) -> Self {
        Self::ForGood(error)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::ForGood(error.into())
    }
}

impl From<WriteFailure> for Failed {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Refused(refusal) => Self::ForGood(ServerWriteError::Constraint(refusal)),
            WriteFailure::TryAgain => Self::TryAgain,
            WriteFailure::Database(error) => error.into(),
        }
    }
}
