//! Commits of different scopes of one app, made together.
//!
//! Nobody waits to be grouped: a commit that comes while fewer than [`AT_ONCE`] statements of its app are under way is
//! sent at once, alone. Those that come meanwhile go together in the next statement
//! (`migrations/app/0008_group_commit.sql`). It never waits for a scope that somebody else holds, and what it leaves
//! out is committed by the long way, so a group delays nobody by more than its own work.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::CommittedPush;
use crate::{
    ids::{AppId, BundleSeq},
    ops::database::in_schema,
    sync::{Engine, SyncCaller},
    tables::spec::WireProfile,
};

/// Statements of one app under way at once: while one waits for the disk, another computes.
const AT_ONCE: usize = 2;
/// The most commits in one statement.
const MAX_GROUP: usize = 64;

/// The commits that wait, of every app that has any. An app's schema version is part of the key, because a group has
/// one.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct CommitGroups(Arc<Mutex<HashMap<Key, Queue>>>);

type Key = (AppId, i32);

/// Present while statements of the app are under way.
#[derive(Debug, Default)]
struct Queue {
    under_way: usize,
    waiting: Vec<Waiting>,
}

/// One statement that is under way, for as long as it or one after it is.
#[derive(Debug)]
struct Place {
    groups: CommitGroups,
    key: Key,
    left: bool,
}

/// The answer None: take the long way.
type Outcome = Result<Option<CommittedPush>, sqlx::Error>;

#[derive(Debug)]
struct Waiting {
    caller: SyncCaller,
    push_id: Uuid,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug, Default, sqlx::FromRow)]
struct Answer {
    positions: Option<Vec<i64>>,
    source_bundle_ids: Option<Vec<i64>>,
    bundle_seqs: Option<Vec<BundleSeq>>,
    bundle_hashes: Option<Vec<String>>,
    request_hashes: Option<Vec<Option<String>>>,
}

impl CommitGroups {
    /// Put `one` in the app's queue, or give it back if it may go at once.
    fn queue(&self, key: Key, one: Waiting) -> Option<Waiting> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(key).or_default();
        if queue.under_way < AT_ONCE {
            queue.under_way += 1;
            return Some(one);
        }
        queue.waiting.push(one);
        None
    }
}

impl Place {
    /// Those who go next. Nobody: then this is the end of it.
    fn next(&mut self) -> Vec<Waiting> {
        let groups = self.groups.clone();
        let mut queues = groups.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get_mut(&self.key).expect("BUG: a queue went while a statement was under way");
        let count = queue.waiting.len().min(MAX_GROUP);
        let group: Vec<Waiting> = queue.waiting.drain(..count).collect();
        if group.is_empty() {
            self.leave(&mut queues);
        }
        group
    }

    fn leave(&mut self, queues: &mut HashMap<Key, Queue>) {
        if mem::replace(&mut self.left, true) {
            return;
        }
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.under_way -= 1;
            if queue.under_way == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let groups = self.groups.clone();
        self.leave(&mut groups.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Engine {
    /// Commit a push the short way, together with others if there are any; None: nothing was changed, and the long way
    /// must be taken. The caller has the scope's turn, so no group names a scope twice.
    ///
    /// # Errors
    /// The connection broke: nobody knows whether the push was committed.
    pub(super) async fn commit_grouped(&self, caller: &SyncCaller, push_id: Uuid) -> Outcome {
        let key = (caller.app.app, caller.app.schema_version);
        let (answer, answered) = oneshot::channel();
        let one = Waiting { caller: caller.clone(), push_id, answer };
        if let Some(one) = self.groups.queue(key, one) {
            let engine = self.clone();
            let mut place = Place { groups: self.groups.clone(), key, left: false };
            self.tasks.spawn(async move {
                let mut group = vec![one];
                while !group.is_empty() {
                    engine.commit_group(group).await;
                    group = place.next();
                }
            });
        }
        // Without an answer there was a bug; the long way will find out how things are.
        answered.await.unwrap_or(Ok(None))
    }

    /// Commit all of a group that can be, and tell everybody.
    async fn commit_group(&self, group: Vec<Waiting>) {
        if group.len() > 1 {
            match self.try_group(&group).await {
                Ok(outcomes) => {
                    for (one, outcome) in group.into_iter().zip(outcomes) {
                        // Whoever is gone does not want to know.
                        let _ = one.answer.send(Ok(outcome));
                    }
                    return;
                }
                // One of them spoilt it for all: each on its own.
                Err(sqlx::Error::Database(_)) => {}
                Err(error) => {
                    for one in group {
                        // The error itself cannot be shared; its text can.
                        let told = std::io::Error::other(error.to_string());
                        let _ = one.answer.send(Err(told.into()));
                    }
                    return;
                }
            }
        }
        for one in group {
            let outcome = self.commit_small(&one.caller, one.push_id).await;
            let _ = one.answer.send(outcome);
        }
    }

    /// What became of each; None: take the long way.
    async fn try_group(&self, group: &[Waiting]) -> Result<Vec<Option<CommittedPush>>, sqlx::Error> {
        const SQL: &str = "select positions, source_bundle_ids, bundle_seqs, bundle_hashes, request_hashes
            from {schema}._sync_push_commit_group($1, $2, $3, $4, $5, $6, $7)";
        let app = &group.first().expect("BUG: an empty group").caller.app;
        let texts =
            |of: fn(&SyncCaller) -> &str| -> Vec<&str> { group.iter().map(|one| of(&one.caller)).collect() };
        let push_ids: Vec<Uuid> = group.iter().map(|one| one.push_id).collect();
        let query = sqlx::query_as(in_schema(&app.schema, SQL))
            .bind(texts(|caller| caller.scope.as_str()))
            .bind(texts(|caller| caller.source.as_str()))
            .bind(push_ids)
            .bind(texts(|caller| &caller.user))
            .bind(app.profile == WireProfile::Strings)
            .bind(app.schema_version)
            .bind(self.clock.now());
        let answer: Answer = self.apps.one(&app.schema, query).await?;
        Ok(answer.into_outcomes(group))
    }
}

impl Answer {
    fn into_outcomes(self, group: &[Waiting]) -> Vec<Option<CommittedPush>> {
        let mut outcomes: Vec<Option<CommittedPush>> = group.iter().map(|_| None).collect();
        let numbers =
            self.source_bundle_ids.into_iter().flatten().zip(self.bundle_seqs.into_iter().flatten());
        let hashes = self.bundle_hashes.into_iter().flatten().zip(self.request_hashes.into_iter().flatten());
        let committed = self.positions.into_iter().flatten().zip(numbers.zip(hashes));
        for (position, ((source_bundle_id, bundle_seq), (bundle_hash, request_hash))) in committed {
            let place = position as usize - 1;
            outcomes[place] = Some(CommittedPush {
                bundle_seq,
                source: group[place].caller.source.clone(),
                source_bundle_id,
                row_count: 1,
                bundle_hash,
                request_hash,
            });
        }
        outcomes
    }
}
