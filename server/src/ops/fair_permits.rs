//! Permits shared out fairly among parties that want them: whoever has fewest is served next.
//!
//! A plain semaphore serves requests in their order, so that a party that always has a hundred waiting makes everybody
//! else wait for a hundred.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

/// A number of permits, and who waits for them. Cheap to clone.
#[derive(Debug)]
pub(super) struct FairPermits<P: Eq + Hash + Clone>(Arc<Shared<P>>);

/// The permits are closed.
#[derive(Debug)]
pub(super) struct Closed;

/// A permit. Dropping it gives it to whoever is next.
#[derive(Debug)]
pub(super) struct FairPermit<P: Eq + Hash + Clone> {
    permits: FairPermits<P>,
    party: P,
}

#[derive(Debug)]
struct Shared<P: Eq + Hash + Clone> {
    /// The most permits of one party.
    most: usize,
    state: Mutex<State<P>>,
    /// Told when nobody holds a permit or waits for one.
    idle: Notify,
}

/// Who waits could not be served when it came, nor since: with a permit free, its party has as many as it may have.
#[derive(Debug)]
struct State<P: Eq + Hash + Clone> {
    free: usize,
    held: HashMap<P, usize>,
    waiting: HashMap<P, VecDeque<Waiting<P>>>,
    /// The number of the next who waits.
    next: u64,
    closed: bool,
}

#[derive(Debug)]
struct Waiting<P: Eq + Hash + Clone> {
    /// Smaller: came earlier.
    number: u64,
    served: oneshot::Sender<FairPermit<P>>,
}

impl<P: Eq + Hash + Clone> FairPermits<P> {
    /// `count` permits, of which one party may hold `most`.
    pub(super) fn new(count: usize, most: usize) -> Self {
        let state =
            State { free: count, held: HashMap::new(), waiting: HashMap::new(), next: 0, closed: false };
        Self(Arc::new(Shared { most, state: Mutex::new(state), idle: Notify::new() }))
    }

    /// Wait for a permit for `party`. Giving up while waiting loses nothing.
    pub(super) async fn acquire(&self, party: &P) -> Result<FairPermit<P>, Closed> {
        let served = {
            let mut state = self.lock();
            if state.closed {
                return Err(Closed);
            }
            if state.free > 0 && state.held.get(party).is_none_or(|held| *held < self.0.most) {
                state.take(party);
                return Ok(FairPermit { permits: self.clone(), party: party.clone() });
            }
            let (serve, served) = oneshot::channel();
            let number = state.next;
            state.next += 1;
            state.waiting.entry(party.clone()).or_default().push_back(Waiting { number, served: serve });
            served
        };
        Ok(served.await.expect("BUG: somebody who waits was forgotten"))
    }

    /// Refuse whoever comes from now on, and wait for everybody who is here.
    pub(super) async fn close(&self) {
        self.lock().closed = true;
        loop {
            let idle = self.0.idle.notified();
            if self.lock().held.is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// Take a permit of `party` back and serve whoever is next.
    fn give_back(&self, party: &P) {
        let mut served = Vec::new();
        {
            let mut state = self.lock();
            state.put(party);
            while let Some((waiting, party)) = state.next_served(self.0.most) {
                served.push((waiting, FairPermit { permits: self.clone(), party }));
            }
            if state.held.is_empty() {
                self.0.idle.notify_waiters();
            }
        }
        for (waiting, permit) in served {
            // Whoever has gone away this very moment drops it, and it goes on to the next.
            let _ = waiting.served.send(permit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Eq + Hash + Clone> State<P> {
    fn take(&mut self, party: &P) {
        self.free -= 1;
        *self.held.entry(party.clone()).or_default() += 1;
    }

    fn put(&mut self, party: &P) {
        self.free += 1;
        let held = self.held.get_mut(party).expect("BUG: a permit of nobody");
        *held -= 1;
        if *held == 0 {
            self.held.remove(party);
        }
    }

    /// Take a permit for the party that has fewest and may have more; of several such, for whoever came first.
    fn next_served(&mut self, most: usize) -> Option<(Waiting<P>, P)> {
        if self.free == 0 {
            return None;
        }
        self.waiting.retain(|_, queue| {
            while queue.front().is_some_and(|first| first.served.is_closed()) {
                queue.pop_front();
            }
            !queue.is_empty()
        });
        let held = |party: &P| self.held.get(party).copied().unwrap_or(0);
        let (_, _, party) = self
            .waiting
            .iter()
            .map(|(party, queue)| (held(party), queue[0].number, party))
            .filter(|(held, _, _)| *held < most)
            .min_by_key(|(held, number, _)| (*held, *number))?;
        let party = party.clone();
        self.take(&party);
        let queue = self.waiting.get_mut(&party).expect("BUG: it was there");
        let first = queue.pop_front().expect("BUG: an empty queue was left");
        if queue.is_empty() {
            self.waiting.remove(&party);
        }
        Some((first, party))
    }
}

impl<P: Eq + Hash + Clone> Clone for FairPermits<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Eq + Hash + Clone> Drop for FairPermit<P> {
    fn drop(&mut self) {
        self.permits.clone().give_back(&self.party);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test]
    async fn whoever_has_fewest_is_next_and_nobody_has_all() {
        let permits = FairPermits::new(4, 3);
        let mut noisy: Vec<_> = (0..10).map(|_| Box::pin(permits.acquire(&"noisy"))).collect();
        let mut held = Vec::new();
        for waiting in &mut noisy {
            held.extend(waiting.now_or_never());
        }
        assert_eq!(held.len(), 3);

        let quiet = permits.acquire(&"quiet").now_or_never().unwrap().unwrap();
        let mut more = Box::pin(permits.acquire(&"quiet"));
        assert!((&mut more).now_or_never().is_none());
        // It came last, and is served first.
        held.pop();
        let more = more.now_or_never().unwrap().unwrap();
        drop((quiet, more));
        // Now the noisy one may have its third again, and no more.
        let served =
            noisy.iter_mut().skip(3).filter_map(|waiting| waiting.now_or_never()).collect::<Vec<_>>();
        assert_eq!(served.len(), 1);
    }

    #[tokio::test]
    async fn who_gives_up_takes_nothing_along() {
        let permits = FairPermits::new(1, 1);
        let held = permits.acquire(&1).await.unwrap();
        let mut gone = Box::pin(permits.acquire(&1));
        let mut served_and_gone = Box::pin(permits.acquire(&2));
        let mut stays = Box::pin(permits.acquire(&3));
        assert!((&mut gone).now_or_never().is_none());
        assert!((&mut served_and_gone).now_or_never().is_none());
        assert!((&mut stays).now_or_never().is_none());
        drop(gone);
        drop(held);
        drop(served_and_gone);
        drop(stays.now_or_never().unwrap().unwrap());
        drop(permits.acquire(&1).now_or_never().unwrap().unwrap());
        assert!(permits.lock().waiting.is_empty() && permits.lock().held.is_empty());
    }

    #[tokio::test]
    async fn closing_serves_those_who_are_here_and_nobody_else() {
        let permits = FairPermits::new(1, 1);
        let held = permits.acquire(&1).await.unwrap();
        let parties = [0, 1, 2, 1, 0];
        let waiting =
            join_all(parties.iter().map(|party| async { drop(permits.acquire(party).await.unwrap()) }));
        let closing = async {
            permits.close().await;
            assert!(permits.acquire(&9).await.is_err());
        };
        let release = async { drop(held) };
        tokio::join!(waiting, async { tokio::join!(closing, release) });
    }
}
