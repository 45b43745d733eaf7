//! A load that is asked for, and not as much as a server can take.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// When a user's cycles begin: at random, as users come who know nothing of each other, so that some come together.
#[derive(Debug)]
pub(crate) struct Pace {
    /// A second, on average.
    rate: f64,
    next: Instant,
}

impl Pace {
    pub(crate) fn of(rate: f64) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// Wait for the next one. What is late, because the one before took so long, begins at once and makes what follows late too.
    pub(crate) async fn turn(&mut self) {
        let gap = -(1.0 - rand::random::<f64>()).ln() / self.rate;
        let now = Instant::now();
        self.next = (self.next + Duration::from_secs_f64(gap)).max(now);
        sleep(self.next - now).await;
    }
}
