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

use super::{Verb, streams::OpenStreams, turned_away::AllRefusals};
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
    pub(super) streams: Arc<Mutex<OpenStreams>>,
}

#[derive(Debug, Default)]
pub(in crate::sync) struct Gathered {
    pub(in crate::sync) apps: HashMap<AppId, AppFacts>,
    pub(in crate::sync) refusals: AllRefusals,
    devices: usize,
    /// Devices that were not noted for lack of room.
    pub(in crate::sync) dropped: u64,
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
    /// The first of the bundles up to that of `push` that are all its own.
    pub(in crate::sync) pushed_from: Option<BundleSeq>,
    pub(in crate::sync) pull: Option<(OffsetDateTime, BundleSeq)>,
    pub(in crate::sync) served: Option<BundleSeq>,
    pub(in crate::sync) snapshot_at: Option<OffsetDateTime>,
    pub(in crate::sync) watch_at: Option<OffsetDateTime>,
    /// Whether it has a stream open, if that has changed or was noted again.
    pub(in crate::sync) is_watching: Option<bool>,
    /// Where it stands with a snapshot, if that has changed.
    pub(in crate::sync) reading: Option<Reading>,
    /// The last pull that brought something, as an event.
    pub(in crate::sync) brought: Option<Event>,
    /// Verbs that succeeded: refusals that these settle are over.
    pub(in crate::sync) succeeded: Vec<Verb>,
    pub(in crate::sync) error: Option<Refusal>,
    pub(in crate::sync) events: VecDeque<Event>,
}

/// A device's way through a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) enum Reading {
    /// It has begun, or reads on.
    Since(OffsetDateTime),
    /// It has read everything or given it up.
    Over,
}

/// Refusals of one kind in a row.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Refusal {
    pub(in crate::sync) at: OffsetDateTime,
    pub(in crate::sync) since: OffsetDateTime,
    pub(in crate::sync) verb: Verb,
    pub(in crate::sync) code: String,
    pub(in crate::sync) message: String,
    /// What it was about, where it is the same only if that is: the row of a conflict.
    pub(in crate::sync) subject: Option<String>,
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
    /// What a refusal was about, if refusals of one code are told apart by it.
    pub subject: Option<&'a str>,
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
            fact.seen_at = Some(at);
            let follows = |before: Option<BundleSeq>| before.is_some_and(|before| before.0 + 1 == seq.0);
            if !follows(fact.push.map(|(_, before)| before)) {
                fact.pushed_from = Some(seq);
            }
            fact.push = Some((at, seq));
            // Right after what it has, its own commit is no news to it.
            if follows(fact.served) {
                fact.served = Some(seq);
            }
        });
    }

    /// The device has everything up to `checkpoint` and was sent everything up to `served`.
    pub fn pulled(&self, caller: &SyncCaller, at: OffsetDateTime, checkpoint: BundleSeq, served: BundleSeq) {
        self.note(caller, |fact| {
            fact.seen_at = Some(at);
            fact.pull = Some((at, checkpoint));
            fact.served = fact.served.max(Some(served));
            if served > checkpoint {
                fact.brought = Some(Event::new(at, Verb::Pull, 200, None, Some(served)));
            }
        });
    }

    /// The device may read a snapshot.
    pub fn began_snapshot(&self, caller: &SyncCaller, at: OffsetDateTime) {
        self.note(caller, |fact| {
            fact.seen_at = Some(at);
            fact.reading = Some(Reading::Since(at));
        });
    }

    /// The device was sent rows of a snapshot of bundle `seq`, the last of them if `is_last`.
    pub fn served_snapshot(&self, caller: &SyncCaller, at: OffsetDateTime, seq: BundleSeq, is_last: bool) {
        self.note(caller, |fact| {
            fact.seen_at = Some(at);
            if !is_last {
                fact.reading =
                    fact.reading.filter(|reading| *reading != Reading::Over).or(Some(Reading::Since(at)));
                return;
            }
            fact.reading = Some(Reading::Over);
            fact.served = fact.served.max(Some(seq));
            fact.event(at, Verb::SnapshotChunk, 200, None, Some(seq));
        });
    }

    /// The device gives its snapshot up.
    pub fn left_snapshot(&self, caller: &SyncCaller) {
        self.note(caller, |fact| fact.reading = Some(Reading::Over));
    }

    /// Whether the device has a stream open.
    pub(super) fn watching(&self, caller: &SyncCaller, at: OffsetDateTime, is_watching: bool) {
        self.note(caller, |fact| {
            fact.is_watching = Some(is_watching);
            if is_watching {
                fact.seen_at = Some(at);
                fact.watch_at = Some(at);
            }
        });
    }

    /// Wait for whoever is writing facts down, and be the next.
    pub(in crate::sync) async fn turn_to_write(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.writing).lock_owned().await
    }

    /// Take everything.
    pub(in crate::sync) fn take(&self) -> Gathered {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn gather(&self, note: impl FnOnce(&mut Gathered)) {
        note(&mut self.lock());
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
    /// Whether it did nothing but get on: what most devices do most of the time.
    pub(super) fn is_progress(&self) -> bool {
        self.seen_at.is_some()
            && self.events.is_empty()
            && self.error.is_none()
            && self.snapshot_at.is_none()
            && self.is_watching.is_none()
            && !matches!(self.reading, Some(Reading::Since(_)))
    }

    fn succeeded(&mut self, answered: &Answered<'_>) {
        match answered.verb {
            Verb::SnapshotCreate | Verb::SnapshotChunk => self.snapshot_at = Some(answered.at),
            // It goes on without the snapshot, or with all of it.
            Verb::Pull | Verb::PushCommit => self.reading = Some(Reading::Over),
            _ => {}
        }
        if matches!(answered.verb, Verb::Connect | Verb::SnapshotCreate | Verb::Watch) {
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
        let before = self
            .error
            .take()
            .filter(|error| error.code == code && error.subject.as_deref() == answered.subject);
        self.error = Some(Refusal {
            at: answered.at,
            since: before.as_ref().map_or(answered.at, |error| error.since),
            verb: answered.verb,
            code: code.to_owned(),
            message: short(message),
            subject: answered.subject.map(short),
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
        self.events.push_back(Event::new(at, verb, status, refusal, bundle_seq));
    }
}

impl Event {
    fn new(
        at: OffsetDateTime,
        verb: Verb,
        status: u16,
        refusal: Option<(&str, &str)>,
        bundle_seq: Option<BundleSeq>,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            at,
            verb,
            status,
            code: refusal.map(|(code, _)| code.to_owned()),
            message: refusal.map(|(_, message)| short(message)),
            bundle_seq,
        }
    }
}

/// The beginning of a text, without what PostgreSQL cannot hold.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
