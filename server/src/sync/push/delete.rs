//! `DELETE sync/push-sessions/{push_id}`: give up a push.

use uuid::Uuid;

use super::PushRefused;
use crate::{
    ops::database::in_schema,
    sync::{Engine, SyncCaller},
};

/// Why there was no push to give up.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error(transparent)]
    Refused(#[from] PushRefused),
    #[error("the push could not be deleted")]
    Database(#[from] sqlx::Error),
}

impl Engine {
    /// Forget a push and what it has staged.
    pub async fn delete_push(&self, caller: &SyncCaller, push_id: Uuid) -> Result<(), DeleteError> {
        let schema = &caller.app.schema;
        let query = sqlx::query_as(in_schema(schema, "select {schema}._sync_push_drop($1, $2, $3, $4)"))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(push_id)
            .bind(self.clock.now());
        let (outcome,): (String,) = self.apps.one(schema, query).await?;
        if outcome == "ok" {
            return Ok(());
        }
        let refused = PushRefused::parse(&outcome, &caller.source, None);
        Err(refused.unwrap_or_else(|| unreachable!("BUG: _sync_push_drop answered {outcome}")).into())
    }
}
