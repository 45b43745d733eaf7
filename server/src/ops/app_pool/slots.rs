//! Which connection an app gets.
//!
//! PostgreSQL keeps plans, compiled functions and catalogs for each connection: some 3 MB an app, and some 30 ms of work for
//! an app's first push on a connection that does not know it. With thousands of apps spread evenly over all connections, every
//! connection would have to learn every app. So each app has an order of its own in which it likes the slots, and as many
//! requests as it has under way are at home in as many of the first of them. A request that finds these in use by others
//! waits for a moment, because that costs less than teaching the app to another connection; then it takes what is free.

use std::{
    cmp::Reverse,
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, Error, PgConnection, postgres::PgConnectOptions};
use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use crate::{
    ids::SchemaName,
    ops::fair_permits::{FairPermit, FairPermits},
};

/// Connections are replaced after this time, as memory of theirs only grows.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// And after having served this many apps, for the same reason.
const MAX_APPS: usize = 400;
/// Idle for longer, a connection is tried before it is used: a firewall may have forgotten it.
const TRIED_AFTER: Duration = Duration::from_secs(30);
/// A connection whose user has gone away must have rolled back by then, or it is dropped.
const TIDIED_WITHIN: Duration = Duration::from_secs(30);
/// How long a request waits for a slot where its app is at home, though others are free whose connections do not know it:
/// as long as an app's first statements on a connection take. What has been in use for longer already is not waited for.
const HOLDS_OUT: Duration = Duration::from_millis(30);

/// A fixed number of places for connections.
#[derive(Debug)]
pub(super) struct Slots {
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
    Used(Used),
}

#[derive(Debug)]
struct Used {
    by: SchemaName,
    since: Instant,
    /// Requests that hold out for this slot; they may have gone meanwhile.
    wanted: VecDeque<(SchemaName, oneshot::Sender<Lease>)>,
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

/// A slot in use. Dropping it hands the slot on, at once if the connection is known to be between statements, otherwise
/// when it has been tidied up.
#[derive(Debug)]
pub(super) struct Lease {
    slots: Arc<Slots>,
    slot: usize,
    live: Option<Box<Live>>,
    /// Neither a statement nor a transaction is under way.
    at_rest: bool,
    permit: Option<FairPermit<SchemaName>>,
}

impl Slots {
    pub(super) fn new(options: PgConnectOptions, count: usize, acquire_timeout: Duration) -> Self {
        Self {
            options,
            acquire_timeout,
            permits: FairPermits::new(count, count - count / 4),
            slots: Mutex::new((0..count).map(|_| Slot::Empty).collect()),
        }
    }

    /// A connection with the role `schema`, as soon as one may be had.
    pub(super) async fn lease(this: &Arc<Self>, schema: &SchemaName) -> Result<Lease, Error> {
        let permit = timeout(this.acquire_timeout, this.permits.acquire(schema))
            .await
            .map_err(|_| Error::PoolTimedOut)?
            .map_err(|_| Error::PoolClosed)?;
        let mut lease = Self::take(this, schema).await;
        lease.permit = Some(permit);
        if !lease.takes_role(schema).await {
            let live = Live::open(&this.options).await?;
            lease.live.insert(live).take_role(schema).await?;
        }
        Ok(lease)
    }

    pub(super) fn idle_and_used(&self) -> (usize, usize) {
        let slots = self.lock();
        let count = |wanted: fn(&Slot) -> bool| slots.iter().filter(|slot| wanted(slot)).count();
        (count(|slot| matches!(slot, Slot::Idle(_))), count(|slot| matches!(slot, Slot::Used(_))))
    }

    /// Wait for everybody who has a connection, then close all; later requests are refused.
    pub(super) async fn close(&self) {
        self.permits.close().await;
        for live in self.take_idle() {
            // Whether the other side hears of it changes nothing.
            let _ = live.connection.close().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for an app that has a permit for one.
    async fn take(this: &Arc<Self>, schema: &SchemaName) -> Lease {
        let wanted = {
            let mut slots = this.lock();
            let slot = choose(&slots, schema, Instant::now());
            match &mut slots[slot] {
                Slot::Used(used) => {
                    let (hand, handed) = oneshot::channel();
                    used.wanted.push_back((schema.clone(), hand));
                    handed
                }
                Slot::Empty | Slot::Idle(_) => return Self::take_free(this, &mut slots, slot, schema),
            }
        };
        if let Ok(Ok(lease)) = timeout(HOLDS_OUT, wanted).await {
            return lease;
        }
        let mut slots = this.lock();
        let slot = best_free(&slots, schema);
        Self::take_free(this, &mut slots, slot, schema)
    }

    fn take_free(this: &Arc<Self>, slots: &mut [Slot], slot: usize, schema: &SchemaName) -> Lease {
        let live = match mem::replace(&mut slots[slot], Slot::used(schema)) {
            Slot::Idle(live) => Some(live),
            Slot::Empty => None,
            Slot::Used(_) => unreachable!("BUG: a slot was taken twice"),
        };
        Lease { slots: this.clone(), slot, live, at_rest: true, permit: None }
    }

    /// Hand a slot to the first who holds out for it, or make it free.
    fn give_back(this: &Arc<Self>, slot: usize, live: Option<Box<Live>>) {
        let mut keep = live.filter(|live| live.opened.elapsed() < MAX_AGE && live.apps.len() < MAX_APPS);
        if let Some(live) = &mut keep {
            live.idle_since = Instant::now();
        }
        let mut slots = this.lock();
        let Slot::Used(used) = &mut slots[slot] else { unreachable!("BUG: a free slot was given back") };
        while let Some((by, hand)) = used.wanted.pop_front() {
            if hand.is_closed() {
                continue;
            }
            (used.by, used.since) = (by, Instant::now());
            let lease = Lease { slots: this.clone(), slot, live: keep, at_rest: true, permit: None };
            drop(slots);
            // Whoever has gone away this very moment drops it, and it goes on to the next.
            drop(hand.send(lease));
            return;
        }
        slots[slot] = keep.map_or(Slot::Empty, Slot::Idle);
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

/// The slot for one more request of an app: a free one whose connection has its role, or one where it is at home, or another
/// whose connection knows it; or one where it is at home that is in use and worth waiting for. There is a free one.
fn choose(slots: &[Slot], schema: &SchemaName, now: Instant) -> usize {
    let has_role = |slot: &Slot| matches!(slot, Slot::Idle(live) if live.role.as_ref() == Some(schema));
    if let Some(slot) = slots.iter().position(has_role) {
        return slot;
    }
    let under_way = slots.iter().filter(|slot| slot.is_used_by(schema)).count();
    let mut at_home: Vec<usize> = (0..slots.len()).collect();
    at_home.sort_by_cached_key(|slot| Reverse(liking(schema, *slot)));
    at_home.truncate(under_way + 1);
    let is_free = |slot: &usize| !matches!(slots[*slot], Slot::Used(_));
    let is_soon_free = |slot: &usize| matches!(&slots[*slot], Slot::Used(used) if used.by != *schema && now.duration_since(used.since) < HOLDS_OUT);
    let best = best_free(slots, schema);
    at_home
        .iter()
        .copied()
        .find(is_free)
        .or_else(|| slots[best].knows(schema).then_some(best))
        .or_else(|| at_home.iter().copied().find(is_soon_free))
        .unwrap_or(best)
}

/// Of the slots that are free one whose connection knows the app, otherwise the one that the app likes best.
fn best_free(slots: &[Slot], schema: &SchemaName) -> usize {
    (0..slots.len())
        .filter(|slot| !matches!(slots[*slot], Slot::Used(_)))
        .max_by_key(|slot| (slots[*slot].knows(schema), liking(schema, *slot)))
        .expect("BUG: a permit without a slot")
}

fn liking(schema: &SchemaName, slot: usize) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((schema, slot))
}

impl Slot {
    fn used(by: &SchemaName) -> Self {
        Self::Used(Used { by: by.clone(), since: Instant::now(), wanted: VecDeque::new() })
    }

    /// Whether it is free and its connection has served the app.
    fn knows(&self, schema: &SchemaName) -> bool {
        matches!(self, Self::Idle(live) if live.apps.contains(schema))
    }

    fn is_used_by(&self, schema: &SchemaName) -> bool {
        matches!(self, Self::Used(used) if used.by == *schema)
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
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.at_rest = false;
        &mut self.live.as_mut().expect("BUG: a lease without a connection").connection
    }

    /// The connection, to be looked at.
    pub(super) fn held(&self) -> &PgConnection {
        &self.live.as_ref().expect("BUG: a lease without a connection").connection
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
    pub(super) fn statement_ended<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
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
                    Slots::give_back(&slots, slot, sound.then_some(live));
                    drop(permit);
                });
            }
            (live, _) => {
                Slots::give_back(&slots, slot, live.filter(|_| self.at_rest));
                drop(permit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::AppId;

    fn empty(count: usize) -> Vec<Slot> {
        (0..count).map(|_| Slot::Empty).collect()
    }

    #[test]
    fn an_app_alone_gets_every_slot_in_an_order_of_its_own() {
        let order = |schema: &SchemaName| -> Vec<usize> {
            let mut slots = empty(24);
            let mut take = || {
                let slot = choose(&slots, schema, Instant::now());
                assert!(!matches!(slots[slot], Slot::Used(_)));
                slots[slot] = Slot::used(schema);
                slot
            };
            (0..24).map(|_| take()).collect()
        };
        let (one, other) = (AppId::new().schema(), AppId::new().schema());
        assert_eq!(order(&one), order(&one));
        assert_ne!(order(&one), order(&other));
    }

    #[test]
    fn a_home_in_use_is_waited_for_unless_that_takes_long_already() {
        let (guest, owner) = (AppId::new().schema(), AppId::new().schema());
        let mut slots = empty(24);
        let home = choose(&slots, &owner, Instant::now());
        slots[home] = Slot::used(&guest);
        assert_eq!(choose(&slots, &owner, Instant::now()), home);
        let elsewhere = choose(&slots, &owner, Instant::now() + HOLDS_OUT);
        assert!(elsewhere != home && matches!(slots[elsewhere], Slot::Empty));
        // Its own request there is not waited for: the app has a second home.
        slots[home] = Slot::used(&owner);
        assert!(matches!(slots[choose(&slots, &owner, Instant::now())], Slot::Empty));
    }
}
