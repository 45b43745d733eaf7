//! `POST sync/push-sessions`: announce a push.

use time::Duration;
use uuid::Uuid;

use super::{CommittedPush, PushRefused};
use crate::{
    ids::BundleSeq,
    ops::database::in_schema,
    sync::{Engine, SyncCaller},
    tables::spec::WireProfile,
};

/// What a device announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPush {
    /// One more than the device's last committed one.
    pub source_bundle_id: i64,
    pub planned_row_count: i64,
    /// 64 lowercase hex digits; may be absent in profile `numbers`.
    pub request_hash: Option<String>,
    /// From `connect`, for the push that fills an empty scope.
    pub initialization_id: Option<Uuid>,
}

/// The answer to an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedPush {
    /// Upload rows now.
    Staging { push_id: Uuid },
    /// It was committed before; the answer got lost.
    AlreadyCommitted(CommittedPush),
}

/// Why a push cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("source_bundle_id must be a whole number from 1")]
    SourceBundleId,
    #[error("planned_row_count must be a whole number from 1")]
    PlannedRowCount,
    #[error("a push must have at most {max} rows")]
    TooManyRows { max: i64 },
    #[error("the request hash is missing or is not 64 lowercase hex digits")]
    RequestHash,
    #[error("the bundle was committed and is no longer retained")]
    HistoryPruned,
    #[error("the source's next bundle is {expected}")]
    OutOfOrder { expected: i64 },
    #[error(transparent)]
    Refused(#[from] PushRefused),
    #[error("the push could not be created")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, sqlx::FromRow)]
struct Answer {
    outcome: String,
    bundle_seq: Option<BundleSeq>,
    row_count: Option<i32>,
    bundle_hash: Option<String>,
    request_hash: Option<String>,
    expected_source_bundle_id: i64,
    replaced_by_source_id: Option<String>,
}

impl Engine {
    /// Begin a push, in place of an older one of the same source and number that has not been committed.
    pub async fn create_push(&self, caller: &SyncCaller, new: NewPush) -> Result<CreatedPush, CreateError> {
        const SQL: &str = "select outcome, bundle_seq, row_count, bundle_hash, request_hash,
                expected_source_bundle_id, replaced_by_source_id
            from {schema}._sync_push_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        if let Err(error) = new.check(caller.app.profile, self.limits.max_rows_per_bundle) {
            self.record_refused_push(caller, &new, &error).await;
            return Err(error);
        }
        let push_id = Uuid::new_v4();
        self.apps_with_pushes.note(caller.app.app, &caller.app.schema);
        let query = sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(new.source_bundle_id)
            .bind(new.planned_row_count)
            .bind(&new.request_hash)
            .bind(new.initialization_id)
            .bind(push_id)
            .bind(caller.app.schema_version)
            .bind(self.clock.now())
            .bind(self.push_ttl())
            .bind(self.lease_ttl());
        let answer: Answer = self.apps.one(&caller.app.schema, query).await?;
        answer.into_created(caller, &new, push_id)
    }

    /// How long a push lasts after its last chunk.
    pub(super) fn push_ttl(&self) -> Duration {
        Duration::seconds(self.limits.push_session_ttl_seconds)
    }
}

impl NewPush {
    fn check(&self, profile: WireProfile, max_rows: i64) -> Result<(), CreateError> {
        if self.source_bundle_id < 1 {
            return Err(CreateError::SourceBundleId);
        }
        if self.planned_row_count < 1 {
            return Err(CreateError::PlannedRowCount);
        }
        let is_hash =
            |text: &String| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match &self.request_hash {
            None if profile == WireProfile::Numbers => {}
            Some(hash) if is_hash(hash) => {}
            _ => return Err(CreateError::RequestHash),
        }
        if self.planned_row_count > max_rows {
            return Err(CreateError::TooManyRows { max: max_rows });
        }
        Ok(())
    }
}

impl Answer {
    fn into_created(
        self,
        caller: &SyncCaller,
        new: &NewPush,
        push_id: Uuid,
    ) -> Result<CreatedPush, CreateError> {
        match self.outcome.as_str() {
            "ok" => Ok(CreatedPush::Staging { push_id }),
            "already_committed" => Ok(CreatedPush::AlreadyCommitted(CommittedPush {
                bundle_seq: self.bundle_seq.expect("BUG: a commit without a number"),
                source: caller.source.clone(),
                source_bundle_id: new.source_bundle_id,
                row_count: self.row_count.expect("BUG: a commit without a row count"),
                bundle_hash: self.bundle_hash.expect("BUG: a commit without a hash"),
                request_hash: self.request_hash,
            })),
            "history_pruned" => Err(CreateError::HistoryPruned),
            "out_of_order" => Err(CreateError::OutOfOrder { expected: self.expected_source_bundle_id }),
            other => {
                let refused =
                    PushRefused::parse(other, &caller.source, self.replaced_by_source_id.as_deref());
                Err(refused.unwrap_or_else(|| unreachable!("BUG: _sync_push_create answered {other}")).into())
            }
        }
    }
}
