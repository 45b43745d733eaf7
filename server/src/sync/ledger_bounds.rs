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

/// `$1`: what is older goes; `$2`: so many stay; `$3`: at most so many go at once. `$id` identifies an entry within its
/// scope, `$at` is the time by which the ledger is in order.
macro_rules! prune {
    ($ledger:literal, $id:literal, $at:literal) => {
        concat!(
            "with entry as not materialized (
                select l.scope_id, l.",
            $id,
            " as id, l.",
            $at,
            " as at
                from {schema}.",
            $ledger,
            " l
            ),
            due as (
                select e.scope_id, e.id
                from entry e
                where (e.at, e.id) <= (
                    select k.at, k.id
                    from entry k
                    order by k.at desc, k.id desc
                    offset $2
                    limit 1
                ) or e.at < $1
                order by e.at, e.id
                limit $3
            ),
            gone as (
                delete from {schema}.",
            $ledger,
            " l
                using due d
                where l.scope_id = d.scope_id and l.",
            $id,
            " = d.id
                returning 1
            )
            select count(*) from gone"
        )
    };
}

const PRUNE: [&str; 2] = [
    prune!("_sync_conflict", "conflict_id", "first_at"),
    prune!("_sync_rejected_write", "rejected_id", "last_at"),
];

impl Engine {
    /// Remove from the ledgers what is too old or too much. Answers how many entries.
    ///
    /// # Errors
    /// The first app's that failed; the others are done all the same.
    pub async fn prune_ledgers(&self) -> Result<i64, sqlx::Error> {
        let old = self.clock.now() - KEPT_FOR;
        let (mut removed, mut failure) = (0, None);
        for schema in self.apps_with_ledgers.take().into_values() {
            for sql in PRUNE {
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
