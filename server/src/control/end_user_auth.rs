//! How an app's end users authenticate: its settings, and minting tokens for them. Checking tokens is
//! [`crate::auth::end_user`]'s business and needs no database.

use serde_json::json;
use sqlx::{Postgres, Transaction};
use time::Duration;

use super::{
    ControlPlane,
    apps::App,
    audit::{Action, Actor},
    changes,
};
use crate::{
    auth::{
        end_user::{EndUserAuth, OwnJwt, SigningSecret},
        secret_token::same_secret,
    },
    ids::{AppId, ScopeId, UserId},
};

/// What an app accepts besides the tokens that we mint, as its settings show it: the secret itself is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUserAuthSettings {
    /// Whether tokens signed with the app's own HS256 secret are accepted.
    pub has_jwt_secret: bool,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub clock_skew_seconds: i32,
    pub user_claim: String,
    pub scope_claim: Option<String>,
}

/// New settings. Each text is within the bounds that `platform.app_end_user_auth` has; [`Self::check`] says which is not.
#[derive(Clone)]
pub struct NewEndUserAuthSettings {
    pub jwt_secret: JwtSecretChange,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub clock_skew_seconds: i32,
    pub user_claim: String,
    pub scope_claim: Option<String>,
}

/// What to do with the app's own secret.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtSecretChange {
    Keep,
    Remove,
    Set(String),
}

/// Which setting is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSetting {
    #[error("An HS256 secret has 16 to 1024 characters.")]
    JwtSecret,
    #[error("An issuer has at most 500 characters.")]
    Issuer,
    #[error("An audience has at most 500 characters.")]
    Audience,
    #[error("The clock skew is 0 to 600 seconds.")]
    ClockSkew,
    #[error("The claim that names the user has 1 to 100 characters.")]
    UserClaim,
    #[error("The claim that names the scope has at most 100 characters.")]
    ScopeClaim,
}

/// A token for an end user, and how long it lives.
#[derive(Debug, Clone)]
pub struct MintedToken {
    pub access_token: String,
    pub expires_in: Duration,
}

impl NewEndUserAuthSettings {
    /// The first setting that is not acceptable, if any.
    pub fn check(&self) -> Result<(), UnfitSetting> {
        let fits = |text: &str, max: usize| {
            (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let absent_or_fits = |text: &Option<String>, max| text.as_deref().is_none_or(|text| fits(text, max));
        if let JwtSecretChange::Set(secret) = &self.jwt_secret
            && (!fits(secret, 1024) || secret.chars().count() < 16)
        {
            return Err(UnfitSetting::JwtSecret);
        }
        if !absent_or_fits(&self.issuer, 500) {
            return Err(UnfitSetting::Issuer);
        }
        if !absent_or_fits(&self.audience, 500) {
            return Err(UnfitSetting::Audience);
        }
        if !(0..=600).contains(&self.clock_skew_seconds) {
            return Err(UnfitSetting::ClockSkew);
        }
        if !fits(&self.user_claim, 100) {
            return Err(UnfitSetting::UserClaim);
        }
        if !absent_or_fits(&self.scope_claim, 100) {
            return Err(UnfitSetting::ScopeClaim);
        }
        Ok(())
    }
}

/// The columns that make an [`EndUserAuth`].
#[derive(sqlx::FromRow)]
pub(super) struct AuthRow {
    mint_key_id: String,
    mint_secret: Vec<u8>,
    /// Plain from before there was a key, or sealed.
    jwt_secret: Option<String>,
    sealed_jwt_secret: Option<Vec<u8>>,
    jwt_issuer: Option<String>,
    jwt_audience: Option<String>,
    clock_skew_seconds: i32,
    user_claim: String,
    scope_claim: Option<String>,
}

impl AuthRow {
    pub(super) fn into_auth(self, app: AppId, control: &ControlPlane) -> Result<EndUserAuth, sqlx::Error> {
        let opened = control.opened_jwt_secret(app, self.jwt_secret, self.sealed_jwt_secret.as_deref());
        let own = opened.map_err(|error| sqlx::Error::Decode(error.into()))?.map(|secret| OwnJwt {
            secret: SigningSecret::new(secret),
            issuer: self.jwt_issuer,
            audience: self.jwt_audience,
            clock_skew: Duration::seconds(self.clock_skew_seconds.into()),
            user_claim: self.user_claim,
            scope_claim: self.scope_claim,
        });
        Ok(EndUserAuth::new(app, self.mint_key_id, SigningSecret::new(self.mint_secret), own))
    }
}

impl ControlPlane {
    /// A token with which `user` reaches `scope` of an app until `ttl` from now.
    pub fn mint_token(
        &self,
        auth: &EndUserAuth,
        user: &UserId,
        scope: &ScopeId,
        ttl: Duration,
    ) -> MintedToken {
        MintedToken { access_token: auth.mint(user, scope, self.now(), ttl), expires_in: ttl }
    }

    /// As [`Self::mint_token`], for a person who wants to try something; it is in the audit log.
    pub async fn mint_token_to_try(
        &self,
        actor: &Actor,
        app: &App,
        auth: &EndUserAuth,
        user: &UserId,
        scope: &ScopeId,
        ttl: Duration,
    ) -> Result<MintedToken, sqlx::Error> {
        let detail = json!({
            "user": user.as_str(), "scope": scope.as_str(), "seconds": ttl.whole_seconds(),
        });
        let mut tx = self.pool.begin().await?;
        self.record_about(&mut tx, actor, app, Action::UserTokenMinted, detail).await?;
        tx.commit().await?;
        Ok(self.mint_token(auth, user, scope, ttl))
    }

    /// What the app accepts.
    pub async fn end_user_auth_settings(&self, app: &App) -> Result<EndUserAuthSettings, sqlx::Error> {
        let row: AuthRow = sqlx::query_as(
            "select s.mint_key_id, s.mint_secret, s.jwt_secret, s.sealed_jwt_secret, s.jwt_issuer, s.jwt_audience,
                 s.clock_skew_seconds, s.user_claim, s.scope_claim
             from platform.app a
             join platform.app_end_user_auth s using (app_id)
             where a.tenant_id = $1 and a.app_id = $2",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .fetch_one(&self.pool)
        .await?;
        Ok(EndUserAuthSettings {
            has_jwt_secret: row.jwt_secret.is_some() || row.sealed_jwt_secret.is_some(),
            issuer: row.jwt_issuer,
            audience: row.jwt_audience,
            clock_skew_seconds: row.clock_skew_seconds,
            user_claim: row.user_claim,
            scope_claim: row.scope_claim,
        })
    }

    /// Whether this is the app's present secret.
    pub(super) async fn has_jwt_secret(&self, app: &App, secret: &str) -> Result<bool, sqlx::Error> {
        let (plain, sealed): (Option<String>, Option<Vec<u8>>) = sqlx::query_as(
            "select jwt_secret, sealed_jwt_secret from platform.app_end_user_auth where app_id = $1",
        )
        .bind(app.app_id)
        .fetch_one(&self.pool)
        .await?;
        let present = self
            .opened_jwt_secret(app.app_id, plain, sealed.as_deref())
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(present.is_some_and(|present| same_secret(present.as_bytes(), secret.as_bytes())))
    }

    /// Change what the app accepts, effective within a second on every node. Settings that [`NewEndUserAuthSettings::check`]
    /// refuses are refused by the database.
    pub async fn change_end_user_auth(
        &self,
        actor: &Actor,
        app: &App,
        new: &NewEndUserAuthSettings,
    ) -> Result<(), sqlx::Error> {
        let (keep, secret) = match &new.jwt_secret {
            JwtSecretChange::Keep => (true, None),
            JwtSecretChange::Remove => (false, None),
            JwtSecretChange::Set(secret) => (false, Some(self.sealed_jwt_secret(app.app_id, secret))),
        };
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "update platform.app_end_user_auth
             set jwt_secret = case when $2 then jwt_secret end,
                 sealed_jwt_secret = case when $2 then sealed_jwt_secret else $3 end,
                 jwt_issuer = $4,
                 jwt_audience = $5,
                 clock_skew_seconds = $6,
                 user_claim = $7,
                 scope_claim = $8
             where app_id = $1",
        )
        .bind(app.app_id)
        .bind(keep)
        .bind(secret)
        .bind(&new.issuer)
        .bind(&new.audience)
        .bind(new.clock_skew_seconds)
        .bind(&new.user_claim)
        .bind(&new.scope_claim)
        .execute(&mut *tx)
        .await?;
        let detail = json!({
            "jwt_secret": match new.jwt_secret {
                JwtSecretChange::Keep => "kept",
                JwtSecretChange::Remove => "removed",
                JwtSecretChange::Set(_) => "replaced",
            },
            "issuer": new.issuer,
            "audience": new.audience,
            "clock_skew_seconds": new.clock_skew_seconds,
            "user_claim": new.user_claim,
            "scope_claim": new.scope_claim,
        });
        self.record_about(&mut tx, actor, app, Action::EndUserAuthChanged, detail).await?;
        changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
        tx.commit().await
    }

    /// The row that every app has, with a new signing key.
    pub(super) async fn insert_end_user_auth(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        app: AppId,
    ) -> Result<(), sqlx::Error> {
        let key_id = format!("syncline-{:016x}", u64::from_be_bytes(self.chance.bytes()));
        sqlx::query(
            "insert into platform.app_end_user_auth (app_id, mint_secret, mint_key_id) values ($1, $2, $3)",
        )
        .bind(app)
        .bind(self.chance.bytes::<32>().as_slice())
        .bind(key_id)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

impl std::fmt::Debug for NewEndUserAuthSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewEndUserAuthSettings")
    }
}
