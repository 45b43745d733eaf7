//! Facts about devices, gathered in memory beside their requests and written in batches: never in a request's way.
//!
//! What is in memory is bounded. Beyond that, new devices are not noted until the next flush, and of one device only
//! the latest events are kept; both are counted.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;
use uuid::Uuid;

use super::Verb;
use crate::{
    ids::{AppId, BundleSeq},
    sync::SyncCaller,
    tables::catalog::AppCatalog,
};

/// Devices that may wait to be written down.
const MAX_DEVICES: usize = 50_000;
/// Events of one device between two flushes.
const MAX_EVENTS: usize = 20;
const MAX_TEXT: usize = 500;

/// What has been gathered since the last flush. One a process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    gathered: Arc<Mutex<Gathered>>,
    /// Held by whoever writes them down, so that who comes next finds everything written that was taken before.
    writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Gathered {
    apps: HashMap<AppId, AppFacts>,
    devices: usize,
    dropped: u64,
}

/// The devices of one app.
#[derive(Debug)]
pub(in crate::sync) struct AppFacts {
    pub(in crate::sync) catalog: Arc<AppCatalog>,
    /// By scope and source.
    pub(in crate::sync) devices: HashMap<(String, String), Fact>,
}

/// What one device did since the last flush.
#[derive(Debug, Default)]
pub(in crate::sync) struct Fact {
    pub(in crate::sync) user: Option<String>,
    pub(in crate::sync) client: Option<String>,
    pub(in crate::sync) address: Option<String>,
    pub(in crate::sync) seen_at: Option<OffsetDateTime>,
    /// The first of its requests since the last flush; `seen_at` is the last.
    pub(in crate::sync) seen_from: Option<OffsetDateTime>,
    pub(in crate::sync) push: Option<(OffsetDateTime, BundleSeq)>,
    pub(in crate::sync) pull: Option<(OffsetDateTime, BundleSeq)>,
    pub(in crate::sync) served: Option<BundleSeq>,
    pub(in crate::sync) snapshot_at: Option<OffsetDateTime>,
    pub(in crate::sync) watch_at: Option<OffsetDateTime>,
    /// Verbs that succeeded: refusals that these settle are over.
    pub(in crate::sync) succeeded: Vec<Verb>,
    pub(in crate::sync) error: Option<Refusal>,
    pub(in crate::sync) events: VecDeque<Event>,
}

/// Refusals of one kind in a row.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Refusal {
    pub(in crate::sync) at: OffsetDateTime,
    pub(in crate::sync) since: OffsetDateTime,
    pub(in crate::sync) verb: Verb,
    pub(in crate::sync) code: String,
    pub(in crate::sync) message: String,
    pub(in crate::sync) count: i64,
}

#[derive(Debug, Clone)]
pub(in crate::sync) struct Event {
    pub(in crate::sync) id: Uuid,
    pub(in crate::sync) at: OffsetDateTime,
    pub(in crate::sync) verb: Verb,
    pub(in crate::sync) status: u16,
    pub(in crate::sync) code: Option<String>,
    pub(in crate::sync) message: Option<String>,
    pub(in crate::sync) bundle_seq: Option<BundleSeq>,
}

/// A request of a device that has been answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    pub at: OffsetDateTime,
    pub verb: Verb,
    /// Of the HTTP answer.
    pub status: u16,
    /// Code and sentence of a refusal.
    pub refusal: Option<(&'a str, &'a str)>,
    /// The `User-Agent`.
    pub client: Option<&'a str>,
    pub address: Option<&'a str>,
}

impl Facts {
    /// Note a request. Never waits.
    pub fn answered(&self, caller: &SyncCaller, answered: Answered<'_>) {
        self.note(caller, |fact| {
            fact.user = Some(short(&caller.user));
            fact.client = answered.client.map(short).or(fact.client.take());
            fact.address = answered.address.map(short).or(fact.address.take());
            fact.seen_at = Some(answered.at);
            fact.seen_from = fact.seen_from.or(Some(answered.at));
            match answered.refusal {
                Some((code, message)) => fact.refused(&answered, code, message),
                None => fact.succeeded(&answered),
            }
        });
    }

    /// A push of the device became a bundle.
    pub(in crate::sync) fn committed(&self, caller: &SyncCaller, at: OffsetDateTime, seq: BundleSeq) {
        self.note(caller, |fact| {
            fact.push = Some((at, seq));
            // Right after what it has, its own commit is no news to it; the flush decides.
            fact.event(at, Verb::PushCommit, 200, None, Some(seq));
        });
    }

    /// The device has everything up to `checkpoint` and was sent everything up to `served`.
    pub fn pulled(&self, caller: &SyncCaller, at: OffsetDateTime, checkpoint: BundleSeq, served: BundleSeq) {
        self.note(caller, |fact| {
            fact.pull = Some((at, checkpoint));
            fact.served = fact.served.max(Some(served));
        });
    }

    /// The device was sent rows of a snapshot of bundle `seq`.
    pub fn served_snapshot(&self, caller: &SyncCaller, seq: BundleSeq) {
        self.note(caller, |fact| fact.served = fact.served.max(Some(seq)));
    }

    /// Wait for whoever is writing facts down, and be the next.
    pub(in crate::sync) async fn turn_to_write(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.writing).lock_owned().await
    }

    /// Take everything; answers too how many devices were not noted for lack of room.
    pub(in crate::sync) fn take(&self) -> (HashMap<AppId, AppFacts>, u64) {
        let gathered = std::mem::take(&mut *self.lock());
        (gathered.apps, gathered.dropped)
    }

    fn note(&self, caller: &SyncCaller, change: impl FnOnce(&mut Fact)) {
        let mut gathered = self.lock();
        let gathered = &mut *gathered;
        let app = gathered
            .apps
            .entry(caller.app.app)
            .or_insert_with(|| AppFacts { catalog: Arc::clone(&caller.app), devices: HashMap::new() });
        let key = (caller.scope.as_str().to_owned(), caller.source.as_str().to_owned());
        if let Some(fact) = app.devices.get_mut(&key) {
            return change(fact);
        }
        if gathered.devices >= MAX_DEVICES {
            gathered.dropped += 1;
            return;
        }
        gathered.devices += 1;
        change(app.devices.entry(key).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fact {
    fn succeeded(&mut self, answered: &Answered<'_>) {
        match answered.verb {
            Verb::SnapshotCreate | Verb::SnapshotChunk => self.snapshot_at = Some(answered.at),
            Verb::Watch => self.watch_at = Some(answered.at),
            _ => {}
        }
        if answered.verb == Verb::SnapshotCreate {
            self.event(answered.at, answered.verb, answered.status, None, None);
        }
        if self.error.as_ref().is_some_and(|error| answered.verb.settles(error.verb.as_str())) {
            self.error = None;
        }
        if !self.succeeded.contains(&answered.verb) {
            self.succeeded.push(answered.verb);
        }
    }

    fn refused(&mut self, answered: &Answered<'_>, code: &str, message: &str) {
        let before = self.error.take().filter(|error| error.code == code);
        self.error = Some(Refusal {
            at: answered.at,
            since: before.as_ref().map_or(answered.at, |error| error.since),
            verb: answered.verb,
            code: code.to_owned(),
            message: short(message),
            count: before.map_or(0, |error| error.count) + 1,
        });
        self.event(answered.at, answered.verb, answered.status, Some((code, message)), None);
    }

    fn event(
        &mut self,
        at: OffsetDateTime,
        verb: Verb,
        status: u16,
        refusal: Option<(&str, &str)>,
        bundle_seq: Option<BundleSeq>,
    ) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            id: Uuid::now_v7(),
            at,
            verb,
            status,
            code: refusal.map(|(code, _)| code.to_owned()),
            message: refusal.map(|(_, message)| short(message)),
            bundle_seq,
        });
    }
}

/// The beginning of a text, without what PostgreSQL cannot hold.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
