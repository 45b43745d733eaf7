//! `POST sync/push-sessions/{push_id}/chunks`: upload rows.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::PushRefused;
use crate::{
    ops::database::in_schema,
    sync::{
        Engine, SyncCaller,
        payload::{self, CheckedChunk, ChunkLimits, InvalidChunk},
        together::{Together, or_alone},
    },
};

/// Bodies from this size on are checked on a thread of their own, so that other requests go on meanwhile.
const CHECKED_ASIDE_FROM_BYTES: usize = 256 * 1024;
/// The most bytes of a row that is put down together with others.
const SMALL_BYTES: usize = 8 * 1024;

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

/// The chunks that wait to be put down together.
pub(in crate::sync) type ChunkGroups = Together<Uploaded, Result<Answer, sqlx::Error>>;

/// A chunk that has been checked.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Uploaded {
    caller: SyncCaller,
    push_id: Uuid,
    chunk: Arc<CheckedChunk>,
}

const SQL: &str = "select outcome, next_row_ordinal, table_no, key
    from {schema}._sync_push_stage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// Those that are not in order are left out. The arrays hide in sub-selects to have one plan for any length of them.
const GROUP_SQL: &str = "
with counted as (
    update {schema}._sync_push p
    set staged_row_count = 1, staged_bytes = octet_length(u.rows), expires_at = $9 + $10
    from unnest(
        (select $1::text[]), (select $2::text[]), (select $3::uuid[]), (select $4::integer[]), (select $5::text[]),
        (select $6::text[]), (select $7::bigint[]), (select $8::text[])
    ) as u (scope_id, source_id, push_id, table_no, key, op, base_version, rows)
    where p.scope_id = u.scope_id and p.push_id = u.push_id and p.source_id = u.source_id and p.expires_at > $9
        and p.staged_row_count = 0 and octet_length(u.rows) <= $11 and p.initialization_id is null
        and exists (select from {schema}._sync_scope s where s.scope_id = p.scope_id and s.state = 'initialized')
    returning u.*
)
insert into {schema}._sync_push_chunk (
    scope_id, push_id, start_row_ordinal, table_nos, keys, ops, base_versions, rows
)
select c.scope_id, c.push_id, 0, array[c.table_no], array[c.key], array[c.op], array[c.base_version], c.rows
from counted c
returning push_id";

/// What `_sync_push_stage` answers.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::sync) struct Answer {
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
            Ok(chunk) => self.stage_checked(caller, push_id, chunk).await,
            Err(invalid) => Err(invalid.into()),
        };
        if let Err(error) = &staged {
            self.record_refused_chunk(caller, push_id, error, &body).await;
        }
        staged
    }

    async fn check_chunk(&self, caller: &SyncCaller, body: &Bytes) -> Result<CheckedChunk, InvalidChunk> {
        let limits = ChunkLimits {
            max_rows: self.limits.max_rows_per_push_chunk,
            max_row_bytes: self.limits.max_bytes_per_snapshot_row,
        };
        if body.len() < CHECKED_ASIDE_FROM_BYTES {
            return payload::check_chunk(&caller.app, limits, body);
        }
        let (app, body) = (Arc::clone(&caller.app), body.clone());
        tokio::task::spawn_blocking(move || payload::check_chunk(&app, limits, &body))
            .await
            .expect("BUG: the checks of a chunk panicked")
    }

    async fn stage_checked(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
        chunk: CheckedChunk,
    ) -> Result<StagedPush, StageError> {
        let chunk = Arc::new(chunk);
        let one = Uploaded { caller: caller.clone(), push_id, chunk: Arc::clone(&chunk) };
        let share = self.shares.enter(caller.app.app).await;
        let answer = if one.is_small() {
            let engine = self.clone();
            let stage = move |group| {
                let engine = engine.clone();
                async move { engine.stage_group(group).await }
            };
            let answer = self.groups.chunks.ask(&self.tasks, caller.together(), one, stage).await;
            answer.expect("BUG: staging a chunk panicked")?
        } else {
            self.stage_alone(one).await?
        };
        drop(share);
        answer.into_staged(caller, &chunk, self.limits.max_bytes_per_bundle)
    }

    /// What became of each chunk; all are small.
    async fn stage_group(&self, group: Vec<Uploaded>) -> Vec<Result<Answer, sqlx::Error>> {
        // Whatever went wrong, each finds out alone.
        let staged = if group.len() > 1 { self.try_stage_group(&group).await } else { Ok(HashSet::new()) };
        let staged = staged.unwrap_or_default();
        let grouped =
            group.iter().map(|one| staged.contains(&one.push_id).then(|| Ok(Answer::ok(1)))).collect();
        or_alone(&group, grouped, |one| self.stage_alone(one.clone())).await
    }

    /// The pushes whose only row could be put down just so: what `_sync_push_stage` does when everything is in order.
    async fn try_stage_group(&self, group: &[Uploaded]) -> Result<HashSet<Uuid>, sqlx::Error> {
        let app = &group.first().expect("BUG: an empty group").caller.app;
        let texts = |of: fn(&Uploaded) -> &str| -> Vec<&str> { group.iter().map(of).collect() };
        let query = sqlx::query_as(in_schema(&app.schema, GROUP_SQL))
            .bind(texts(|one| one.caller.scope.as_str()))
            .bind(texts(|one| one.caller.source.as_str()))
            .bind(group.iter().map(|one| one.push_id).collect::<Vec<_>>())
            .bind(group.iter().map(|one| one.chunk.table_nos[0]).collect::<Vec<_>>())
            .bind(texts(|one| &one.chunk.keys[0]))
            .bind(texts(|one| one.chunk.ops[0]))
            .bind(group.iter().map(|one| one.chunk.base_versions[0]).collect::<Vec<_>>())
            .bind(texts(|one| &one.chunk.rows))
            .bind(self.clock.now())
            .bind(self.push_ttl())
            .bind(self.limits.max_bytes_per_bundle);
        let staged: Vec<(Uuid,)> = self.apps.all(&app.schema, query).await?;
        Ok(staged.into_iter().map(|(push_id,)| push_id).collect())
    }

    async fn stage_alone(&self, one: Uploaded) -> Result<Answer, sqlx::Error> {
        let Uploaded { caller, push_id, chunk } = &one;
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
        self.apps.one(&caller.app.schema, query).await
    }
}

impl Uploaded {
    /// It may go together with others: a push's only row, or its first, of ordinary size.
    fn is_small(&self) -> bool {
        self.chunk.start_row_ordinal == 0
            && self.chunk.keys.len() == 1
            && self.chunk.rows.len() <= SMALL_BYTES
    }
}

impl Answer {
    /// The rows are kept.
    fn ok(next: i64) -> Self {
        Self { outcome: "ok".to_owned(), next_row_ordinal: Some(next), table_no: None, key: None }
    }

    fn into_staged(
        self,
        caller: &SyncCaller,
        chunk: &CheckedChunk,
        max_bytes: i64,
    ) -> Result<StagedPush, StageError> {
        let next = self.next_row_ordinal.unwrap_or(0);
        match self.outcome.as_str() {
            "ok" => Ok(StagedPush { next_expected_row_ordinal: next }),
            "out_of_order" => Err(StageError::OutOfOrder { expected: next }),
            "too_many_rows" => Err(StageError::MoreThanPlanned),
            "too_many_bytes" => Err(StageError::TooManyBytes { max: max_bytes }),
            "duplicate_row" => {
                let (table_no, key) = (self.table_no.unwrap_or_default(), self.key.unwrap_or_default());
                Err(InvalidChunk::from(chunk.duplicate(&caller.app, table_no, &key)).into())
            }
            other => {
                let refused = PushRefused::parse(other, &caller.source, None);
                Err(refused.unwrap_or_else(|| unreachable!("BUG: _sync_push_stage answered {other}")).into())
            }
        }
    }
}
