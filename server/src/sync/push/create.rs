//! `POST sync/push-sessions`: announce a push.

use std::collections::HashSet;

use time::Duration;
use uuid::Uuid;

use super::{CommittedPush, PushRefused};
use crate::{
    ids::BundleSeq,
    ops::database::in_schema,
    sync::{
        Engine, SyncCaller,
        together::{Together, or_alone},
    },
    tables::spec::WireProfile,
};

/// The greatest number of a bundle. A source may begin with any, and every client must be able to read it.
pub const MAX_SOURCE_BUNDLE_ID: i64 = (1 << 53) - 1;

/// What a device announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPush {
    /// One more than the device's last committed one; of a source that the scope does not know, any.
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
    #[error("source_bundle_id must be a whole number from 1 to {MAX_SOURCE_BUNDLE_ID}")]
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
    /// It is older than it believes: restored from a backup, or there are two of it.
    #[error("the source has committed other rows as bundle {source_bundle_id}")]
    Taken { source_bundle_id: i64 },
    #[error(transparent)]
    Refused(#[from] PushRefused),
    #[error("the push could not be created")]
    Database(#[from] sqlx::Error),
}

/// What `_sync_push_create` answers.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::sync) struct Answer {
    outcome: String,
    bundle_seq: Option<BundleSeq>,
    row_count: Option<i32>,
    bundle_hash: Option<String>,
    request_hash: Option<String>,
    expected_source_bundle_id: i64,
    replaced_by_source_id: Option<String>,
}

const SQL: &str = "select outcome, bundle_seq, row_count, bundle_hash, request_hash,
        expected_source_bundle_id, replaced_by_source_id
    from {schema}._sync_push_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Those that are not in order are left out. The arrays hide in sub-selects to have one plan for any length of them, and
/// look-ups are lateral with a limit so that it is one of look-ups by key.
const GROUP_SQL: &str = "
insert into {schema}._sync_push (
    scope_id, push_id, source_id, source_bundle_id, planned_row_count, staged_row_count, staged_bytes, request_hash,
    initialization_id, schema_version, created_at, expires_at
)
select u.scope_id, u.push_id, u.source_id, u.source_bundle_id, u.planned_row_count, 0, 0, u.request_hash,
    null, $7, $8, $8 + $9
from unnest(
    (select $1::text[]), (select $2::uuid[]), (select $3::text[]), (select $4::bigint[]), (select $5::bigint[]),
    (select $6::text[])
) as u (scope_id, push_id, source_id, source_bundle_id, planned_row_count, request_hash)
cross join lateral (
    select
    from {schema}._sync_scope s
    left join {schema}._sync_source o on o.scope_id = s.scope_id and o.source_id = u.source_id
    where s.scope_id = u.scope_id and s.state = 'initialized'
        and o.state is distinct from 'retired' and coalesce(o.source_bundle_id, 0) + 1 = u.source_bundle_id
    limit 1
) gate
on conflict (scope_id, source_id, source_bundle_id) do nothing
returning push_id";

/// The announcements that wait to be put down together.
pub(in crate::sync) type CreateGroups = Together<Announced, Result<Answer, sqlx::Error>>;

/// An announcement that can be put down.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Announced {
    caller: SyncCaller,
    new: NewPush,
    push_id: Uuid,
}

impl Engine {
    /// Begin a push, in place of an older one of the same source and number that has not been committed.
    pub async fn create_push(&self, caller: &SyncCaller, new: NewPush) -> Result<CreatedPush, CreateError> {
        if let Err(error) = new.check(caller.app.profile, self.limits.max_rows_per_bundle) {
            self.record_refused_push(caller, &new, &error).await;
            return Err(error);
        }
        let push_id = Uuid::new_v4();
        self.apps_with_pushes.note(caller.app.app, &caller.app.schema);
        let one = Announced { caller: caller.clone(), new, push_id };
        let engine = self.clone();
        let create = move |group| {
            let engine = engine.clone();
            async move { engine.create_group(group).await }
        };
        let share = self.shares.enter(caller.app.app).await;
        let answer = self.groups.creates.ask(&self.tasks, caller.together(), one.clone(), create).await;
        drop(share);
        let answer = answer.expect("BUG: creating a push panicked")?;
        let created = answer.into_created(caller, &one.new, push_id)?;
        if let CreatedPush::AlreadyCommitted(committed) = &created {
            self.prepare_replay(caller, committed).await?;
        }
        Ok(created)
    }

    /// What became of each announcement.
    async fn create_group(&self, group: Vec<Announced>) -> Vec<Result<Answer, sqlx::Error>> {
        // Whatever went wrong, each finds out alone.
        let created = if group.len() > 1 { self.try_create_group(&group).await } else { Ok(HashSet::new()) };
        let created = created.unwrap_or_default();
        let grouped = group
            .iter()
            .map(|one| created.contains(&one.push_id).then(|| Ok(Answer::ok(&one.new))))
            .collect();
        or_alone(&group, grouped, |one| self.create_alone(one.clone())).await
    }

    async fn create_alone(&self, one: Announced) -> Result<Answer, sqlx::Error> {
        let Announced { caller, new, push_id } = &one;
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
        self.apps.one(&caller.app.schema, query).await
    }

    /// The pushes that could begin just so: what `_sync_push_create` does when everything is in order.
    async fn try_create_group(&self, group: &[Announced]) -> Result<HashSet<Uuid>, sqlx::Error> {
        let app = &group.first().expect("BUG: an empty group").caller.app;
        let in_order: Vec<_> = group.iter().filter(|one| one.new.initialization_id.is_none()).collect();
        let column = |of: fn(&Announced) -> i64| -> Vec<i64> { in_order.iter().map(|one| of(one)).collect() };
        let query = sqlx::query_as(in_schema(&app.schema, GROUP_SQL))
            .bind(in_order.iter().map(|one| one.caller.scope.as_str()).collect::<Vec<_>>())
            .bind(in_order.iter().map(|one| one.push_id).collect::<Vec<_>>())
            .bind(in_order.iter().map(|one| one.caller.source.as_str()).collect::<Vec<_>>())
            .bind(column(|one| one.new.source_bundle_id))
            .bind(column(|one| one.new.planned_row_count))
            .bind(in_order.iter().map(|one| one.new.request_hash.as_deref()).collect::<Vec<_>>())
            .bind(app.schema_version)
            .bind(self.clock.now())
            .bind(self.push_ttl());
        let created: Vec<(Uuid,)> = self.apps.all(&app.schema, query).await?;
        Ok(created.into_iter().map(|(push_id,)| push_id).collect())
    }

    /// How long a push lasts after its last chunk.
    pub(super) fn push_ttl(&self) -> Duration {
        Duration::seconds(self.limits.push_session_ttl_seconds)
    }
}

impl NewPush {
    fn check(&self, profile: WireProfile, max_rows: i64) -> Result<(), CreateError> {
        if !(1..=MAX_SOURCE_BUNDLE_ID).contains(&self.source_bundle_id) {
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
    /// The push has begun.
    fn ok(new: &NewPush) -> Self {
        Self {
            outcome: "ok".to_owned(),
            bundle_seq: None,
            row_count: None,
            bundle_hash: None,
            request_hash: None,
            expected_source_bundle_id: new.source_bundle_id,
            replaced_by_source_id: None,
        }
    }

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
            "taken" => Err(CreateError::Taken { source_bundle_id: new.source_bundle_id }),
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
