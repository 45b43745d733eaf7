//! The inbox of writes that were refused for another reason than a conflict: a refused row also blocks its device's
//! downloads, so somebody has to know.

pub mod in_the_way;
pub mod inbox;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Engine, SyncCaller,
    payload::{
        InvalidChunk,
        json::{JsonRow, Value},
    },
    push::{CommitError, CreateError, NewPush, StageError},
    refusal::Refusal,
};
use crate::{
    ids::{RejectedWriteId, ScopeId},
    ops::database::in_schema,
};

/// Bytes of rows that are kept of one failure.
pub const KEPT_ROW_BYTES: usize = 64 * 1024;
/// Distinct failures that are kept of one scope; the oldest make room.
pub const KEPT_PER_SCOPE: i64 = 200;

/// A failure as the inbox keeps it.
#[derive(Debug, Default)]
struct Failure<'a> {
    code: &'static str,
    message: String,
    table: Option<&'a str>,
    constraint: Option<&'a str>,
    column: Option<&'a str>,
    source_bundle_id: Option<i64>,
    push_id: Option<Uuid>,
    excerpt: RefusedRows,
}

/// Some of the rows that were refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::sync) struct RefusedRows {
    /// A JSON array of as many rows, as sent, as the bound allows.
    text: String,
    /// How many there were.
    count: i64,
    /// The key of the first.
    first_key: String,
}

impl RefusedRows {
    /// From rows as JSON texts.
    pub(in crate::sync) fn of<'r>(rows: impl Iterator<Item = &'r str>) -> Self {
        let mut refused = Self { text: "[".to_owned(), ..Self::default() };
        for row in rows {
            if refused.count == 0 {
                refused.first_key = key_of(row);
            }
            refused.count += 1;
            if refused.text.len() + row.len() < KEPT_ROW_BYTES {
                if refused.text.len() > 1 {
                    refused.text.push(',');
                }
                refused.text.push_str(row);
            }
        }
        refused.text.push(']');
        refused
    }

    /// From chunks of a push as it was staged, each an array: the rows that broke the rule, if it is known which, otherwise
    /// those of its table, otherwise all.
    pub(in crate::sync) fn of_staged(chunks: &[String], scope: &ScopeId, refusal: Option<&Refusal>) -> Self {
        let rows = || {
            chunks.iter().flat_map(|chunk| serde_json::from_str::<Vec<&RawValue>>(chunk).unwrap_or_default())
        };
        let those = |wanted: &dyn Fn(&Refusal, &JsonRow<'_>) -> bool| {
            let refusal = refusal?;
            let is_wanted = |row: &&RawValue| {
                serde_json::from_str::<JsonRow<'_>>(row.get()).is_ok_and(|row| wanted(refusal, &row))
            };
            let some = Self::of(rows().filter(is_wanted).map(RawValue::get));
            (some.count > 0).then_some(some)
        };
        those(&|refusal, row| refusal.is_about(scope.as_str(), row))
            .or_else(|| those(&|refusal, row| refusal.table.as_deref() == Some(row.table.as_ref())))
            .unwrap_or_else(|| Self::of(rows().map(RawValue::get)))
    }

    /// Its key, if it is one row.
    pub(in crate::sync) fn only_key(&self) -> Option<&str> {
        (self.count == 1 && !self.first_key.is_empty()).then_some(self.first_key.as_str())
    }

    /// The row at `place` of a chunk's body.
    fn of_body(body: &[u8], place: usize) -> Self {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            rows: Vec<&'a RawValue>,
        }
        // What is kept goes into PostgreSQL, which holds no U+0000, not even escaped if somebody parses it there.
        let rows = serde_json::from_slice::<Body<'_>>(body).map(|body| body.rows).unwrap_or_default();
        Self::of(rows.get(place).map(|row| row.get()).into_iter())
    }
}

fn key_of(row: &str) -> String {
    let row = serde_json::from_str::<JsonRow<'_>>(row);
    match row.as_ref().map(|row| row.key.0.first()) {
        Ok(Some((_, Value::Text(key)))) => key.to_string(),
        _ => String::new(),
    }
}

impl Engine {
    /// Keep what was wrong with a push that could not begin, if it is for people to know.
    pub(in crate::sync) async fn record_refused_push(
        &self,
        caller: &SyncCaller,
        new: &NewPush,
        error: &CreateError,
    ) {
        if let CreateError::TooManyRows { .. } = error {
            let excerpt = RefusedRows { count: new.planned_row_count, ..RefusedRows::of(std::iter::empty()) };
            let failure = Failure {
                code: "push_session_invalid",
                message: error.to_string(),
                source_bundle_id: Some(new.source_bundle_id),
                excerpt,
                ..Failure::default()
            };
            self.record(caller, failure).await;
        }
    }

    /// Keep what was wrong with a chunk, if it is for people to know: its rows, not its form.
    pub(in crate::sync) async fn record_refused_chunk(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
        error: &StageError,
        body: &[u8],
    ) {
        let mut failure = Failure {
            code: "push_chunk_invalid",
            message: error.to_string(),
            push_id: Some(push_id),
            excerpt: RefusedRows::of(std::iter::empty()),
            ..Failure::default()
        };
        match error {
            StageError::Invalid(InvalidChunk::Row(row)) => {
                failure.table = row.table.as_deref();
                failure.column = row.column.as_deref();
                failure.excerpt = RefusedRows::of_body(body, row.place);
            }
            StageError::Invalid(InvalidChunk::TooManyRows { .. }) | StageError::TooManyBytes { .. } => {}
            _ => return,
        }
        self.record(caller, failure).await;
    }

    /// Keep why a push could not be committed, if it is for people to know.
    pub(in crate::sync) async fn record_refused_commit(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
        error: &CommitError,
        excerpt: RefusedRows,
    ) {
        let mut failure = Failure {
            code: "push_commit_invalid",
            message: error.to_string(),
            push_id: Some(push_id),
            excerpt,
            ..Failure::default()
        };
        match error {
            CommitError::Constraint(refusal) => {
                failure.table = refusal.table.as_deref();
                failure.column = refusal.column.as_deref();
                failure.constraint = refusal.constraint.as_deref();
                if let Some(said) = &refusal.trigger_message {
                    failure.message = format!("{} It said: {said}", failure.message);
                }
            }
            CommitError::HashMismatch | CommitError::TablesChanged | CommitError::NoEffect => {}
            _ => return,
        }
        self.record(caller, failure).await;
    }

    async fn record(&self, caller: &SyncCaller, failure: Failure<'_>) {
        if let Err(error) = self.insert_rejected_write(caller, &failure).await {
            tracing::error!(
                app.id = %caller.app.app,
                error.cause = %error,
                "a rejected write could not be recorded"
            );
        }
    }

    async fn insert_rejected_write(
        &self,
        caller: &SyncCaller,
        failure: &Failure<'_>,
    ) -> Result<(), sqlx::Error> {
        self.apps_with_ledgers.note(&caller.app);
        let mut tx = self.apps.begin(&caller.app.schema).await?;
        sqlx::query(in_schema(&caller.app.schema, RECORD))
            .bind(&caller.scope)
            .bind(RejectedWriteId::new().uuid())
            .bind(failure.fingerprint(caller))
            .bind(&caller.source)
            .bind(&caller.user)
            .bind(failure.source_bundle_id)
            .bind(failure.push_id)
            .bind(failure.code)
            .bind(without_nul(&failure.message))
            .bind(failure.table.map(without_nul))
            .bind(failure.constraint)
            .bind(failure.column.map(without_nul))
            .bind(failure.excerpt.count)
            .bind(&failure.excerpt.text)
            .bind(self.clock.now())
            .execute(&mut *tx)
            .await?;
        sqlx::query(in_schema(&caller.app.schema, MAKE_ROOM))
            .bind(&caller.scope)
            .bind(KEPT_PER_SCOPE)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }
}

impl Failure<'_> {
    fn fingerprint(&self, caller: &SyncCaller) -> String {
        let mut hash = Sha256::new();
        for part in [
            caller.source.as_str(),
            self.code,
            self.table.unwrap_or_default(),
            self.constraint.unwrap_or_default(),
            self.column.unwrap_or_default(),
            &self.excerpt.first_key,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        super::lowercase_hex(&hash.finalize())
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A failure that was thought resolved and comes back is open again; one that people chose to ignore stays so.
const RECORD: &str = "
insert into {schema}._sync_rejected_write (
    scope_id, rejected_id, fingerprint, source_id, user_id, source_bundle_id, code, message, table_name,
    constraint_name, column_name, row_count, rows, first_at, last_at, state
)
values (
    $1, $2, $3, $4, $5,
    coalesce($6, (select p.source_bundle_id from {schema}._sync_push p where p.scope_id = $1 and p.push_id = $7)),
    $8, $9, $10, $11, $12, $13, $14, $15, $15, 'open'
)
on conflict on constraint rejected_once_per_failure do update
set attempts = _sync_rejected_write.attempts + 1,
    last_at = excluded.last_at,
    message = excluded.message,
    source_bundle_id = coalesce(excluded.source_bundle_id, _sync_rejected_write.source_bundle_id),
    row_count = excluded.row_count,
    rows = excluded.rows,
    state_at = case
        when _sync_rejected_write.state = 'resolved' then excluded.last_at
        else _sync_rejected_write.state_at
    end,
    state_by = case when _sync_rejected_write.state = 'resolved' then null else _sync_rejected_write.state_by end,
    state = case when _sync_rejected_write.state = 'resolved' then 'open' else _sync_rejected_write.state end";

const MAKE_ROOM: &str = "
delete from {schema}._sync_rejected_write r
where r.scope_id = $1
    and r.rejected_id in (
        select o.rejected_id
        from {schema}._sync_rejected_write o
        where o.scope_id = $1
        order by o.last_at desc, o.rejected_id desc
        offset $2
    )";
