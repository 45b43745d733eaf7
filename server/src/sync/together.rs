//! Requests of one kind and one app, sent to PostgreSQL together.
//!
//! What a small request costs is mostly the starting of statements and the way to PostgreSQL and back; both are shared
//! here. Nobody waits to be grouped: a request that comes while fewer than `at_once` statements of its kind and app are
//! under way is sent at once, alone. Those that come meanwhile go together in the next one, so a group delays nobody by
//! more than its own work, and an app that asks for a lot holds few connections.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::ids::AppId;

/// The most requests in one statement.
const MAX_GROUP: usize = 64;

/// What goes together: an app's requests, in one schema version, because a statement names its tables.
pub(in crate::sync) type Key = (AppId, i32);

/// The requests of one kind that wait, of every app that has any. One a process and kind; cheap to clone.
#[derive(Debug)]
pub(in crate::sync) struct Together<Q, A> {
    /// Statements of one app under way at once.
    at_once: usize,
    queues: Arc<Mutex<HashMap<Key, Queue<Q, A>>>>,
}

/// Present while statements of the app are under way.
#[derive(Debug)]
struct Queue<Q, A> {
    under_way: usize,
    waiting: VecDeque<Waiting<Q, A>>,
}

#[derive(Debug)]
struct Waiting<Q, A> {
    question: Q,
    answer: oneshot::Sender<A>,
}

/// One statement that is under way, for as long as it or one after it is.
#[derive(Debug)]
struct Place<Q, A> {
    together: Together<Q, A>,
    key: Key,
    left: bool,
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    pub(in crate::sync) fn new(at_once: usize) -> Self {
        Self { at_once, queues: Arc::default() }
    }

    /// The answer to `question`, which `run` finds for a group of them, in their order. None: `run` panicked.
    ///
    /// Goes on to its end even if the caller goes away meanwhile.
    pub(in crate::sync) async fn ask<F>(
        &self,
        tasks: &TaskTracker,
        key: Key,
        question: Q,
        run: impl Fn(Vec<Q>) -> F + Send + 'static,
    ) -> Option<A>
    where
        F: Future<Output = Vec<A>> + Send,
    {
        let (answer, answered) = oneshot::channel();
        if let Some(one) = self.queue(key, Waiting { question, answer }) {
            let mut place = Place { together: self.clone(), key, left: false };
            tasks.spawn(async move {
                let mut group = vec![one];
                while !group.is_empty() {
                    let (questions, waiting): (Vec<_>, Vec<_>) =
                        group.into_iter().map(|one| (one.question, one.answer)).unzip();
                    for (answer, to) in run(questions).await.into_iter().zip(waiting) {
                        // Whoever is gone does not want to know.
                        let _ = to.send(answer);
                    }
                    group = place.next();
                }
            });
        }
        answered.await.ok()
    }

    /// Put `one` in the app's queue, or give it back if it may go at once.
    fn queue(&self, key: Key, one: Waiting<Q, A>) -> Option<Waiting<Q, A>> {
        let mut queues = self.lock();
        let queue = queues.entry(key).or_insert_with(|| Queue { under_way: 0, waiting: VecDeque::new() });
        if queue.under_way < self.at_once {
            queue.under_way += 1;
            return Some(one);
        }
        queue.waiting.push_back(one);
        None
    }
}

impl<Q, A> Together<Q, A> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Queue<Q, A>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A> Clone for Together<Q, A> {
    fn clone(&self) -> Self {
        Self { at_once: self.at_once, queues: Arc::clone(&self.queues) }
    }
}

impl<Q, A> Place<Q, A> {
    /// Those who go next. Nobody: then this is the end of it.
    fn next(&mut self) -> Vec<Waiting<Q, A>> {
        let together = self.together.clone();
        let mut queues = together.lock();
        let queue = queues.get_mut(&self.key).expect("BUG: a queue went while a statement was under way");
        let count = queue.waiting.len().min(MAX_GROUP);
        let group: Vec<_> = queue.waiting.drain(..count).collect();
        if group.is_empty() {
            self.leave(&mut queues);
        }
        group
    }

    fn leave(&mut self, queues: &mut HashMap<Key, Queue<Q, A>>) {
        if mem::replace(&mut self.left, true) {
            return;
        }
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.under_way -= 1;
            if queue.under_way == 0 {
                // Nobody is in it unless a statement panicked; these then hear that it did.
                queues.remove(&self.key);
            }
        }
    }
}

impl<Q, A> Drop for Place<Q, A> {
    fn drop(&mut self) {
        let together = self.together.clone();
        self.leave(&mut together.lock());
    }
}

/// The answers that the group's statement gave, and for those it left out what `alone` finds, all at once.
pub(in crate::sync) async fn or_alone<Q, A, F>(
    group: &[Q],
    grouped: Vec<Option<A>>,
    alone: impl Fn(&Q) -> F,
) -> Vec<A>
where
    F: Future<Output = A>,
{
    let asked = group.iter().zip(grouped).map(|(question, answer)| {
        let asked = answer.is_none().then(|| alone(question));
        async move {
            match (answer, asked) {
                (Some(answer), _) => answer,
                (None, Some(asked)) => asked.await,
                (None, None) => unreachable!("BUG: a question without an answer was not asked"),
            }
        }
    });
    join_all(asked).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn what_comes_while_one_is_under_way_goes_together() {
        let (together, tasks) = (Together::<u32, (u32, usize)>::new(1), TaskTracker::new());
        let run = |group: Vec<u32>| async move {
            tokio::task::yield_now().await;
            let size = group.len();
            group.into_iter().map(|n| (n, size)).collect()
        };
        let key = (AppId::new(), 1);
        let answers = join_all((0..100).map(|n| together.ask(&tasks, key, n, run))).await;
        let (numbers, sizes): (Vec<_>, BTreeSet<_>) = answers.into_iter().flatten().unzip();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert_eq!(sizes, BTreeSet::from([1, 35, 64]));
        tasks.close();
        tasks.wait().await;
        assert!(together.lock().is_empty());
    }

    #[tokio::test]
    async fn who_waits_behind_a_panic_hears_of_it_and_the_next_is_served() {
        let (together, tasks) = (Together::<u32, u32>::new(1), TaskTracker::new());
        let run = |group: Vec<u32>| async move {
            assert!(!group.contains(&7), "not seven");
            group
        };
        let key = (AppId::new(), 1);
        let answers = join_all([7, 8].map(|n| together.ask(&tasks, key, n, run))).await;
        assert_eq!(answers, [None, None]);
        assert_eq!(together.ask(&tasks, key, 9, run).await, Some(9));
    }

    #[tokio::test]
    async fn only_those_left_out_are_asked_alone() {
        let answers = or_alone(&[1, 2, 3], vec![Some(10), None, Some(30)], |n| {
            assert_eq!(*n, 2);
            let n = *n;
            async move { n * 100 }
        });
        assert_eq!(answers.await, [10, 200, 30]);
    }
}
