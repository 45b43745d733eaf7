//! What is to be erased: scopes that a person or a simulation has given up. Erasing itself is the sync engine's; here
//! it is written down until it is done (`migrations/platform/0007_erasures.sql`).

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{
    ControlPlane,
    apps::{App, app_columns},
    audit::{Action, Actor},
};
use crate::ids::{AppId, ScopeId};

/// How long nobody else begins with what somebody has begun.
const CLAIMED_FOR: Duration = Duration::minutes(5);
/// When it is looked again for what requests under way have left behind.
const SWEPT_AFTER: Duration = Duration::seconds(5);

/// Why a scope is to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ErasureKind {
    User,
    Simulation,
}

/// A scope that is to be erased.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Erasure {
    pub scope_id: ScopeId,
    pub kind: ErasureKind,
    pub requested_by: String,
    pub due_at: OffsetDateTime,
    /// When everything was erased for the first time.
    pub erased_at: Option<OffsetDateTime>,
}

/// An erasure with the app it is about.
#[derive(Debug, sqlx::FromRow)]
pub struct DueErasure {
    #[sqlx(flatten)]
    pub app: App,
    #[sqlx(flatten)]
    pub erasure: Erasure,
}

impl ControlPlane {
    /// Somebody wants everything of a user erased: from now on it will be.
    pub async fn request_erasure(
        &self,
        actor: &Actor,
        app: &App,
        scope: &ScopeId,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "insert into platform.erasure (app_id, scope_id, kind, requested_by, requested_at, due_at)
             values ($1, $2, 'user', $3, $4, $4)
             on conflict (app_id, scope_id) do update
             set kind = 'user', requested_by = excluded.requested_by, requested_at = excluded.requested_at,
                 due_at = excluded.due_at, erased_at = null",
        )
        .bind(app.app_id)
        .bind(scope)
        .bind(actor.label())
        .bind(self.clock.now())
        .execute(&mut *tx)
        .await?;
        let detail = json!({ "user": scope.as_str() });
        self.record_about(&mut tx, actor, app, Action::UserErased, detail).await?;
        tx.commit().await
    }

    /// Somebody takes everything of a user away: that is in the audit log before the first byte is.
    pub async fn note_user_exported(
        &self,
        actor: &Actor,
        app: &App,
        scope: &ScopeId,
        format: &str,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let detail = json!({ "user": scope.as_str(), "format": format });
        self.record_about(&mut tx, actor, app, Action::UserExported, detail).await?;
        tx.commit().await
    }

    /// Whether the scope is being erased.
    pub async fn is_being_erased(&self, app: AppId, scope: &ScopeId) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "select exists (
                 select from platform.erasure where app_id = $1 and scope_id = $2 and kind = 'user' and erased_at is null
             )",
        )
        .bind(app)
        .bind(scope)
        .fetch_one(&self.pool)
        .await
    }

    /// Take an erasure on: nobody else begins with it for some minutes, and if it fails somebody will.
    pub async fn claim_erasure(&self, app: AppId, scope: &ScopeId) -> Result<(), sqlx::Error> {
        sqlx::query("update platform.erasure set due_at = $3 where app_id = $1 and scope_id = $2")
            .bind(app)
            .bind(scope)
            .bind(self.clock.now() + CLAIMED_FOR)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Take on what is due, at most `limit`.
    pub async fn claim_due_erasures(&self, limit: i64) -> Result<Vec<DueErasure>, sqlx::Error> {
        sqlx::query_as(concat!(
            "with due as (
                 select e.app_id, e.scope_id
                 from platform.erasure e
                 where e.due_at <= $1
                 order by e.due_at
                 limit $3
                 for update skip locked
             ),
             claimed as (
                 update platform.erasure e
                 set due_at = $2
                 from due d
                 where e.app_id = d.app_id and e.scope_id = d.scope_id
                 returning e.app_id, e.scope_id, e.kind, e.requested_by, e.due_at, e.erased_at
             )
             select c.scope_id, c.kind, c.requested_by, c.due_at, c.erased_at, ",
            app_columns!(),
            " from claimed c join platform.app a using (app_id) where a.state = 'ready'"
        ))
        .bind(self.clock.now())
        .bind(self.clock.now() + CLAIMED_FOR)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// Everything of it is erased; it is looked once more in a moment.
    pub async fn erased(&self, app: AppId, scope: &ScopeId) -> Result<(), sqlx::Error> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "update platform.erasure set erased_at = $3, due_at = $4 where app_id = $1 and scope_id = $2",
        )
        .bind(app)
        .bind(scope)
        .bind(now)
        .bind(now + SWEPT_AFTER)
        .execute(&mut *tx)
        .await?;
        sqlx::query("delete from platform.simulation where app_id = $1 and scope_id = $2")
            .bind(app)
            .bind(scope)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Nothing is left to do, unless somebody has asked again since it was erased.
    pub async fn forget_erasure(&self, app: AppId, scope: &ScopeId) -> Result<(), sqlx::Error> {
        sqlx::query(
            "delete from platform.erasure where app_id = $1 and scope_id = $2 and erased_at is not null",
        )
        .bind(app)
        .bind(scope)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
