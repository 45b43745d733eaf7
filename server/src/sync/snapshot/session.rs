//! `POST` and `DELETE sync/snapshot-sessions`: the right to read a snapshot, and source rotation.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    ids::{BundleSeq, SourceId},
    ops::database::{AppTx, in_schema},
    sync::{
        Engine, SyncCaller,
        gate::{self, ScopeNotReady, state_at},
    },
};

/// A snapshot outlives its sessions by this much, so that a page is there until the session has surely ended.
const OUTLIVES_SESSIONS: Duration = Duration::minutes(1);

/// A rotation: the device gives up a source that cannot go on and takes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReplacement {
    pub previous: SourceId,
    pub new: SourceId,
    pub reason: String,
}

/// A session that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSession {
    pub snapshot_id: Uuid,
    pub bundle_seq: BundleSeq,
    pub row_count: i64,
    pub byte_count: i64,
    pub expires_at: OffsetDateTime,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    NotReady(#[from] ScopeNotReady),
    /// The replacement contradicts itself or the request.
    #[error("{0}")]
    InvalidReplacement(&'static str),
    /// The new source is taken.
    #[error("the source {0} is known already")]
    NewSourceTaken(SourceId),
    /// The previous source went on as another.
    #[error("the source {source_id} is retired")]
    SourceRetired { source_id: SourceId, replaced_by: Option<String> },
    #[error("the snapshot exceeds a limit: {dimension} is {actual}, and {limit} is allowed")]
    LimitExceeded { dimension: &'static str, actual: i64, limit: i64 },
    /// Too many snapshots are being built on this node.
    #[error("too many snapshots are being built")]
    BuildCapacity,
    /// The engine's tables contradict the app's.
    #[error("the rows of table {table} and their versions do not agree")]
    Inconsistent { table: String },
    /// The task that built the snapshot ended without an answer: it panicked, or the server is stopping.
    #[error("building the snapshot was cut off")]
    CutOff,
    #[error("the snapshot could not be made")]
    Database(#[from] sqlx::Error),
}

impl SnapshotError {
    pub(super) fn check_limit(dimension: &'static str, actual: i64, limit: i64) -> Result<(), Self> {
        if actual <= limit { Ok(()) } else { Err(Self::LimitExceeded { dimension, actual, limit }) }
    }
}

/// Why a session cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionRefused {
    #[error("there is no such snapshot session")]
    NotFound,
    /// It belongs to another scope.
    #[error("the snapshot session belongs to somebody else")]
    Forbidden,
    #[error("the snapshot session has expired")]
    Expired,
    #[error("the snapshot session could not be read")]
    Database(#[from] sqlx::Error),
}

/// What looking for a snapshot to read came to.
enum Attached {
    Session(SnapshotSession),
    /// There is none; it must be of this bundle at least.
    None {
        wanted: BundleSeq,
    },
}

/// One row if the scope exists. `$5`: the least bundle that will do; null: the latest.
const ATTACH: &str = concat!(
    "with scope as (
        select s.bundle_seq, ",
    state_at!("$6"),
    " as state
        from {schema}._sync_scope s
        where s.scope_id = $1
    ),
    chosen as (
        update {schema}._sync_snapshot n
        set expires_at = greatest(n.expires_at, $8)
        where n.scope_id = $1 and not n.is_ending and n.build_id = (
            select c.build_id
            from {schema}._sync_snapshot c, scope s
            where c.scope_id = $1 and c.schema_version = $4 and not c.is_ending
                and c.bundle_seq >= coalesce($5, s.bundle_seq) and s.state = 'initialized'
            order by c.bundle_seq desc
            limit 1
        )
        returning n.build_id, n.bundle_seq, n.row_count, n.byte_count
    ),
    session as (
        insert into {schema}._sync_snapshot_session (
            scope_id, snapshot_id, source_id, build_id, bundle_seq, row_count, created_at, expires_at
        )
        select $1, $2, $3, n.build_id, n.bundle_seq, n.row_count, $6, $7
        from chosen n
    )
    select s.state, s.bundle_seq as latest_seq, n.bundle_seq, n.row_count, n.byte_count
    from scope s
    left join chosen n on true"
);

#[derive(Debug, sqlx::FromRow)]
struct AttachRow {
    state: String,
    latest_seq: BundleSeq,
    bundle_seq: Option<BundleSeq>,
    row_count: Option<i64>,
    byte_count: Option<i64>,
}

impl SourceReplacement {
    const REASONS: [&'static str; 4] =
        ["history_pruned", "source_sequence_out_of_order", "source_sequence_changed", "source_retired"];

    fn check(&self, caller: &SyncCaller) -> Result<(), SnapshotError> {
        let wrong = if self.previous != caller.source {
            "previous_source_id must be the source of the Oversync-Source-ID header."
        } else if self.new == self.previous {
            "new_source_id must differ from previous_source_id."
        } else if !Self::REASONS.contains(&self.reason.as_str()) {
            "reason must be history_pruned, source_sequence_out_of_order, source_sequence_changed or source_retired."
        } else {
            return Ok(());
        };
        Err(SnapshotError::InvalidReplacement(wrong))
    }
}

impl Engine {
    /// Begin to read a snapshot of the scope, and rotate the device's source if it asks for that.
    pub async fn create_snapshot(
        &self,
        caller: &SyncCaller,
        replacement: Option<&SourceReplacement>,
    ) -> Result<SnapshotSession, SnapshotError> {
        if let Some(replacement) = replacement {
            replacement.check(caller)?;
        }
        self.apps_with_snapshots.note(caller.app.app, &caller.app.schema);
        let session = self.session_on_snapshot(caller, replacement).await?;
        if let Some(replacement) = replacement {
            self.hub.retired(caller.app.app, &caller.scope, &replacement.previous);
        }
        Ok(session)
    }

    /// A session on the snapshot that is there, or on one that is built now.
    async fn session_on_snapshot(
        &self,
        caller: &SyncCaller,
        replacement: Option<&SourceReplacement>,
    ) -> Result<SnapshotSession, SnapshotError> {
        let wanted = match self.attach(caller, replacement, None).await? {
            Attached::Session(session) => return Ok(session),
            Attached::None { wanted } => wanted,
        };
        let key = (caller.app.app, caller.scope.clone(), caller.app.schema_version);
        let turn = self.snapshots.turn(key).await;
        // Somebody may have built it while we waited. Commits since we came do not matter: they are pulled.
        if let Attached::Session(session) = self.attach(caller, replacement, Some(wanted)).await? {
            return Ok(session);
        }
        let permit =
            self.snapshots.builds.clone().try_acquire_owned().map_err(|_| SnapshotError::BuildCapacity)?;
        let (engine, builder) = (self.clone(), caller.clone());
        // A task of its own: a client that gives up and comes again finds the snapshot built.
        let build = self.tasks.spawn(async move {
            let (_turn, _permit) = (turn, permit);
            engine.build_snapshot(&builder).await
        });
        build.await.map_err(|_| SnapshotError::CutOff)??;
        match self.attach(caller, replacement, Some(wanted)).await? {
            Attached::Session(session) => Ok(session),
            Attached::None { .. } => Err(SnapshotError::CutOff),
        }
    }

    /// Rotate if asked to, and begin a session on a snapshot of bundle `wanted` or later; both or neither.
    async fn attach(
        &self,
        caller: &SyncCaller,
        replacement: Option<&SourceReplacement>,
        wanted: Option<BundleSeq>,
    ) -> Result<Attached, SnapshotError> {
        let schema = &caller.app.schema;
        let now = self.clock.now();
        let snapshot_id = Uuid::new_v4();
        let expires_at = now + Duration::seconds(self.limits.snapshot_session_ttl_seconds);
        let query = sqlx::query_as(in_schema(schema, ATTACH))
            .bind(&caller.scope)
            .bind(snapshot_id)
            .bind(&caller.source)
            .bind(caller.app.schema_version)
            .bind(wanted)
            .bind(now)
            .bind(expires_at)
            .bind(expires_at + OUTLIVES_SESSIONS);
        let row: Option<AttachRow> = match replacement {
            None => self.apps.optional(schema, query).await?,
            Some(replacement) => {
                let mut tx = self.apps.begin(schema).await?;
                let row: Option<AttachRow> = query.fetch_optional(&mut *tx).await?;
                if let Some(row) = &row {
                    gate::check(Some(&row.state))?;
                    rotate(&mut tx, caller, replacement, now).await?;
                }
                if row.as_ref().is_some_and(|row| row.bundle_seq.is_some()) {
                    tx.commit().await?;
                } else {
                    tx.rollback().await?;
                }
                row
            }
        };
        let row = row.ok_or(ScopeNotReady::Uninitialized)?;
        gate::check(Some(&row.state))?;
        let (Some(bundle_seq), Some(row_count), Some(byte_count)) =
            (row.bundle_seq, row.row_count, row.byte_count)
        else {
            return Ok(Attached::None { wanted: wanted.unwrap_or(row.latest_seq) });
        };
        Ok(Attached::Session(SnapshotSession { snapshot_id, bundle_seq, row_count, byte_count, expires_at }))
    }

    /// End a session.
    pub async fn delete_snapshot(
        &self,
        caller: &SyncCaller,
        snapshot_id: Uuid,
    ) -> Result<(), SessionRefused> {
        const SQL: &str = "with ours as (
                delete from {schema}._sync_snapshot_session n
                where n.scope_id = $1 and n.snapshot_id = $2 and n.expires_at > $3
            )
            select n.scope_id = $1 as is_ours, n.expires_at <= $3 as is_expired
            from {schema}._sync_snapshot_session n
            where n.snapshot_id = $2";
        let schema = &caller.app.schema;
        let query = sqlx::query_as(in_schema(schema, SQL))
            .bind(&caller.scope)
            .bind(snapshot_id)
            .bind(self.clock.now());
        match self.apps.optional(schema, query).await? {
            None => Err(SessionRefused::NotFound),
            Some((false, _)) => Err(SessionRefused::Forbidden),
            Some((true, true)) => Err(SessionRefused::Expired),
            Some((true, false)) => Ok(()),
        }
    }
}

/// Retire the previous source and reserve the new one.
async fn rotate(
    tx: &mut AppTx,
    caller: &SyncCaller,
    replacement: &SourceReplacement,
    now: OffsetDateTime,
) -> Result<(), SnapshotError> {
    const SQL: &str =
        "select outcome, replaced_by_source_id from {schema}._sync_source_replace($1, $2, $3, $4, $5)";
    let (outcome, replaced_by): (String, Option<String>) = sqlx::query_as(in_schema(&caller.app.schema, SQL))
        .bind(&caller.scope)
        .bind(&replacement.previous)
        .bind(&replacement.new)
        .bind(&replacement.reason)
        .bind(now)
        .fetch_one(&mut **tx)
        .await?;
    match outcome.as_str() {
        "ok" => Ok(()),
        "source_retired" => {
            Err(SnapshotError::SourceRetired { source_id: replacement.previous.clone(), replaced_by })
        }
        "invalid" => Err(SnapshotError::NewSourceTaken(replacement.new.clone())),
        other => unreachable!("BUG: _sync_source_replace answered {other}"),
    }
}
