//! Removing steps that no chart shows any more, from apps where something has happened since the last time: an app that
//! nobody uses keeps the few rows it has and costs nothing.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::Step;
use crate::{ids::AppId, ops::database::in_schema, sync::Engine};

/// Rows that one statement removes.
const BATCH: i64 = 500;

/// The apps that this node has added to since it last took them.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct AppsWithRollups(Arc<Mutex<HashSet<AppId>>>);

impl AppsWithRollups {
    pub(super) fn note(&self, app: AppId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(app);
    }

    pub(super) fn take(&self) -> HashSet<AppId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const PRUNE: &str = "delete from {schema}._sync_rollup r
    where (r.step, r.at) in (
        select o.step, o.at
        from unnest($1::integer[], $2::timestamptz[]) as u (step, kept_from)
        join {schema}._sync_rollup o on o.step = u.step and o.at < u.kept_from
        limit $3
    )
    returning r.step";

impl Engine {
    /// Remove what is too old. Answers how many rows.
    ///
    /// # Errors
    /// The last app's that failed; it is tried again, and the others are done all the same.
    pub async fn prune_rollups(&self) -> Result<usize, sqlx::Error> {
        let (mut removed, mut outcome) = (0, Ok(()));
        for app in self.apps_with_rollups.take() {
            match self.prune_rollups_of(app).await {
                Ok(rows) => removed += rows,
                Err(error) => {
                    self.apps_with_rollups.note(app);
                    outcome = Err(error);
                }
            }
        }
        outcome.map(|()| removed)
    }

    async fn prune_rollups_of(&self, app: AppId) -> Result<usize, sqlx::Error> {
        let (schema, now) = (app.schema(), self.clock.now());
        let mut removed = 0;
        loop {
            let query = sqlx::query(in_schema(&schema, PRUNE))
                .bind(Step::ALL.map(Step::seconds).to_vec())
                .bind(Step::ALL.map(|step| now - step.kept_for()).to_vec())
                .bind(BATCH);
            let rows = self.apps.rows(&schema, query).await?.len();
            removed += rows;
            if (rows as i64) < BATCH {
                return Ok(removed);
            }
        }
    }
}
