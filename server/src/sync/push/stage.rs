//! `POST sync/push-sessions/{push_id}/chunks`: upload rows.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::PushRefused;
use crate::{
    ops::database::in_schema,
    sync::{
        Engine, SyncCaller,
        payload::{self, CheckedChunk, InvalidChunk},
    },
};

/// Bodies from this size on are checked on a thread of their own, so that other requests go on meanwhile.
const CHECKED_ASIDE_FROM_BYTES: usize = 256 * 1024;

/// Where a push stands after a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPush {
    pub next_expected_row_ordinal: i64,
}

/// Why a chunk was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Invalid(#[from] InvalidChunk),
    #[error("the next row of the push is {expected}")]
    OutOfOrder { expected: i64 },
    #[error("the push has more rows than it announced")]
    MoreThanPlanned,
    #[error("the rows of a push may have at most {max} bytes")]
    TooManyBytes { max: i64 },
    #[error(transparent)]
    Refused(#[from] PushRefused),
    #[error("the chunk could not be staged")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, sqlx::FromRow)]
struct Answer {
    outcome: String,
    next_row_ordinal: Option<i64>,
    table_no: Option<i32>,
    key: Option<String>,
}

impl Engine {
    /// Check and keep the next rows of a push: all of the chunk, or nothing of it.
    pub async fn stage_chunk(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
        body: Bytes,
    ) -> Result<StagedPush, StageError> {
        let chunk = self.check_chunk(caller, &body).await;
        let staged = match chunk {
            Ok(chunk) => self.stage_checked(caller, push_id, &chunk).await,
            Err(invalid) => Err(invalid.into()),
        };
        if let Err(error) = &staged {
            self.record_refused_chunk(caller, push_id, error, &body).await;
        }
        staged
    }

    async fn check_chunk(&self, caller: &SyncCaller, body: &Bytes) -> Result<CheckedChunk, InvalidChunk> {
        let max_rows = self.limits.max_rows_per_push_chunk;
        if body.len() < CHECKED_ASIDE_FROM_BYTES {
            return payload::check_chunk(&caller.app, max_rows, body);
        }
        let (app, body) = (Arc::clone(&caller.app), body.clone());
        tokio::task::spawn_blocking(move || payload::check_chunk(&app, max_rows, &body))
            .await
            .expect("BUG: the checks of a chunk panicked")
    }

    async fn stage_checked(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
        chunk: &CheckedChunk,
    ) -> Result<StagedPush, StageError> {
        const SQL: &str = "select outcome, next_row_ordinal, table_no, key
            from {schema}._sync_push_stage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let query = sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(push_id)
            .bind(chunk.start_row_ordinal)
            .bind(&chunk.table_nos)
            .bind(&chunk.keys)
            .bind(&chunk.ops)
            .bind(&chunk.base_versions)
            .bind(&chunk.rows)
            .bind(self.clock.now())
            .bind(self.push_ttl())
            .bind(self.lease_ttl())
            .bind(self.limits.max_bytes_per_bundle);
        let answer: Answer = self.apps.one(&caller.app.schema, query).await?;

        let next = answer.next_row_ordinal.unwrap_or(0);
        match answer.outcome.as_str() {
            "ok" => Ok(StagedPush { next_expected_row_ordinal: next }),
            "out_of_order" => Err(StageError::OutOfOrder { expected: next }),
            "too_many_rows" => Err(StageError::MoreThanPlanned),
            "too_many_bytes" => Err(StageError::TooManyBytes { max: self.limits.max_bytes_per_bundle }),
            "duplicate_row" => {
                let (table_no, key) = (answer.table_no.unwrap_or_default(), answer.key.unwrap_or_default());
                Err(InvalidChunk::from(chunk.duplicate(&caller.app, table_no, &key)).into())
            }
            other => {
                let refused = PushRefused::parse(other, &caller.source, None);
                Err(refused.unwrap_or_else(|| unreachable!("BUG: _sync_push_stage answered {other}")).into())
            }
        }
    }
}
