//! Connections that act as the apps' roles.
//!
//! A connection keeps the role of the app it last served, so that an app's next request finds it ready and a statement
//! is one round trip: no ping, no BEGIN, no SET ROLE, no COMMIT. sqlx's own pool cannot do that: it does not choose
//! connections by what they were last used for, and it pings them when they come and go.
//!
//! Which of the connections an app gets is the business of [`slots`].

mod slots;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Error, FromRow, PgConnection, PgPool, Postgres, SqlSafeStr,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::{Query, QueryAs},
};

use self::slots::{Lease, Slots};
use crate::ids::SchemaName;

/// Connections to the apps' schemas. A statement or transaction acts as the role of exactly one app: the role is the
/// wall, so a bug in one app's SQL cannot read another's rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppPool {
    slots: Arc<Slots>,
    /// As the login role itself.
    owner: PgPool,
}

/// A transaction that acts as one app's role. Rolled back when dropped.
///
/// It has no savepoints: `begin` on the connection inside would end it.
#[derive(Debug)]
pub struct AppTx {
    lease: Lease,
}

impl AppPool {
    pub(super) fn new(
        options: PgConnectOptions,
        connections: u32,
        acquire_timeout: Duration,
        owner: PgPool,
    ) -> Self {
        let slots = Slots::new(options, connections.max(1) as usize, acquire_timeout);
        Self { slots: Arc::new(slots), owner }
    }

    /// Run one statement as the app's role, in one round trip; it is committed when this answers.
    pub async fn rows(
        &self,
        schema: &SchemaName,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Error> {
        let mut lease = Slots::lease(&self.slots, schema).await?;
        // To the end: with the first row alone the statement would not be committed yet.
        let outcome = query.fetch_all(lease.connection()).await;
        lease.statement_ended(outcome)
    }

    /// As [`AppPool::rows`], with the rows read into values.
    pub async fn all<O>(
        &self,
        schema: &SchemaName,
        query: QueryAs<'_, Postgres, O, PgArguments>,
    ) -> Result<Vec<O>, Error>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut lease = Slots::lease(&self.slots, schema).await?;
        let outcome = query.fetch_all(lease.connection()).await;
        lease.statement_ended(outcome)
    }

    /// As [`AppPool::all`], for a statement that answers at most one row.
    pub async fn optional<O>(
        &self,
        schema: &SchemaName,
        query: QueryAs<'_, Postgres, O, PgArguments>,
    ) -> Result<Option<O>, Error>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(self.all(schema, query).await?.pop())
    }

    /// As [`AppPool::rows`], for a statement that answers one row.
    pub async fn one<O>(
        &self,
        schema: &SchemaName,
        query: QueryAs<'_, Postgres, O, PgArguments>,
    ) -> Result<O, Error>
    where
        O: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.optional(schema, query).await?.ok_or(Error::RowNotFound)
    }

    /// Begin a READ COMMITTED transaction as the app's role.
    pub async fn begin(&self, schema: &SchemaName) -> Result<AppTx, Error> {
        self.begin_with(schema, "begin").await
    }

    /// Begin a REPEATABLE READ, read-only-by-intent transaction as the app's role.
    pub async fn begin_snapshot(&self, schema: &SchemaName) -> Result<AppTx, Error> {
        self.begin_with(schema, "begin isolation level repeatable read").await
    }

    /// Begin a READ COMMITTED transaction as the app's role that can change nothing and whose statements end after
    /// `patience`.
    pub async fn begin_reading(&self, schema: &SchemaName, patience: Duration) -> Result<AppTx, Error> {
        let begin = format!("begin read only; set local statement_timeout = {}", patience.as_millis());
        self.begin_with(schema, AssertSqlSafe(begin)).await
    }

    /// Begin a transaction as the app's role that writes what is for looking at: a crash may lose the last of it, and
    /// somebody who has it locked loses it too, because what belongs to other apps shall not be late for that. Its statements
    /// are seldom run twice with the same app's connection, so each is planned once and not five times.
    pub async fn begin_for_looking_at(&self, schema: &SchemaName) -> Result<AppTx, Error> {
        let begin = "begin; set local synchronous_commit = off; set local lock_timeout = '1s'; \
            set local plan_cache_mode = force_generic_plan";
        self.begin_with(schema, begin).await
    }

    async fn begin_with(&self, schema: &SchemaName, begin: impl SqlSafeStr) -> Result<AppTx, Error> {
        let mut lease = Slots::lease(&self.slots, schema).await?;
        sqlx::raw_sql(begin).execute(lease.connection()).await?;
        Ok(AppTx { lease })
    }

    /// The login role, which may create and drop apps' schemas and roles.
    pub fn as_owner(&self) -> &PgPool {
        &self.owner
    }

    /// Connections that are open and unused, and those in use.
    pub fn idle_and_used(&self) -> (usize, usize) {
        self.slots.idle_and_used()
    }

    /// Wait for everybody who has a connection, then close all; later requests are refused.
    pub(super) async fn close(&self) {
        self.slots.close().await;
        self.owner.close().await;
    }
}

impl AppTx {
    pub async fn commit(mut self) -> Result<(), Error> {
        let outcome = sqlx::raw_sql("commit").execute(self.lease.connection()).await;
        self.lease.statement_ended(outcome).map(drop)
    }

    pub async fn rollback(mut self) -> Result<(), Error> {
        let outcome = sqlx::raw_sql("rollback").execute(self.lease.connection()).await;
        self.lease.statement_ended(outcome).map(drop)
    }
}

impl Deref for AppTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.lease.held()
    }
}

impl DerefMut for AppTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.lease.connection()
    }
}
