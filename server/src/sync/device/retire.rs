//! Retiring a device by hand: its source may not write any more, and its streams end.
//!
//! It is a rotation that the server begins (PROTOCOL.md, source replacement): a successor is reserved at once, so that
//! the next push or snapshot of the device is told `source_retired` with a `replaced_by_source_id`, which every client
//! knows how to adopt. What the device has read it keeps, and it may go on reading; who must not is kept out by
//! revoking the user's tokens.

use uuid::Uuid;

use crate::{
    ids::{ScopeId, SourceId},
    ops::database::in_schema,
    sync::Engine,
    tables::catalog::AppCatalog,
};

/// The reason that is kept with a source that people have retired.
pub(super) const BY_PEOPLE: &str = "by_people";

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireOutcome {
    Retired,
    /// It was retired before, by itself or by somebody.
    Already,
    /// No such device has ever called.
    NotFound,
}

const KNOWN: &str = "select exists (
    select from {schema}._sync_device d where d.scope_id = $1 and d.source_id = $2
)";

const REPLACE: &str = "select r.outcome from {schema}._sync_source_replace($1, $2, $3, $4, $5) r";

impl Engine {
    /// Retire a device. Takes its scope's turn, like a commit.
    pub async fn retire_device(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        source: &SourceId,
    ) -> Result<RetireOutcome, sqlx::Error> {
        let mut tx = self.apps.begin(&app.schema).await?;
        let known: bool = sqlx::query_scalar(in_schema(&app.schema, KNOWN))
            .bind(scope)
            .bind(source)
            .fetch_one(&mut *tx)
            .await?;
        if !known {
            return Ok(RetireOutcome::NotFound);
        }
        let outcome: String = sqlx::query_scalar(in_schema(&app.schema, REPLACE))
            .bind(scope)
            .bind(source)
            .bind(Uuid::new_v4().to_string())
            .bind(BY_PEOPLE)
            .bind(self.clock.now())
            .fetch_one(&mut *tx)
            .await?;
        if outcome != "ok" {
            return Ok(RetireOutcome::Already);
        }
        tx.commit().await?;
        self.hub.retired(app.app, scope, source);
        Ok(RetireOutcome::Retired)
    }
}
