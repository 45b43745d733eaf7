//! Time, passed in. Nothing below `main` reads the wall clock on its own; tests advance a clock of theirs.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{Duration, OffsetDateTime};

/// Tells the time: the machine's, or one that a test moves.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    /// Nanoseconds that a test has added to the machine's time.
    Shifted(Arc<AtomicI64>),
}

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that runs with the machine's and that [`Clock::advance`] moves forward.
    pub fn for_testing() -> Self {
        Self(Source::Shifted(Arc::new(AtomicI64::new(0))))
    }

    /// Now, in UTC, whole microseconds: what PostgreSQL's `timestamptz` keeps.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now);
        match &self.0 {
            Source::System => now,
            Source::Shifted(by) => now + Duration::nanoseconds(by.load(Ordering::SeqCst)),
        }
    }

    /// Move a test's clock forward.
    ///
    /// # Panics
    /// On the system clock: only tests move time.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System => panic!("BUG: the system clock cannot be moved"),
            Source::Shifted(shift) => {
                shift.fetch_add(by.whole_nanoseconds() as i64, Ordering::SeqCst);
            }
        }
    }
}
