//! Which devices have a stream open: noted when it opens, again every few minutes, and when it ends.

use std::{collections::HashMap, sync::PoisonError};

use time::{Duration, OffsetDateTime};

use super::facts::Facts;
use crate::{clock::Clock, ids::AppId, sync::SyncCaller};

/// How often an open stream is noted again. One whose node died is taken for closed when it has missed that.
const NOTE_EVERY: Duration = Duration::minutes(5);
/// How long a note holds.
pub(super) const NOTE_HOLDS: Duration = Duration::minutes(6);

/// The open streams of this process, by app, scope and source. As many as there are places for streams.
pub(super) type OpenStreams = HashMap<(AppId, String, String), usize>;

/// A stream that is open. Ends when dropped.
#[derive(Debug)]
pub(in crate::sync) struct Presence {
    facts: Facts,
    clock: Clock,
    caller: SyncCaller,
    noted_at: OffsetDateTime,
}

impl Presence {
    pub(in crate::sync) fn begin(facts: &Facts, clock: &Clock, caller: &SyncCaller) -> Self {
        let noted_at = clock.now();
        *facts.streams.lock().unwrap_or_else(PoisonError::into_inner).entry(key(caller)).or_default() += 1;
        facts.watching(caller, noted_at, true);
        Self { facts: facts.clone(), clock: clock.clone(), caller: caller.clone(), noted_at }
    }

    /// It is open still. Call it now and then.
    pub(in crate::sync) fn goes_on(&mut self) {
        let now = self.clock.now();
        if now - self.noted_at >= NOTE_EVERY {
            self.noted_at = now;
            self.facts.watching(&self.caller, now, true);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let key = key(&self.caller);
        let mut streams = self.facts.streams.lock().unwrap_or_else(PoisonError::into_inner);
        // A device that reconnects has its new stream before the old one is found dead.
        let left = streams.get(&key).map_or(0, |count| count.saturating_sub(1));
        if left > 0 {
            streams.insert(key, left);
            return;
        }
        streams.remove(&key);
        drop(streams);
        self.facts.watching(&self.caller, self.clock.now(), false);
    }
}

fn key(caller: &SyncCaller) -> (AppId, String, String) {
    (caller.app.app, caller.scope.as_str().to_owned(), caller.source.as_str().to_owned())
}
