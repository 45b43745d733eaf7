//! Where the writers of one scope wait for each other.
//!
//! Whoever numbers a bundle holds the scope's row lock in PostgreSQL. If requests waited for it there, each would
//! hold a connection meanwhile, and one user with many devices would starve all others. So they wait here first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::{AppId, ScopeId};

/// Too many writers of one scope are waiting already, or it took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many writes of one scope are waiting for each other")]
pub(in crate::sync) struct ScopeBusy;

/// The queues of this process: one for each scope that is being written to just now.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct ScopeQueues(Arc<Mutex<HashMap<Key, Queue>>>);

type Key = (AppId, ScopeId);

#[derive(Debug)]
struct Queue {
    turn: Arc<Semaphore>,
    /// The one whose turn it is and those who wait. At 0 the queue goes.
    members: usize,
}

/// The right to write to a scope. The next in the queue has it when this is dropped.
#[derive(Debug)]
pub(in crate::sync) struct ScopeTurn {
    permit: Option<OwnedSemaphorePermit>,
    _member: Member,
}

/// A place in a queue, given up when dropped: also by a request that is abandoned while it waits.
#[derive(Debug)]
struct Member {
    queues: ScopeQueues,
    key: Key,
}

impl ScopeQueues {
    /// Writers that may wait in one scope's queue; more are told to come back.
    const MAX_MEMBERS: usize = 512;
    const MAX_WAIT: Duration = Duration::from_secs(15);

    /// Wait for this scope's turn, first come, first served.
    pub(in crate::sync) async fn turn(&self, app: AppId, scope: &ScopeId) -> Result<ScopeTurn, ScopeBusy> {
        let (turn, member) = self.join((app, scope.clone()))?;
        match tokio::time::timeout(Self::MAX_WAIT, turn.acquire_owned()).await {
            Ok(permit) => {
                let permit = permit.expect("BUG: the semaphore of a scope's queue is never closed");
                Ok(ScopeTurn { permit: Some(permit), _member: member })
            }
            Err(_) => Err(ScopeBusy),
        }
    }

    fn join(&self, key: Key) -> Result<(Arc<Semaphore>, Member), ScopeBusy> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues
            .entry(key.clone())
            .or_insert_with(|| Queue { turn: Arc::new(Semaphore::new(1)), members: 0 });
        if queue.members >= Self::MAX_MEMBERS {
            return Err(ScopeBusy);
        }
        queue.members += 1;
        Ok((Arc::clone(&queue.turn), Member { queues: self.clone(), key }))
    }
}

impl Drop for ScopeTurn {
    fn drop(&mut self) {
        // Before the member leaves: a queue that goes must not be held by anybody.
        drop(self.permit.take());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut queues = self.queues.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.members -= 1;
            if queue.members == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn scope(name: &str) -> ScopeId {
        ScopeId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn writers_of_a_scope_take_turns_and_the_queue_goes_when_the_last_has_left() {
        let (queues, app) = (ScopeQueues::default(), AppId::new());
        let inside = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..20)
            .map(|_| {
                let (queues, inside) = (queues.clone(), Arc::clone(&inside));
                tokio::spawn(async move {
                    let _turn = queues.turn(app, &scope("u")).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert!(queues.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn scopes_and_apps_do_not_wait_for_each_other() {
        let (queues, app) = (ScopeQueues::default(), AppId::new());
        let _one = queues.turn(app, &scope("u")).await.unwrap();
        let _other_scope = queues.turn(app, &scope("v")).await.unwrap();
        let _other_app = queues.turn(AppId::new(), &scope("u")).await.unwrap();
        assert_eq!(queues.0.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn an_abandoned_wait_leaves_the_queue() {
        let (queues, app) = (ScopeQueues::default(), AppId::new());
        let turn = queues.turn(app, &scope("u")).await.unwrap();
        let (name, app_id) = (scope("u"), app);
        let waiting = queues.turn(app_id, &name);
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
        assert_eq!(queues.0.lock().unwrap()[&(app, scope("u"))].members, 1);
        drop(turn);
        assert!(queues.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_queue_that_is_too_long_sends_writers_away() {
        let (queues, app) = (ScopeQueues::default(), AppId::new());
        let members: Vec<_> =
            (0..ScopeQueues::MAX_MEMBERS).map(|_| queues.join((app, scope("u"))).unwrap()).collect();
        assert_eq!(queues.turn(app, &scope("u")).await.unwrap_err(), ScopeBusy);
        drop(members);
        assert!(queues.turn(app, &scope("u")).await.is_ok());
    }
}
