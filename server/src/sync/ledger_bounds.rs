//! The ledgers of conflicts and of refused writes stay bounded: by age, and by number per app. What is too much goes in
//! the background, in small batches, the oldest first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use time::{Duration, OffsetDateTime};

use super::Engine;
use crate::{
    ids::{AppId, SchemaName},
    ops::database::in_schema,
    tables::catalog::AppCatalog,
};

/// How long a conflict or a refused write is kept.
pub const KEPT_FOR: Duration = Duration::days(90);
/// How many of each an app keeps.
pub const KEPT_PER_APP: i64 = 20_000;
/// Entries that one statement removes.
const BATCH: i64 = 500;

/// The apps whose ledgers have been written to, or looked at, on this node since they were last pruned: an idle app
/// costs nothing, and nobody sees what should be gone for long.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct AppsWithLedgers(Arc<Mutex<HashMap<AppId, SchemaName>>>);

impl AppsWithLedgers {
    pub(in crate::sync) fn note(&self, app: &AppCatalog) {
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        apps.entry(app.app).or_insert_with(|| app.schema.clone());
    }

    fn take(&self) -> HashMap<AppId, SchemaName> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `$1`: what is older goes; `$2`: so many stay; `$3`: at most so many go at once.
const PRUNE_CONFLICTS: &str = "with due as (
        select c.scope_id, c.conflict_id
        from {schema}._sync_conflict c
        where (c.first_at, c.conflict_id) <= (
            select k.first_at, k.conflict_id
            from {schema}._sync_conflict k
            order by k.first_at desc, k.conflict_id desc
            offset $2
            limit 1
        ) or c.first_at < $1
        order by c.first_at, c.conflict_id
        limit $3
    ),
    gone as (
        delete from {schema}._sync_conflict c
        using due d
        where c.scope_id = d.scope_id and c.conflict_id = d.conflict_id
        returning 1
    )
    select count(*) from gone";

const PRUNE_REJECTED: &str = "with due as (
        select w.scope_id, w.rejected_id
        from {schema}._sync_rejected_write w
        where (w.last_at, w.rejected_id) <= (
            select k.last_at, k.rejected_id
            from {schema}._sync_rejected_write k
            order by k.last_at desc, k.rejected_id desc
            offset $2
            limit 1
        ) or w.last_at < $1
        order by w.last_at, w.rejected_id
        limit $3
    ),
    gone as (
        delete from {schema}._sync_rejected_write w
        using due d
        where w.scope_id = d.scope_id and w.rejected_id = d.rejected_id
        returning 1
    )
    select count(*) from gone";

impl Engine {
    /// Remove from the ledgers what is too old or too much. Answers how many entries.
    ///
    /// # Errors
    /// The first app's that failed; the others are done all the same.
    pub async fn prune_ledgers(&self) -> Result<i64, sqlx::Error> {
        let old = self.clock.now() - KEPT_FOR;
        let (mut removed, mut failure) = (0, None);
        for schema in self.apps_with_ledgers.take().into_values() {
            for sql in [PRUNE_CONFLICTS, PRUNE_REJECTED] {
                match self.prune_ledger(&schema, sql, old).await {
                    Ok(count) => removed += count,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        failure.map_or(Ok(removed), Err)
    }

    async fn prune_ledger(
        &self,
        schema: &SchemaName,
        sql: &'static str,
        old: OffsetDateTime,
    ) -> Result<i64, sqlx::Error> {
        let mut removed = 0;
        loop {
            let query = sqlx::query_as(in_schema(schema, sql)).bind(old).bind(KEPT_PER_APP).bind(BATCH);
            let (count,): (i64,) = self.apps.one(schema, query).await?;
            removed += count;
            if count < BATCH {
                return Ok(removed);
            }
        }
    }
}
