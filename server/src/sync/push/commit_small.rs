//! The short way of a commit (`migrations/app/0007_small_push.sql`): one statement for what most pushes are.

use uuid::Uuid;

use super::CommittedPush;
use crate::{
    ids::BundleSeq,
    ops::database::in_schema,
    sync::{Engine, SyncCaller},
    tables::spec::WireProfile,
};

/// All null: not this way.
#[derive(Debug, sqlx::FromRow)]
struct Answer {
    source_bundle_id: Option<i64>,
    bundle_seq: Option<BundleSeq>,
    row_count: Option<i32>,
    bundle_hash: Option<String>,
    request_hash: Option<String>,
}

impl Engine {
    /// Commit a push in one statement; None: nothing was changed, and the long way must be taken, be it because of what
    /// the push is like or because something stands in its way.
    ///
    /// # Errors
    /// The connection broke: nobody knows whether the push was committed.
    pub(super) async fn commit_small(
        &self,
        caller: &SyncCaller,
        push_id: Uuid,
    ) -> Result<Option<CommittedPush>, sqlx::Error> {
        const SQL: &str = "select source_bundle_id, bundle_seq, row_count, bundle_hash, request_hash
            from {schema}._sync_push_commit_small($1, $2, $3, $4, $5, $6, $7)";
        let query = sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(push_id)
            .bind(caller.app.profile == WireProfile::Strings)
            .bind(caller.app.schema_version)
            .bind(&caller.user)
            .bind(self.clock.now());
        let answer: Answer = match self.apps.one(&caller.app.schema, query).await {
            Ok(answer) => answer,
            Err(sqlx::Error::Database(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(answer.source_bundle_id.map(|source_bundle_id| CommittedPush {
            bundle_seq: answer.bundle_seq.expect("BUG: a commit without a number"),
            source: caller.source.clone(),
            source_bundle_id,
            row_count: answer.row_count.expect("BUG: a commit without a row count"),
            bundle_hash: answer.bundle_hash.expect("BUG: a commit without a hash"),
            request_hash: answer.request_hash,
        }))
    }
}
