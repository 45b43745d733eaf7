//! Connections that act as the apps' roles.
//!
//! A connection keeps the role of the app it last served, so that an app's next request finds it ready and a statement
//! is one round trip: no ping, no BEGIN, no SET ROLE, no COMMIT. sqlx's own pool cannot do that: it does not choose
//! connections by what they were last used for, and it pings them when they come and go.
//!
//! Each app prefers the same few of the connections ([`Slots::take`]): PostgreSQL keeps plans and compiled functions a
//! connection, so that thousands of apps spread evenly over all connections would have each of them know every app.

use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection, Error, FromRow, PgConnection, PgPool, Postgres, SqlSafeStr,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::{Query, QueryAs},
};
use tokio::{runtime::Handle, time::timeout};

use super::fair_permits::{FairPermit, FairPermits};
use crate::ids::SchemaName;

/// Connections are replaced after this time, as memory of theirs only grows.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// And after having served this many apps, for the same reason.
const MAX_APPS: usize = 400;
/// Idle for longer, a connection is tried before it is used: a firewall may have forgotten it.
const TRIED_AFTER: Duration = Duration::from_secs(30);
/// A connection whose user has gone away must have rolled back by then, or it is dropped.
const TIDIED_WITHIN: Duration = Duration::from_secs(30);

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

#[derive(Debug)]
struct Slots {
    options: PgConnectOptions,
    acquire_timeout: Duration,
    /// One for each slot that is not in use. An app that wants many must leave some to the others.
    permits: FairPermits<SchemaName>,
    slots: Mutex<Vec<Slot>>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Idle(Box<Live>),
    Used,
}

#[derive(Debug)]
struct Live {
    connection: PgConnection,
    /// The role it has now; None while that is uncertain.
    role: Option<SchemaName>,
    apps: HashSet<SchemaName>,
    opened: Instant,
    idle_since: Instant,
}

/// A slot in use. Dropping it makes the slot free again, at once if the connection is known to be between statements,
/// otherwise when it has been tidied up.
#[derive(Debug)]
struct Lease {
    slots: Arc<Slots>,
    slot: usize,
    live: Option<Box<Live>>,
    /// Neither a statement nor a transaction is under way.
    at_rest: bool,
    permit: Option<FairPermit<SchemaName>>,
}

impl AppPool {
    pub(super) fn new(
        options: PgConnectOptions,
        connections: u32,
        acquire_timeout: Duration,
        owner: PgPool,
    ) -> Self {
        let count = connections.max(1) as usize;
        let slots = Slots {
            options,
            acquire_timeout,
            permits: FairPermits::new(count, count - count / 4),
            slots: Mutex::new((0..count).map(|_| Slot::Empty).collect()),
        };
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
        let slots = self.slots.lock();
        let count = |wanted: fn(&Slot) -> bool| slots.iter().filter(|slot| wanted(slot)).count();
        (count(|slot| matches!(slot, Slot::Idle(_))), count(|slot| matches!(slot, Slot::Used)))
    }

    /// Wait for everybody who has a connection, then close all; later requests are refused.
    pub(super) async fn close(&self) {
        self.slots.permits.close().await;
        for live in self.slots.take_idle() {
            // Whether the other side hears of it changes nothing.
            let _ = live.connection.close().await;
        }
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
        &self.lease.live.as_ref().expect("BUG: a transaction without a connection").connection
    }
}

impl DerefMut for AppTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.lease.connection()
    }
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection with the role `schema`, as soon as one may be had.
    async fn lease(this: &Arc<Self>, schema: &SchemaName) -> Result<Lease, Error> {
        let permit = timeout(this.acquire_timeout, this.permits.acquire(schema))
            .await
            .map_err(|_| Error::PoolTimedOut)?
            .map_err(|_| Error::PoolClosed)?;
        let (slot, live) = this.take(schema);
        let mut lease = Lease { slots: this.clone(), slot, live, at_rest: true, permit: Some(permit) };
        if !lease.takes_role(schema).await {
            let live = Live::open(&this.options).await?;
            lease.live.insert(live).take_role(schema).await?;
        }
        Ok(lease)
    }

    /// Take a slot that is free: the one whose connection has the role, otherwise the one that the app likes best.
    fn take(&self, schema: &SchemaName) -> (usize, Option<Box<Live>>) {
        let mut slots = self.lock();
        let has_role = |slot: &Slot| matches!(slot, Slot::Idle(live) if live.role.as_ref() == Some(schema));
        let liking = BuildHasherDefault::<DefaultHasher>::default();
        let chosen = slots
            .iter()
            .position(has_role)
            .or_else(|| {
                (0..slots.len())
                    .filter(|slot| !matches!(slots[*slot], Slot::Used))
                    .max_by_key(|slot| liking.hash_one((schema, slot)))
            })
            .expect("BUG: a permit without a slot");
        match mem::replace(&mut slots[chosen], Slot::Used) {
            Slot::Idle(live) => (chosen, Some(live)),
            Slot::Empty | Slot::Used => (chosen, None),
        }
    }

    fn give_back(&self, slot: usize, live: Option<Box<Live>>) {
        let keep = live.filter(|live| live.opened.elapsed() < MAX_AGE && live.apps.len() < MAX_APPS);
        self.lock()[slot] = match keep {
            Some(mut live) => {
                live.idle_since = Instant::now();
                Slot::Idle(live)
            }
            None => Slot::Empty,
        };
    }

    fn take_idle(&self) -> Vec<Live> {
        let mut idle = Vec::new();
        for slot in self.lock().iter_mut() {
            if matches!(slot, Slot::Idle(_))
                && let Slot::Idle(live) = mem::replace(slot, Slot::Empty)
            {
                idle.push(*live);
            }
        }
        idle
    }
}

impl Live {
    async fn open(options: &PgConnectOptions) -> Result<Box<Self>, Error> {
        let connection = PgConnection::connect_with(options).await?;
        let now = Instant::now();
        Ok(Box::new(Self { connection, role: None, apps: HashSet::new(), opened: now, idle_since: now }))
    }

    async fn take_role(&mut self, schema: &SchemaName) -> Result<(), Error> {
        if self.role.as_ref() == Some(schema) {
            return Ok(());
        }
        self.role = None;
        let sql = AssertSqlSafe(format!("set role {schema}"));
        sqlx::raw_sql(sql).execute(&mut self.connection).await?;
        self.role = Some(schema.clone());
        self.apps.insert(schema.clone());
        Ok(())
    }
}

impl Lease {
    /// The connection, for a statement: from now on it is not at rest.
    fn connection(&mut self) -> &mut PgConnection {
        self.at_rest = false;
        &mut self.live.as_mut().expect("BUG: a lease without a connection").connection
    }

    /// Give the connection that the slot had the role; false if there is none, or it is broken.
    async fn takes_role(&mut self, schema: &SchemaName) -> bool {
        let Some(live) = &mut self.live else { return false };
        self.at_rest = false;
        let tried = live.idle_since.elapsed() < TRIED_AFTER || live.connection.ping().await.is_ok();
        let ready = tried && live.take_role(schema).await.is_ok();
        self.at_rest = true;
        if !ready {
            self.live = None;
        }
        ready
    }

    /// After a statement outside a transaction, or the last of one: what the connection is good for now.
    fn statement_ended<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            // What PostgreSQL refuses it has rolled back.
            Ok(_) | Err(Error::Database(_)) => self.at_rest = true,
            Err(Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed) => {
                self.live = None;
                // A server that went away took all connections with it.
                drop(self.slots.take_idle());
            }
            Err(_) => {}
        }
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let live = self.live.take();
        let permit = self.permit.take();
        let (slots, slot) = (self.slots.clone(), self.slot);
        match (live, Handle::try_current()) {
            (Some(mut live), Ok(runtime)) if !self.at_rest => {
                // Left in the middle of something: nothing may hold its locks until somebody happens to come.
                runtime.spawn(async move {
                    let tidied =
                        timeout(TIDIED_WITHIN, sqlx::raw_sql("rollback").execute(&mut live.connection));
                    let sound = matches!(tidied.await, Ok(Ok(_)));
                    slots.give_back(slot, sound.then_some(live));
                    drop(permit);
                });
            }
            (live, _) => {
                slots.give_back(slot, live.filter(|_| self.at_rest));
                drop(permit);
            }
        }
    }
}
