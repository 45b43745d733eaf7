//! Removing what nobody reads any more: sessions some time after they have expired, and snapshots without sessions,
//! page by page. In the background, in bounded batches.

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

/// How long an expired session is remembered: until then its device is told that it has expired.
const REMEMBERED_FOR: Duration = Duration::hours(1);
/// Sessions or snapshots of one statement, and pages of one.
const BATCH: i64 = 500;
const PAGES: i64 = 64;

/// The apps that may have snapshots: those where a session was begun on this node, until none is left. An idle app
/// costs nothing.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct AppsWithSnapshots(Arc<Mutex<HashMap<AppId, SchemaName>>>);

impl AppsWithSnapshots {
    pub(super) fn note(&self, app: AppId, schema: &SchemaName) {
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        apps.entry(app).or_insert_with(|| schema.clone());
    }

    fn take(&self) -> HashMap<AppId, SchemaName> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const SESSIONS: &str = "with expired as (
        delete from {schema}._sync_snapshot_session n
        where (n.scope_id, n.snapshot_id) in (
            select o.scope_id, o.snapshot_id
            from {schema}._sync_snapshot_session o
            where o.expires_at <= $1
            limit $2
        )
        returning n.snapshot_id
    )
    select count(*) from expired";

/// Whoever begins a session moves the expiry under the row's lock: one of the two comes first, and the other sees it.
const END: &str = "update {schema}._sync_snapshot n
    set is_ending = true
    where n.expires_at <= $1 and not n.is_ending";

const REMOVE_PAGES: &str = "with removed as (
        delete from {schema}._sync_snapshot_page p
        where (p.scope_id, p.build_id, p.first_ordinal) in (
            select o.scope_id, o.build_id, o.first_ordinal
            from {schema}._sync_snapshot n
            join {schema}._sync_snapshot_page o on o.scope_id = n.scope_id and o.build_id = n.build_id
            where n.is_ending
            limit $1
        )
        returning p.first_ordinal
    )
    select count(*) from removed";

/// Snapshots whose last page is gone. Answers how many sessions and snapshots are left.
const REMOVE_EMPTIED: &str = "with removed as (
        delete from {schema}._sync_snapshot n
        where n.is_ending and not exists (
            select from {schema}._sync_snapshot_page p where p.scope_id = n.scope_id and p.build_id = n.build_id
        )
        returning n.build_id
    )
    select (select count(*) from {schema}._sync_snapshot) - (select count(*) from removed)
        + (select count(*) from {schema}._sync_snapshot_session)";

impl Engine {
    /// Remove sessions that expired long ago and snapshots that nobody can read any more.
    ///
    /// # Errors
    /// The last app's that failed; the others are done all the same.
    pub async fn remove_expired_snapshots(&self) -> Result<(), sqlx::Error> {
        let mut outcome = Ok(());
        // Forgotten before it is looked: a session that begins meanwhile notes its app again.
        for (app, schema) in self.apps_with_snapshots.take() {
            match self.remove_expired_snapshots_of(&schema).await {
                Ok(0) => {}
                Ok(_) => self.apps_with_snapshots.note(app, &schema),
                // The app is gone, with its schema or role.
                Err(sqlx::Error::Database(error))
                    if matches!(error.code().as_deref(), Some("42P01" | "3F000" | "22023" | "42704")) => {}
                Err(error) => {
                    self.apps_with_snapshots.note(app, &schema);
                    outcome = Err(error);
                }
            }
        }
        outcome
    }

    /// How many sessions and snapshots are left.
    async fn remove_expired_snapshots_of(&self, schema: &SchemaName) -> Result<i64, sqlx::Error> {
        let now = self.clock.now();
        loop {
            let query = sqlx::query_as(in_schema(schema, SESSIONS)).bind(now - REMEMBERED_FOR).bind(BATCH);
            let (removed,): (i64,) = self.apps.one(schema, query).await?;
            if removed < BATCH {
                break;
            }
        }
        self.apps.rows(schema, sqlx::query(in_schema(schema, END)).bind(now)).await?;
        loop {
            let query = sqlx::query_as(in_schema(schema, REMOVE_PAGES)).bind(PAGES);
            let (removed,): (i64,) = self.apps.one(schema, query).await?;
            if removed < PAGES {
                break;
            }
        }
        let query = sqlx::query_as(in_schema(schema, REMOVE_EMPTIED));
        let (left,): (i64,) = self.apps.one(schema, query).await?;
        Ok(left)
    }
}
