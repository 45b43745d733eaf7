//! The numbers of the last seconds, in memory. Bounded: beyond that, what happens in further apps is not counted until
//! the next flush, and the log says so.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

use super::{Step, Tally};
use crate::{ids::AppId, sync::device::Verb};

/// Minutes of all apps together that may wait to be written: some 40 MB.
const MAX_MINUTES: usize = 30_000;

/// What has been counted since the last flush. One a process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    gathered: Arc<Mutex<Gathered>>,
    /// Held by whoever writes it down, so that who comes next finds everything written that was taken before.
    writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Gathered {
    apps: HashMap<AppId, AppTallies>,
    minutes: usize,
    dropped: u64,
}

/// What happened in one app.
#[derive(Debug, Default)]
pub(super) struct AppTallies {
    /// By the beginning of the minute.
    pub(super) minutes: BTreeMap<OffsetDateTime, Tally>,
    /// Devices that called for the first time in a step, by the step and its beginning.
    pub(super) active: BTreeMap<(Step, OffsetDateTime), i64>,
}

/// A device's request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    pub at: OffsetDateTime,
    pub verb: Verb,
    /// Of the HTTP answer.
    pub status: u16,
    /// The code of a refusal.
    pub code: Option<&'a str>,
    /// Until the answer began.
    pub took: Duration,
}

impl Meter {
    /// A device's request was answered. Never waits.
    pub fn answered(&self, app: AppId, measured: Measured<'_>) {
        let is_refused = measured.status >= 400;
        // Conflicts are counted row by row where they are recorded.
        if measured.code == Some("push_conflict") {
            return;
        }
        if !is_refused && !matches!(measured.verb, Verb::PushCommit | Verb::Pull) {
            return;
        }
        self.count(app, measured.at, |tally| match measured.verb {
            _ if is_refused => tally.refusals += 1,
            Verb::PushCommit => tally.commit_latency.measured(measured.took),
            _ => {
                tally.pulls += 1;
                tally.pull_latency.measured(measured.took);
            }
        });
    }

    /// A bundle of so many rows was committed, whoever wrote it.
    pub(in crate::sync) fn committed(&self, app: AppId, at: OffsetDateTime, rows: i32) {
        self.count(app, at, |tally| {
            tally.commits += 1;
            tally.rows_pushed += i64::from(rows);
        });
    }

    /// So many rows go out with a pull or a snapshot.
    pub(in crate::sync) fn served(&self, app: AppId, at: OffsetDateTime, rows: i64) {
        if rows > 0 {
            self.count(app, at, |tally| tally.rows_served += rows);
        }
    }

    /// So many rows lost and are new in the ledger.
    pub(in crate::sync) fn conflicted(&self, app: AppId, at: OffsetDateTime, rows: i64) {
        if rows > 0 {
            self.count(app, at, |tally| tally.conflicts += rows);
        }
    }

    /// So many devices called for the first time in these steps.
    pub(in crate::sync) fn active(&self, app: AppId, devices: BTreeMap<(Step, OffsetDateTime), i64>) {
        if devices.is_empty() {
            return;
        }
        let mut gathered = self.lock();
        let active = &mut gathered.apps.entry(app).or_default().active;
        for (step, count) in devices {
            *active.entry(step).or_default() += count;
        }
    }

    /// Wait for whoever is writing, and be the next.
    pub(in crate::sync) async fn turn_to_write(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.writing).lock_owned().await
    }

    /// Take everything; answers too how often something was not counted for lack of room.
    pub(super) fn take(&self) -> (HashMap<AppId, AppTallies>, u64) {
        let gathered = std::mem::take(&mut *self.lock());
        (gathered.apps, gathered.dropped)
    }

    /// Take what there is of one app.
    pub(super) fn take_app(&self, app: AppId) -> Option<AppTallies> {
        let mut gathered = self.lock();
        let tallies = gathered.apps.remove(&app)?;
        gathered.minutes -= tallies.minutes.len();
        Some(tallies)
    }

    /// Put back what could not be written, as far as there is room.
    pub(super) fn put_back(&self, app: AppId, tallies: AppTallies) {
        for (minute, tally) in tallies.minutes {
            self.count(app, minute, |own| own.add(&tally));
        }
        self.active(app, tallies.active);
    }

    fn count(&self, app: AppId, at: OffsetDateTime, change: impl FnOnce(&mut Tally)) {
        let minute = Step::Minute.begin(at);
        let mut gathered = self.lock();
        let gathered = &mut *gathered;
        if let Some(tally) = gathered.apps.get_mut(&app).and_then(|app| app.minutes.get_mut(&minute)) {
            return change(tally);
        }
        if gathered.minutes >= MAX_MINUTES {
            gathered.dropped += 1;
            return;
        }
        gathered.minutes += 1;
        change(gathered.apps.entry(app).or_default().minutes.entry(minute).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const AT: OffsetDateTime = datetime!(2026-07-15 12:30:15 UTC);

    fn answered(meter: &Meter, app: AppId, verb: Verb, status: u16, code: Option<&str>) {
        meter.answered(app, Measured { at: AT, verb, status, code, took: Duration::from_millis(3) });
    }

    #[test]
    fn what_is_counted_is_taken_once_and_can_be_put_back() {
        let (meter, app) = (Meter::default(), AppId::new());
        meter.committed(app, AT, 3);
        meter.committed(app, AT + Duration::from_secs(60), 4);
        meter.served(app, AT, 0);
        let (mut apps, dropped) = meter.take();
        assert_eq!((apps.len(), dropped, meter.take().0.len()), (1, 0, 0));
        meter.put_back(app, apps.remove(&app).unwrap());
        let tallies = meter.take_app(app).unwrap();
        assert_eq!((meter.take_app(app).is_none(), meter.lock().minutes), (true, 0));
        meter.put_back(app, tallies);
        meter.committed(app, AT, 1);
        let (apps, _) = meter.take();
        let rows: Vec<i64> = apps[&app].minutes.values().map(|tally| tally.rows_pushed).collect();
        assert_eq!(rows, [4, 4]);
    }

    #[test]
    fn answers_are_counted_for_what_they_are() {
        let (meter, app) = (Meter::default(), AppId::new());
        answered(&meter, app, Verb::Pull, 200, None);
        answered(&meter, app, Verb::Pull, 409, Some("history_pruned"));
        answered(&meter, app, Verb::PushCommit, 409, Some("push_conflict"));
        answered(&meter, app, Verb::PushCommit, 200, None);
        answered(&meter, app, Verb::Connect, 200, None);
        answered(&meter, app, Verb::Connect, 500, None);
        let (apps, _) = meter.take();
        let tally = &apps[&app].minutes[&Step::Minute.begin(AT)];
        assert_eq!((tally.pulls, tally.refusals, tally.conflicts), (1, 2, 0));
        assert_eq!((tally.pull_latency.total(), tally.commit_latency.total()), (1, 1));
    }

    #[test]
    fn memory_is_bounded() {
        let meter = Meter::default();
        for _ in 0..MAX_MINUTES + 5 {
            meter.committed(AppId::new(), AT, 1);
        }
        let (apps, dropped) = meter.take();
        assert_eq!((apps.len(), dropped), (MAX_MINUTES, 5));
    }
}
