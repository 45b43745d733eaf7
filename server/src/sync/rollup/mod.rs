//! What happens in an app, counted beside its requests and added up over minutes, hours and days.
//!
//! A request bumps a few numbers in memory ([`meter`]); every second or two a node adds what it has gathered to the
//! app's rows (`flush`), so nodes need not know of each other: counts and [`histogram`]s are summed, and a device
//! counts as active on the node that writes down its first request of a step (`activity`). The coarser steps are made
//! from the minutes before they are written. Old ones are removed from apps where something happens (`prune`); an idle
//! app costs nothing. The overview reads one step of a range ([`read`]).

mod activity;
mod flush;
pub mod histogram;
pub mod meter;
mod prune;
pub mod read;
mod tables;

use time::{Duration, OffsetDateTime};

use self::histogram::Histogram;
pub(in crate::sync) use self::{activity::newly_active, prune::AppsWithRollups};

/// How long a row of a rollup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    Minute,
    Hour,
    QuarterDay,
    Day,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::QuarterDay, Self::Day];

    pub const fn seconds(self) -> i32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::QuarterDay => 21_600,
            Self::Day => 86_400,
        }
    }

    pub const fn duration(self) -> Duration {
        Duration::seconds(self.seconds() as i64)
    }

    /// How long rows of this step are kept: longer than any range that shows them.
    const fn kept_for(self) -> Duration {
        match self {
            Self::Minute => Duration::hours(3),
            Self::Hour => Duration::days(3),
            Self::QuarterDay => Duration::days(15),
            Self::Day => Duration::days(400),
        }
    }

    /// The beginning of the step that `at` is in, in UTC.
    pub fn begin(self, at: OffsetDateTime) -> OffsetDateTime {
        let into = at.unix_timestamp().rem_euclid(i64::from(self.seconds()));
        at.saturating_sub(Duration::seconds(into) + Duration::nanoseconds(i64::from(at.nanosecond())))
    }
}

/// What happened in some span of time. Two of them are added by adding each part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub commits: i64,
    pub rows_pushed: i64,
    pub pulls: i64,
    pub rows_served: i64,
    pub conflicts: i64,
    pub refusals: i64,
    pub commit_latency: Histogram,
    pub pull_latency: Histogram,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.rows_pushed += other.rows_pushed;
        self.pulls += other.pulls;
        self.rows_served += other.rows_served;
        self.conflicts += other.conflicts;
        self.refusals += other.refusals;
        self.commit_latency.add(&other.commit_latency);
        self.pull_latency.add(&other.pull_latency);
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn steps_begin_on_the_clock() {
        let at = datetime!(2026-07-15 13:37:42.123456 UTC);
        let begins = Step::ALL.map(|step| step.begin(at));
        assert_eq!(
            begins,
            [
                datetime!(2026-07-15 13:37 UTC),
                datetime!(2026-07-15 13:00 UTC),
                datetime!(2026-07-15 12:00 UTC),
                datetime!(2026-07-15 0:00 UTC),
            ]
        );
        assert_eq!(Step::Day.begin(begins[3]), begins[3]);
    }
}
