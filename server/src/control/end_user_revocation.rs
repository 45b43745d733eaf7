//! Ending the tokens of one end user: whatever was issued to them until now is refused, on every node within a second,
//! and streams that were opened with it end.
//!
//! It is an instant per user, not a list of tokens: nobody has to know which there are. Checked by
//! [`crate::auth::end_user`] against the `iat` of a token. One without `iat` (only the app's own server can make such)
//! cannot prove that it is newer and is refused until the revocation is lifted; so is one that is issued in the very
//! second of the revocation, because tokens tell whole seconds.

use serde_json::json;
use time::OffsetDateTime;

use super::{
    ControlPlane,
    apps::App,
    audit::{self, Action, Actor, NewEntry},
    changes,
};
use crate::ids::UserId;

/// Users of one app whose tokens may be revoked at a time: every node has them in memory.
const MAX_USERS: i64 = 10_000;

/// Why a user's tokens were not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeTokensError {
    #[error(
        "The tokens of {MAX_USERS} users of this app are revoked already. To end all tokens, replace the app's secret."
    )]
    TooMany,
    #[error("the revocation could not be written")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// Refuse every token that `user` of the app got until now.
    pub async fn revoke_end_user_tokens(
        &self,
        actor: &Actor,
        app: &App,
        user: &UserId,
    ) -> Result<(), RevokeTokensError> {
        let mut tx = self.pool.begin().await?;
        let written = sqlx::query(
            "insert into platform.end_user_revocation as r (app_id, user_id, revoked_at)
             select a.app_id, $3, $4
             from platform.app a
             where a.tenant_id = $1 and a.app_id = $2 and (
                 exists (select from platform.end_user_revocation e where e.app_id = a.app_id and e.user_id = $3)
                 or (select count(*) from platform.end_user_revocation e where e.app_id = a.app_id) < $5
             )
             on conflict (app_id, user_id) do update
             set revoked_at = greatest(r.revoked_at, excluded.revoked_at)",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .bind(user)
        .bind(self.clock.now())
        .bind(MAX_USERS)
        .execute(&mut *tx)
        .await?;
        if written.rows_affected() == 0 {
            return Err(RevokeTokensError::TooMany);
        }
        let entry = about_user(actor, app, user, Action::EndUserTokensRevoked);
        audit::record(&mut tx, &self.clock, entry).await?;
        changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Let the user's older tokens in again. Answers whether they were revoked.
    pub async fn lift_end_user_revocation(
        &self,
        actor: &Actor,
        app: &App,
        user: &UserId,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let removed = sqlx::query(
            "delete from platform.end_user_revocation r
             using platform.app a
             where a.tenant_id = $1 and a.app_id = $2 and r.app_id = a.app_id and r.user_id = $3",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .bind(user)
        .execute(&mut *tx)
        .await?;
        if removed.rows_affected() == 0 {
            return Ok(false);
        }
        let entry = about_user(actor, app, user, Action::EndUserRevocationLifted);
        audit::record(&mut tx, &self.clock, entry).await?;
        changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Until when the user's tokens are revoked; None: they are not.
    pub async fn end_user_revocation(
        &self,
        app: &App,
        user: &UserId,
    ) -> Result<Option<OffsetDateTime>, sqlx::Error> {
        sqlx::query_scalar(
            "select r.revoked_at
             from platform.app a
             join platform.end_user_revocation r using (app_id)
             where a.tenant_id = $1 and a.app_id = $2 and r.user_id = $3",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .bind(user)
        .fetch_optional(&self.pool)
        .await
    }
}

/// An entry whose subject is a user of the app.
fn about_user<'a>(actor: &'a Actor, app: &'a App, user: &'a UserId, action: Action) -> NewEntry<'a> {
    NewEntry {
        tenant: app.tenant_id,
        app: Some(app),
        actor,
        action,
        subject: user.to_string(),
        subject_label: user.as_str(),
        detail: json!({}),
    }
}
