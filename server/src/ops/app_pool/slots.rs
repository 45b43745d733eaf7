//! Which connection an app gets.
//!
//! PostgreSQL keeps plans, compiled functions and catalogs for each connection: some 3 MB an app, and some 30 ms of work for
//! an app's first push on a connection that does not know it. With thousands of apps spread evenly over all connections, every
//! connection would have to learn every app, and would never be done with it. So a request goes to a connection that knows
//! its app. If these are in use, another learns the app if it knows few so far, or if the app has so many requests under
//! way; otherwise the request waits, because that costs everybody less.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::counter;
use sqlx::{AssertSqlSafe, Connection, Error, PgConnection, postgres::PgConnectOptions};
use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use crate::{
    ids::SchemaName,
    ops::{
        fair_permits::{FairPermit, FairPermits},
        metrics::APP_CONNECTIONS_TAKEN,
    },
};

/// Connections are replaced after this time, as memory of theirs only grows.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// And after having served this many apps, for the same reason.
const MAX_APPS: usize = 400;
/// Idle for longer, a connection is tried before it is used: a firewall may have forgotten it.
const TRIED_AFTER: Duration = Duration::from_secs(30);
/// A connection whose user has gone away must have rolled back by then, or it is dropped.
const TIDIED_WITHIN: Duration = Duration::from_secs(30);
/// Apps that a connection may know and still be given another one though connections that know it are only in use.
const FEW_APPS: usize = 8;
/// How long a request waits for a connection that knows its app though others are free: what it would wait for may be the
/// first statements of another app there. Of a connection that has been in use for longer already nothing is expected.
const HOLDS_OUT: Duration = Duration::from_millis(250);

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
struct Slot {
    state: State,
    /// The apps that its connection has served.
    knows: HashSet<SchemaName>,
}

#[derive(Debug)]
enum State {
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
            slots: Mutex::new((0..count).map(|_| Slot::empty()).collect()),
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
        (count(|slot| matches!(slot.state, State::Idle(_))), count(|slot| !slot.is_free()))
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
            match &mut slots[slot].state {
                State::Used(used) => {
                    let (hand, handed) = oneshot::channel();
                    used.wanted.push_back((schema.clone(), hand));
                    handed
                }
                State::Empty | State::Idle(_) => return Self::take_free(this, &mut slots, slot, schema),
            }
        };
        if let Ok(Ok(lease)) = timeout(HOLDS_OUT, wanted).await {
            counter!(APP_CONNECTIONS_TAKEN, "how" => "waited").increment(1);
            return lease;
        }
        counter!(APP_CONNECTIONS_TAKEN, "how" => "waited in vain").increment(1);
        let mut slots = this.lock();
        let slot = best_free(&slots, schema);
        Self::take_free(this, &mut slots, slot, schema)
    }

    fn take_free(this: &Arc<Self>, slots: &mut [Slot], slot: usize, schema: &SchemaName) -> Lease {
        let taken = &mut slots[slot];
        let live = match mem::replace(&mut taken.state, State::used(schema)) {
            State::Idle(live) => Some(live),
            State::Empty => None,
            State::Used(_) => unreachable!("BUG: a slot was taken twice"),
        };
        let how = if taken.knows.insert(schema.clone()) { "learned" } else { "known" };
        counter!(APP_CONNECTIONS_TAKEN, "how" => how).increment(1);
        Lease { slots: this.clone(), slot, live, at_rest: true, permit: None }
    }

    /// Hand a slot to the first who holds out for it, or make it free.
    fn give_back(this: &Arc<Self>, slot: usize, live: Option<Box<Live>>) {
        let mut slots = this.lock();
        let given = &mut slots[slot];
        let mut keep = live.filter(|live| live.opened.elapsed() < MAX_AGE && given.knows.len() < MAX_APPS);
        match &mut keep {
            Some(live) => live.idle_since = Instant::now(),
            None => given.knows.clear(),
        }
        let State::Used(used) = &mut given.state else { unreachable!("BUG: a free slot was given back") };
        while let Some((by, hand)) = used.wanted.pop_front() {
            if hand.is_closed() {
                continue;
            }
            given.knows.insert(by.clone());
            (used.by, used.since) = (by, Instant::now());
            let lease = Lease { slots: this.clone(), slot, live: keep, at_rest: true, permit: None };
            drop(slots);
            // Whoever has gone away this very moment drops it, and it goes on to the next.
            drop(hand.send(lease));
            return;
        }
        given.state = keep.map_or(State::Empty, State::Idle);
    }

    fn take_idle(&self) -> Vec<Live> {
        let mut idle = Vec::new();
        for slot in self.lock().iter_mut() {
            if matches!(slot.state, State::Idle(_))
                && let State::Idle(live) = mem::replace(slot, Slot::empty()).state
            {
                idle.push(*live);
            }
        }
        idle
    }
}

/// The slot for one more request of an app: a free one whose connection knows it, best one that has its role, or one that is
/// to learn it, or one in use that knows it and is worth waiting for. There is a free one.
fn choose(slots: &[Slot], schema: &SchemaName, now: Instant) -> usize {
    if let Some(slot) = slots.iter().position(|slot| slot.has_role(schema)) {
        return slot;
    }
    let best = best_free(slots, schema);
    let knowing = || slots.iter().enumerate().filter(|(_, slot)| slot.knows.contains(schema));
    let under_way = slots.iter().filter(|slot| slot.is_used_by(schema)).count();
    if slots[best].knows.contains(schema)
        || slots[best].knows.len() < FEW_APPS
        || knowing().count() <= under_way
    {
        return best;
    }
    knowing()
        .filter_map(|(place, slot)| Some((slot.queue(now)?, place)))
        .min()
        .map_or(best, |(_, place)| place)
}

/// Of the slots that are free one whose connection knows the app, otherwise the one that the app likes best.
fn best_free(slots: &[Slot], schema: &SchemaName) -> usize {
    (0..slots.len())
        .filter(|slot| slots[*slot].is_free())
        .max_by_key(|slot| (slots[*slot].knows.contains(schema), liking(schema, *slot)))
        .expect("BUG: a permit without a slot")
}

fn liking(schema: &SchemaName, slot: usize) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((schema, slot))
}

impl Slot {
    fn empty() -> Self {
        Self { state: State::Empty, knows: HashSet::new() }
    }

    fn is_free(&self) -> bool {
        !matches!(self.state, State::Used(_))
    }

    fn has_role(&self, schema: &SchemaName) -> bool {
        matches!(&self.state, State::Idle(live) if live.role.as_ref() == Some(schema))
    }

    fn is_used_by(&self, schema: &SchemaName) -> bool {
        matches!(&self.state, State::Used(used) if used.by == *schema)
    }

    /// How many wait for it, if it is in use and will be free soon.
    fn queue(&self, now: Instant) -> Option<usize> {
        match &self.state {
            State::Used(used) if now.duration_since(used.since) < HOLDS_OUT => Some(used.wanted.len()),
            _ => None,
        }
    }
}

impl State {
    fn used(by: &SchemaName) -> Self {
        Self::Used(Used { by: by.clone(), since: Instant::now(), wanted: VecDeque::new() })
    }
}

impl Live {
    async fn open(options: &PgConnectOptions) -> Result<Box<Self>, Error> {
        let connection = PgConnection::connect_with(options).await?;
        let now = Instant::now();
        Ok(Box::new(Self { connection, role: None, opened: now, idle_since: now }))
    }

    async fn take_role(&mut self, schema: &SchemaName) -> Result<(), Error> {
        if self.role.as_ref() == Some(schema) {
            return Ok(());
        }
        self.role = None;
        let sql = AssertSqlSafe(format!("set role {schema}"));
        sqlx::raw_sql(sql).execute(&mut self.connection).await?;
        self.role = Some(schema.clone());
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
        (0..count).map(|_| Slot::empty()).collect()
    }

    fn app() -> SchemaName {
        AppId::new().schema()
    }

    /// The slot that a request of the app gets, in use from now on.
    fn take(slots: &mut [Slot], schema: &SchemaName) -> usize {
        let slot = choose(slots, schema, Instant::now());
        assert!(slots[slot].is_free());
        slots[slot].state = State::used(schema);
        slots[slot].knows.insert(schema.clone());
        slot
    }

    fn give_back(slots: &mut [Slot], slot: usize) {
        slots[slot].state = State::Empty;
    }

    #[test]
    fn an_app_alone_gets_every_slot_in_an_order_of_its_own() {
        let order = |schema: &SchemaName| -> Vec<usize> {
            let mut slots = empty(24);
            (0..24).map(|_| take(&mut slots, schema)).collect()
        };
        let (one, other) = (app(), app());
        assert_eq!(order(&one), order(&one));
        assert_ne!(order(&one), order(&other));
    }

    #[test]
    fn many_apps_are_each_known_to_few_connections() {
        let mut slots = empty(24);
        let apps: Vec<_> = (0..1_000).map(|_| app()).collect();
        for app in apps.iter().chain(&apps) {
            let slot = take(&mut slots, app);
            give_back(&mut slots, slot);
        }
        assert_eq!(slots.iter().map(|slot| slot.knows.len()).sum::<usize>(), apps.len());
        assert!(slots.iter().all(|slot| slot.knows.len() < 100));
    }

    #[test]
    fn a_connection_that_knows_few_apps_learns_another_at_once() {
        let (guest, owner) = (app(), app());
        let mut slots = empty(2);
        let home = take(&mut slots, &owner);
        give_back(&mut slots, home);
        slots[home].state = State::used(&guest);
        assert_eq!(choose(&slots, &owner, Instant::now()), 1 - home);
    }

    #[test]
    fn one_that_knows_many_does_not_as_long_as_the_other_will_be_free_soon() {
        let (guest, owner) = (app(), app());
        let mut slots = empty(3);
        let home = take(&mut slots, &owner);
        slots[home].state = State::used(&guest);
        for slot in slots.iter_mut() {
            slot.knows.extend((0..FEW_APPS).map(|_| app()));
        }
        assert_eq!(choose(&slots, &owner, Instant::now()), home);
        assert_ne!(choose(&slots, &owner, Instant::now() + HOLDS_OUT), home);
        // For its own request there it does not wait: it needs as many connections as it has requests under way.
        slots[home].state = State::used(&owner);
        assert_ne!(take(&mut slots, &owner), home);
    }
}
