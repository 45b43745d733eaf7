//! Pushes that were begun and never committed are removed in the background, some time after they have expired: until
//! then their devices are told that they have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use time::Duration;

use crate::{
    ids::{AppId, SchemaName},
    ops::database::in_schema,
    sync::Engine,
};

/// How long an expired push is remembered.
const REMEMBERED_FOR: Duration = Duration::hours(1);
/// Pushes that are removed by one statement.
const BATCH: i64 = 100;

/// The apps that may have pushes under way: those where one was begun on this node, until none is left. An idle app
/// costs nothing.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct AppsWithPushes(Arc<Mutex<HashMap<AppId, SchemaName>>>);

impl AppsWithPushes {
    pub(super) fn note(&self, app: AppId, schema: &SchemaName) {
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        apps.entry(app).or_insert_with(|| schema.clone());
    }

    fn take(&self) -> HashMap<AppId, SchemaName> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const SQL: &str = "
with expired as (
    delete from {schema}._sync_push p
    where (p.scope_id, p.push_id) in (
        select o.scope_id, o.push_id from {schema}._sync_push o where o.expires_at <= $1 limit $2
    )
    returning p.scope_id, p.push_id
),
emptied as (
    delete from {schema}._sync_push_chunk c
    using expired e
    where c.scope_id = e.scope_id and c.push_id = e.push_id
)
select (select count(*) from expired), (select count(*) from {schema}._sync_push)";

impl Engine {
    /// Remove pushes that expired long ago. Answers how many.
    ///
    /// # Errors
    /// The first app's that failed; the others are done all the same.
    pub async fn remove_expired_pushes(&self) -> Result<i64, sqlx::Error> {
        let (mut removed, mut failure) = (0, None);
        // Forgotten before it is looked: a push that begins meanwhile notes its app again.
        for (app, schema) in self.apps_with_pushes.take() {
            match self.remove_expired_pushes_of(&schema).await {
                Ok((count, left)) => {
                    removed += count;
                    if left > 0 {
                        self.apps_with_pushes.note(app, &schema);
                    }
                }
                // The app is gone, with its schema or role.
                Err(sqlx::Error::Database(error))
                    if matches!(error.code().as_deref(), Some("42P01" | "3F000" | "22023" | "42704")) => {}
                Err(error) => {
                    self.apps_with_pushes.note(app, &schema);
                    failure = failure.or(Some(error));
                }
            }
        }
        failure.map_or(Ok(removed), Err)
    }

    /// How many were removed, and how many are left.
    async fn remove_expired_pushes_of(&self, schema: &SchemaName) -> Result<(i64, i64), sqlx::Error> {
        let before = self.clock.now() - REMEMBERED_FOR;
        let mut all = 0;
        loop {
            let query = sqlx::query_as(in_schema(schema, SQL)).persistent(false).bind(before).bind(BATCH);
            // The second count is of before the statement.
            let (removed, present): (i64, i64) = self.apps.one(schema, query).await?;
            all += removed;
            if removed < BATCH {
                return Ok((all, present - removed));
            }
        }
    }
}
