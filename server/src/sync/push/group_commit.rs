//! Commits of different scopes of one app, made in one statement (`migrations/app/0008_group_commit.sql`).
//!
//! It never waits for a scope that somebody else holds, and what it leaves out is committed by the long way, so a group
//! delays nobody by more than its own work.

use uuid::Uuid;

use super::CommittedPush;
use crate::{
    ids::BundleSeq,
    ops::database::in_schema,
    sync::{Engine, SyncCaller, together::Together},
    tables::spec::WireProfile,
};

/// The commits that wait to be made together.
pub(in crate::sync) type CommitGroups = Together<StagedOne, Outcome>;

/// Statements of one app under way at once: while one waits for the disk, another computes.
pub(super) const COMMITS_AT_ONCE: usize = 2;

/// The answer None: take the long way.
pub(in crate::sync) type Outcome = Result<Option<CommittedPush>, sqlx::Error>;

/// A push that its device wants committed.
#[derive(Debug)]
pub(in crate::sync) struct StagedOne {
    caller: SyncCaller,
    push_id: Uuid,
}

#[derive(Debug, Default, sqlx::FromRow)]
struct Answer {
    positions: Option<Vec<i64>>,
    source_bundle_ids: Option<Vec<i64>>,
    bundle_seqs: Option<Vec<BundleSeq>>,
    bundle_hashes: Option<Vec<String>>,
    request_hashes: Option<Vec<Option<String>>>,
}

impl Engine {
    /// Commit a push the short way, together with others if there are any; None: nothing was changed, and the long way
    /// must be taken. The caller has the scope's turn, so no group names a scope twice.
    ///
    /// # Errors
    /// The connection broke: nobody knows whether the push was committed.
    pub(super) async fn commit_grouped(&self, caller: &SyncCaller, push_id: Uuid) -> Outcome {
        let engine = self.clone();
        let commit = move |group| {
            let engine = engine.clone();
            async move { engine.commit_group(group).await }
        };
        let one = StagedOne { caller: caller.clone(), push_id };
        let answer = self.groups.commits.ask(&self.tasks, caller.together(), one, commit).await;
        // Without an answer there was a bug; the long way will find out how things are.
        answer.unwrap_or(Ok(None))
    }

    /// Commit all of a group that can be.
    async fn commit_group(&self, group: Vec<StagedOne>) -> Vec<Outcome> {
        if group.len() > 1 {
            match self.try_group(&group).await {
                Ok(outcomes) => return outcomes.into_iter().map(Ok).collect(),
                // One of them spoilt it for all: each on its own.
                Err(sqlx::Error::Database(_)) => {}
                Err(error) => {
                    // The error itself cannot be shared; its text can.
                    let told = |_| Err(std::io::Error::other(error.to_string()).into());
                    return group.iter().map(told).collect();
                }
            }
        }
        let mut outcomes = Vec::with_capacity(group.len());
        for one in group {
            outcomes.push(self.commit_small(&one.caller, one.push_id).await);
        }
        outcomes
    }

    /// What became of each; None: take the long way.
    async fn try_group(&self, group: &[StagedOne]) -> Result<Vec<Option<CommittedPush>>, sqlx::Error> {
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
    fn into_outcomes(self, group: &[StagedOne]) -> Vec<Option<CommittedPush>> {
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
