//! `POST sync/push-sessions/{push_id}/commit`: a staged push becomes a bundle, all of it or nothing.

use futures_util::TryStreamExt as _;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{CommittedPush, PushRefused};
use crate::{
    ids::BundleSeq,
    ops::database::{AppTx, in_schema},
    sync::{
        CommitEvent, Engine, SyncCaller,
        apply::{self, UnknownName, WriteRow},
        bundle::replay,
        conflict::{ConflictAt, Meeting, PushConflict},
        payload::json::JsonRow,
        queue::ScopeBusy,
        refusal::{Refusal, WriteFailure},
        rejected_write::RefusedRows,
    },
    tables::{catalog::AppCatalog, spec::WireProfile},
};

/// How often a commit is tried before its client is told to come back.
const ATTEMPTS: usize = 4;

/// Why a push was not committed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Refused(#[from] PushRefused),
    #[error("the source has committed another bundle meanwhile")]
    SourceSequenceChanged,
    #[error("{staged} of {planned} rows have been uploaded")]
    Incomplete { planned: i64, staged: i64 },
    #[error("the rows do not have the announced hash")]
    HashMismatch,
    #[error("the app's tables have changed since the rows were uploaded")]
    TablesChanged,
    #[error("the same row is in the push twice")]
    DuplicateRow,
    #[error("the push changes nothing")]
    NoEffect,
    #[error("a row has another version on the server")]
    Conflict(Box<PushConflict>),
    #[error(transparent)]
    Constraint(Box<Refusal>),
    #[error("other writes are in the way")]
    Busy,
    #[error("the push could not be committed")]
    Database(#[from] sqlx::Error),
}

/// What `_sync_push_open` answers.
#[derive(Debug, sqlx::FromRow)]
struct Opened {
    outcome: String,
    source_bundle_id: Option<i64>,
    planned_row_count: Option<i64>,
    staged_row_count: Option<i64>,
    request_hash: Option<String>,
    /// A chunk's rows each, as a JSON array; None of a large push.
    rows: Option<Vec<String>>,
    conflict_ordinals: Option<Vec<i64>>,
    conflict_versions: Option<Vec<i64>>,
    conflict_deleted: Option<Vec<bool>>,
    replaced_by_source_id: Option<String>,
}

#[derive(Debug, sqlx::FromRow)]
struct Sealed {
    bundle_seq: BundleSeq,
    row_count: i32,
    bundle_hash: Option<String>,
}

/// How one attempt failed. What is to be recorded goes along, because that happens when the transaction is over.
enum Failed {
    ForGood(CommitError),
    /// The rows are at fault.
    Rows(CommitError, RefusedRows),
    /// The rows that lost, at least one.
    Conflicts {
        source_bundle_id: i64,
        meetings: Vec<Meeting>,
    },
    TryAgain,
}

impl Engine {
    /// Commit a push, and tell watchers.
    ///
    /// Runs to its end even if the caller goes away meanwhile: a commit must not be half told.
    pub async fn commit_push(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
    ) -> Result<CommittedPush, CommitError> {
        let (engine, caller) = (self.clone(), caller.clone());
        let commit = self.tasks.spawn(async move { engine.commit_to_its_end(&caller, push_id).await });
        commit.await.expect("BUG: a commit panicked")
    }

    async fn commit_to_its_end(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
    ) -> Result<CommittedPush, CommitError> {
        // Before a connection is taken: whoever waits for its scope holds none.
        let turn = self.queues.turn(caller.app.app, &caller.scope).await;
        let turn = turn.map_err(|ScopeBusy| CommitError::Busy)?;
        // After the turn: an app's other scopes must not wait for one that many devices write to.
        let share = self.shares.enter(caller.app.app).await;
        let mut attempt = match self.commit_grouped(caller, push_id).await {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => self.try_with_room(caller, push_id).await,
            Err(error) => Err(error.into()),
        };
        for _ in 1..ATTEMPTS {
            if !matches!(attempt, Err(Failed::TryAgain)) {
                break;
            }
            attempt = self.try_with_room(caller, push_id).await;
        }
        drop((share, turn));
        match attempt {
            Ok(committed) => {
                self.committed(CommitEvent {
                    app: caller.app.app,
                    scope: caller.scope.clone(),
                    source: caller.source.clone(),
                    source_bundle_id: committed.source_bundle_id,
                    seq: committed.bundle_seq,
                });
                let now = self.clock.now();
                self.facts.committed(caller, now, committed.bundle_seq);
                self.meter.committed(caller.app.app, now, committed.row_count);
                Ok(committed)
            }
            Err(Failed::ForGood(error)) => Err(error),
            Err(Failed::TryAgain) => Err(CommitError::Busy),
            Err(Failed::Rows(error, rows)) => {
                self.record_refused_commit(caller, push_id, &error, rows).await;
                Err(error)
            }
            Err(Failed::Conflicts { source_bundle_id, meetings }) => {
                let first = PushConflict::of_first(&caller.app, &meetings);
                self.record_conflicts(caller, source_bundle_id, &meetings).await;
                Err(CommitError::Conflict(Box::new(first)))
            }
        }
    }

    /// As [`Engine::try_commit`], when there is room for the rows: before a connection is taken.
    async fn try_with_room(&self, caller: &SyncCaller, push_id: Uuid) -> Result<CommittedPush, Failed> {
        const SQL: &str = "select staged_bytes from {schema}._sync_push where scope_id = $1 and push_id = $2";
        let schema = &caller.app.schema;
        let query = sqlx::query_as(in_schema(schema, SQL)).bind(&caller.scope).bind(push_id);
        let staged: Option<(i64,)> = self.apps.optional(schema, query).await?;
        let bytes = staged.map_or(0, |(bytes,)| usize::try_from(bytes).unwrap_or(0));
        let _place = self.commit_room.enter(caller.app.app, bytes).await;
        self.try_commit(caller, push_id).await
    }

    async fn try_commit(&self, caller: &SyncCaller, push_id: Uuid) -> Result<CommittedPush, Failed> {
        let app = &*caller.app;
        let mut tx = self.apps.begin(&app.schema).await?;
        let mut opened = self.open(&mut tx, caller, push_id).await?;
        let chunks = match opened.rows.take() {
            Some(rows) => rows,
            None => staged_rows(&mut tx, caller, push_id).await?,
        };
        let chunks = chunks.as_slice();
        let refuse = |mut error: CommitError| {
            let refusal = match &mut error {
                CommitError::Constraint(refusal) => Some(refusal),
                _ => None,
            };
            let rows =
                RefusedRows::of_staged(chunks, &caller.scope, refusal.as_ref().map(|refusal| &***refusal));
            if let Some(refusal) = refusal {
                refusal.key = rows.only_key().map(str::to_owned);
            }
            Failed::Rows(error, rows)
        };
        let judge = |failure: WriteFailure| match failure {
            WriteFailure::Refused(refusal) => refuse(CommitError::Constraint(refusal)),
            WriteFailure::TryAgain => Failed::TryAgain,
            WriteFailure::Database(error) => error.into(),
        };

        if app.profile == WireProfile::Strings && opened.request_hash.as_ref() != Some(&request_hash(chunks))
        {
            return Err(refuse(CommitError::HashMismatch));
        }
        let rows = parse_staged(chunks);
        let digest = may_be_reordered(app, &rows).then(|| replay::digest(chunks));
        let conflicts = opened.conflicts();
        let source_bundle_id = opened.source_bundle_id.expect("BUG: a push without a number");
        if !conflicts.is_empty() {
            let meetings =
                conflicts.iter().filter_map(|at| Meeting::of_staged(app, rows.get(at.ordinal)?, *at));
            let meetings = Meeting::gather(&mut tx, app, &caller.scope, meetings.collect()).await?;
            return Err(Failed::Conflicts { source_bundle_id, meetings });
        }
        let writes: Result<Vec<_>, _> = rows.into_iter().map(|row| WriteRow::from_staged(app, row)).collect();
        let writes = writes.map_err(|UnknownName| refuse(CommitError::TablesChanged))?;
        apply::apply(&mut tx, app, &caller.scope, writes).await.map_err(judge)?;
        let sealed = self.seal(&mut tx, caller, push_id, &opened).await;
        let sealed = sealed.map_err(|error| judge(WriteFailure::judge(app, None, error)))?;
        if sealed.row_count == 0 {
            return Err(refuse(CommitError::NoEffect));
        }
        if let Some(digest) = digest {
            replay::note_digest(&mut tx, caller, sealed.bundle_seq, &digest).await?;
        }
        tx.commit().await.map_err(|error| judge(WriteFailure::judge(app, None, error)))?;
        Ok(CommittedPush {
            bundle_seq: sealed.bundle_seq,
            source: caller.source.clone(),
            source_bundle_id,
            row_count: sealed.row_count,
            bundle_hash: sealed.bundle_hash.expect("BUG: a bundle without a hash"),
            request_hash: opened.request_hash,
        })
    }

    /// Lock the scope and take the staged rows, if the push may be committed now.
    async fn open(&self, tx: &mut AppTx, caller: &SyncCaller, push_id: Uuid) -> Result<Opened, Failed> {
        const SQL: &str =
            "select outcome, source_bundle_id, planned_row_count, staged_row_count, request_hash, rows,
                conflict_ordinals, conflict_versions, conflict_deleted, replaced_by_source_id
            from {schema}._sync_push_open($1, $2, $3, $4, $5)";
        let opened: Opened = sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(push_id)
            .bind(self.clock.now())
            .bind(self.lease_ttl())
            .fetch_one(&mut **tx)
            .await
            .map_err(|error| match WriteFailure::judge(&caller.app, None, error) {
                WriteFailure::TryAgain => Failed::TryAgain,
                WriteFailure::Database(error) => error.into(),
                WriteFailure::Refused(refusal) => CommitError::Constraint(refusal).into(),
            })?;
        let error = match opened.outcome.as_str() {
            "ok" => return Ok(opened),
            "source_sequence_changed" => CommitError::SourceSequenceChanged,
            "duplicate_row" => CommitError::DuplicateRow,
            "incomplete" => CommitError::Incomplete {
                planned: opened.planned_row_count.unwrap_or_default(),
                staged: opened.staged_row_count.unwrap_or_default(),
            },
            other => PushRefused::parse(other, &caller.source, opened.replaced_by_source_id.as_deref())
                .unwrap_or_else(|| unreachable!("BUG: _sync_push_open answered {other}"))
                .into(),
        };
        Err(error.into())
    }

    async fn seal(
        &self,
        tx: &mut AppTx,
        caller: &SyncCaller,
        push_id: Uuid,
        opened: &Opened,
    ) -> Result<Sealed, sqlx::Error> {
        const SQL: &str = "select bundle_seq, row_count, bundle_hash
            from {schema}._sync_push_seal($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(push_id)
            .bind(opened.source_bundle_id)
            .bind(&opened.request_hash)
            .bind(caller.app.schema_version)
            .bind(&caller.user)
            .bind(self.clock.now())
            .fetch_one(&mut **tx)
            .await
    }
}

impl Opened {
    fn conflicts(&self) -> Vec<ConflictAt> {
        ConflictAt::list(&self.conflict_ordinals, &self.conflict_versions, &self.conflict_deleted)
    }
}

/// The rows of a large push, each chunk an array: one after the other, so that none is held twice.
async fn staged_rows(tx: &mut AppTx, caller: &SyncCaller, push_id: Uuid) -> Result<Vec<String>, sqlx::Error> {
    const SQL: &str = "select '[' || c.rows || ']'
        from {schema}._sync_push_chunk c
        where c.scope_id = $1 and c.push_id = $2
        order by c.start_row_ordinal";
    sqlx::query_scalar(in_schema(&caller.app.schema, SQL))
        .bind(&caller.scope)
        .bind(push_id)
        .fetch(&mut **tx)
        .try_collect()
        .await
}

/// SHA-256 over the array of all rows, in lowercase hex. `chunks` are arrays.
fn request_hash(chunks: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"[");
    for (i, chunk) in chunks.iter().enumerate() {
        if i > 0 {
            hash.update(b",");
        }
        hash.update(&chunk.as_bytes()[1..chunk.len() - 1]);
    }
    hash.update(b"]");
    crate::sync::lowercase_hex(&hash.finalize())
}

/// Whether the bundle may have the rows in another order than they were uploaded in.
fn may_be_reordered(app: &AppCatalog, rows: &[JsonRow<'_>]) -> bool {
    let first = rows.first();
    app.profile == WireProfile::Strings
        && rows.iter().any(|row| row.op != "INSERT" || Some(&row.table) != first.map(|first| &first.table))
        && rows.len() > 1
}

fn parse_staged(chunks: &[String]) -> Vec<JsonRow<'_>> {
    let parse =
        |chunk| serde_json::from_str::<Vec<JsonRow<'_>>>(chunk).expect("BUG: staged rows are no JSON");
    chunks.iter().flat_map(|chunk: &String| parse(chunk)).collect()
}

impl From<CommitError> for Failed {
    fn from(error: CommitError) -> Self {
        Self::ForGood(error)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::ForGood(error.into())
    }
}
