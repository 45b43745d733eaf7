//! How many requests of one app are worked on at once while other apps are at work too.
//!
//! What is under way takes processor time, here and in PostgreSQL, from whatever comes next. So a small app would wait behind
//! all that an app which asks flat out has under way, however fairly connections are shared. While more than one app is at
//! work, those that ask for more than that share a fixed number of places, and whoever asks for little finds one free. An
//! app that is alone has no bound.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::ids::AppId;

/// An app is at work for so long after its last request began.
const AT_WORK_FOR: Duration = Duration::from_secs(1);

/// The places of all apps. One a process; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::sync) struct FairShares(Arc<Shared>);

/// A place: a request that has one is worked on. Dropping it gives it to the app's next request.
#[derive(Debug)]
pub(in crate::sync) struct Share {
    shares: FairShares,
    app: AppId,
}

#[derive(Debug)]
struct Shared {
    /// What apps that ask for more share among them.
    count: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Apps with requests under way. Who waits in a lane found it full when it came, and whoever leaves it looks again.
    lanes: HashMap<AppId, Lane>,
    /// Lanes in which somebody waits.
    crowded: usize,
    /// The app whose request began last, and the one that was last before it.
    last: Option<(AppId, Instant)>,
    last_other: Option<(AppId, Instant)>,
}

#[derive(Debug, Default)]
struct Lane {
    under_way: usize,
    waiting: VecDeque<oneshot::Sender<Share>>,
}

impl FairShares {
    pub(in crate::sync) fn new(count: usize) -> Self {
        Self(Arc::new(Shared { count, state: Mutex::default() }))
    }

    /// Wait for a place for a request of `app`, first come, first served. Whoever holds one must not wait for another
    /// request of the same app. Giving up while waiting loses nothing.
    pub(in crate::sync) async fn enter(&self, app: AppId) -> Share {
        let served = {
            let mut state = self.lock();
            let now = Instant::now();
            state.note(app, now);
            let bound = state.bound(app, self.0.count, now);
            let lane = state.lanes.entry(app).or_default();
            if lane.under_way < bound {
                lane.under_way += 1;
                return Share { shares: self.clone(), app };
            }
            let (serve, served) = oneshot::channel();
            lane.waiting.push_back(serve);
            state.crowded += usize::from(lane.waiting.len() == 1);
            served
        };
        served.await.expect("BUG: a request that waits was forgotten")
    }

    /// Take a place of `app` back and serve those of its requests that may go now.
    fn leave(&self, app: AppId) {
        let mut served = Vec::new();
        {
            let mut state = self.lock();
            let bound = state.bound(app, self.0.count, Instant::now());
            let lane = state.lanes.get_mut(&app).expect("BUG: a place of nobody");
            lane.under_way -= 1;
            let was_crowded = !lane.waiting.is_empty();
            while lane.under_way < bound
                && let Some(next) = lane.waiting.pop_front()
            {
                if !next.is_closed() {
                    lane.under_way += 1;
                    served.push(next);
                }
            }
            let is_crowded = !lane.waiting.is_empty();
            if lane.under_way == 0 {
                state.lanes.remove(&app);
            }
            state.crowded -= usize::from(was_crowded && !is_crowded);
        }
        for next in served {
            // Whoever has gone away this very moment drops it, and it goes on to the next.
            let _ = next.send(Share { shares: self.clone(), app });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, app: AppId, now: Instant) {
        if self.last.is_some_and(|(last, _)| last != app) {
            self.last_other = self.last;
        }
        self.last = Some((app, now));
    }

    /// How many requests of `app` may be under way.
    fn bound(&self, app: AppId, count: usize, now: Instant) -> usize {
        let other = self.last.filter(|(last, _)| *last != app).or(self.last_other);
        if other.is_none_or(|(_, at)| now.duration_since(at) >= AT_WORK_FOR) {
            return usize::MAX;
        }
        (count / self.crowded.max(1)).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.leave(self.app);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;

    type Waiting<'a> = BoxFuture<'a, Share>;

    /// FairShares of as many requests of `app` as get one at once, and the requests that wait.
    fn enter(shares: &FairShares, app: AppId, count: usize) -> (Vec<Share>, Vec<Waiting<'_>>) {
        let (mut held, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut request: Waiting<'_> = Box::pin(shares.enter(app));
            match (&mut request).now_or_never() {
                Some(place) => held.push(place),
                None => waiting.push(request),
            }
        }
        (held, waiting)
    }

    #[tokio::test]
    async fn an_app_alone_has_no_bound_and_beside_another_it_has() {
        let (shares, noisy, quiet) = (FairShares::new(4), AppId::new(), AppId::new());
        let (mut held, waiting) = enter(&shares, noisy, 10);
        assert_eq!((held.len(), waiting.len()), (10, 0));

        let (calm, _) = enter(&shares, quiet, 3);
        assert_eq!(calm.len(), 3);
        let (more, mut waiting) = enter(&shares, noisy, 2);
        assert_eq!((more.len(), waiting.len()), (0, 2));
        // As many as are too many leave before the next is let in.
        held.truncate(4);
        assert!((&mut waiting[0]).now_or_never().is_none());
        held.truncate(3);
        let next = waiting.remove(0).now_or_never();
        assert!(next.is_some() && waiting.remove(0).now_or_never().is_none());
    }

    #[tokio::test]
    async fn those_who_ask_for_more_share_the_places() {
        let (shares, one, other) = (FairShares::new(4), AppId::new(), AppId::new());
        drop(enter(&shares, other, 1));
        let (mut held, waiting) = enter(&shares, one, 6);
        assert_eq!((held.len(), waiting.len()), (4, 2));
        // The second to ask for more has to wait until the first has come down to its half.
        let (others, others_waiting) = enter(&shares, other, 6);
        assert_eq!((others.len(), others_waiting.len()), (4, 2));
        held.truncate(1);
        let served: Vec<_> = waiting.into_iter().filter_map(FutureExt::now_or_never).collect();
        assert_eq!(served.len(), 1);
    }

    #[tokio::test]
    async fn who_gives_up_takes_nothing_along_and_nothing_is_left() {
        let (shares, app) = (FairShares::new(1), AppId::new());
        drop(enter(&shares, AppId::new(), 1));
        let (held, mut waiting) = enter(&shares, app, 4);
        assert_eq!((held.len(), waiting.len()), (1, 3));
        drop(waiting.remove(0));
        drop(held);
        // The first of the two that stayed was served, and goes away without looking.
        drop(waiting.remove(0));
        drop(waiting.remove(0).now_or_never().unwrap());
        let state = shares.lock();
        assert!(state.lanes.is_empty() && state.crowded == 0);
    }
}
