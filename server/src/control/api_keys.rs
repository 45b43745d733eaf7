//! API keys of an app: issued and shown once, kept as a hash, revoked at once everywhere.
//!
//! A request's key is looked up in the database each time, by the unique index on its hash. That is one round trip, and
//! it makes a revocation effective at once on every node. What is not written each time is `last_used_at`: uses are
//! collected in memory and written every few seconds, one statement for all keys.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use serde_json::json;
use time::OffsetDateTime;

use super::{
    ControlPlane,
    apps::App,
    audit::{self, Action, Actor, NewEntry},
    tenants::{AppName, UnfitName},
};
use crate::{
    auth::secret_token::PlainToken,
    ids::{ApiKeyId, AppId},
};

/// Who may hold a key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum KeyKind {
    /// May be shipped inside an app.
    Publishable,
    /// For the tenant's own servers.
    Secret,
}

/// What a secret key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum KeyScope {
    /// Mint tokens for end users.
    Tokens,
    /// Read and write rows of end users.
    Data,
    /// Publish tables.
    Schema,
    /// Issue and revoke keys.
    Keys,
}

impl KeyKind {
    /// What keys of this kind begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Publishable => "pk_live_",
            Self::Secret => "sk_live_",
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publishable => "publishable",
            Self::Secret => "secret",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Publishable, Self::Secret].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl KeyScope {
    pub const ALL: [Self; 4] = [Self::Tokens, Self::Data, Self::Schema, Self::Keys];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Data => "data",
            Self::Schema => "schema",
            Self::Keys => "keys",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A key to be issued.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    pub kind: KeyKind,
    pub name: AppName,
    /// Empty for a publishable key.
    pub scopes: Vec<KeyScope>,
    pub expires_at: Option<OffsetDateTime>,
}

impl NewApiKey {
    /// A key of that kind with everything it may have, that never expires.
    pub fn unrestricted(kind: KeyKind, name: &str) -> Result<Self, UnfitName> {
        let scopes = match kind {
            KeyKind::Publishable => Vec::new(),
            KeyKind::Secret => KeyScope::ALL.to_vec(),
        };
        Ok(Self { kind, name: AppName::parse(name)?, scopes, expires_at: None })
    }
}

/// A key as it can be shown at any time.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKey {
    pub api_key_id: ApiKeyId,
    pub kind: KeyKind,
    pub name: String,
    /// How its plain text begins.
    pub token_prefix: String,
    #[sqlx(try_from = "Vec<String>")]
    pub scopes: KeyScopes,
    pub expires_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
    /// Lags by a few seconds.
    pub last_used_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    /// Who issued it; None for the command line, or an account that is gone.
    pub created_by_email: Option<String>,
}

/// What a key may do.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct KeyScopes(Vec<KeyScope>);

impl KeyScopes {
    pub fn contains(&self, scope: KeyScope) -> bool {
        self.0.contains(&scope)
    }

    pub fn iter(&self) -> impl Iterator<Item = KeyScope> {
        self.0.iter().copied()
    }
}

/// Names that this version does not know give no right: a newer node may have written them.
impl From<Vec<String>> for KeyScopes {
    fn from(names: Vec<String>) -> Self {
        Self(names.iter().filter_map(|name| KeyScope::parse(name)).collect())
    }
}

/// A key with its plain text, right after it was made: the only time.
#[derive(Debug, Clone)]
pub struct IssuedApiKey {
    pub key: ApiKey,
    pub token: PlainToken,
}

/// A key that a request proved to hold, and that is good now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedKey {
    pub id: ApiKeyId,
    pub kind: KeyKind,
    pub name: String,
    pub scopes: KeyScopes,
}

impl AuthenticatedKey {
    /// The key as the one who does something.
    pub fn actor(&self) -> Actor {
        Actor::ApiKey { id: self.id, name: self.name.clone(), address: None }
    }
}

/// Why a key opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such key, or one of another app: not told apart.
    #[error("no such key")]
    Unknown,
    #[error("the key was revoked")]
    Revoked,
    #[error("the key has expired")]
    Expired,
    #[error("the key could not be looked up")]
    Database(#[from] sqlx::Error),
}

/// Uses of keys that are not written yet.
#[derive(Debug, Default)]
pub(super) struct KeyUses(Mutex<HashMap<ApiKeyId, OffsetDateTime>>);

impl ControlPlane {
    /// Issue a key of `app`. The plain text is in the answer and nowhere else.
    pub async fn issue_api_key(
        &self,
        actor: &Actor,
        app: &App,
        new: NewApiKey,
    ) -> Result<IssuedApiKey, sqlx::Error> {
        let token = PlainToken::generate(new.kind.prefix(), &self.chance);
        let key = ApiKey {
            api_key_id: ApiKeyId::new(),
            kind: new.kind,
            name: new.name.as_str().to_owned(),
            token_prefix: token.beginning(new.kind.prefix().len() + 4),
            scopes: KeyScopes(new.scopes),
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
            created_at: self.clock.now(),
            created_by_email: match actor {
                Actor::Account { email, .. } => Some(email.clone()),
                Actor::ApiKey { .. } | Actor::Command => None,
            },
        };
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "insert into platform.api_key (
                 api_key_id, app_id, kind, name, token_hash, token_prefix, scopes, expires_at, created_at, created_by
             ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(key.api_key_id)
        .bind(app.app_id)
        .bind(key.kind)
        .bind(&key.name)
        .bind(token.hash().as_bytes())
        .bind(&key.token_prefix)
        .bind(key.scopes.iter().map(KeyScope::as_str).collect::<Vec<_>>())
        .bind(key.expires_at)
        .bind(key.created_at)
        .bind(actor.account())
        .execute(&mut *tx)
        .await?;
        self.record_key(&mut tx, actor, app, Action::ApiKeyIssued, (key.api_key_id, &key.name)).await?;
        tx.commit().await?;
        Ok(IssuedApiKey { key, token })
    }

    /// The app's keys, newest first, revoked and expired ones included.
    pub async fn api_keys(&self, app: &App) -> Result<Vec<ApiKey>, sqlx::Error> {
        sqlx::query_as(
            "select k.api_key_id, k.kind, k.name, k.token_prefix, k.scopes, k.expires_at, k.revoked_at,
                 k.last_used_at, k.created_at, c.email as created_by_email
             from platform.api_key k
             left join platform.account c on c.account_id = k.created_by
             where k.app_id = $1
             order by k.api_key_id desc",
        )
        .bind(app.app_id)
        .fetch_all(&self.pool)
        .await
    }

    /// Revoke a key of `app`, effective at once. False if the app has no such key. Revoking again changes nothing.
    pub async fn revoke_api_key(&self, actor: &Actor, app: &App, key: ApiKeyId) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let found: Option<(String, Option<OffsetDateTime>)> = sqlx::query_as(
            "select name, revoked_at from platform.api_key where app_id = $1 and api_key_id = $2 for update",
        )
        .bind(app.app_id)
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
        match found {
            None => return Ok(false),
            Some((_, Some(_))) => return Ok(true),
            Some((name, None)) => {
                sqlx::query(
                    "update platform.api_key set revoked_at = $3 where app_id = $1 and api_key_id = $2",
                )
                .bind(app.app_id)
                .bind(key)
                .bind(self.clock.now())
                .execute(&mut *tx)
                .await?;
                self.record_key(&mut tx, actor, app, Action::ApiKeyRevoked, (key, &name)).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The key whose plain text this is, if it is one of `app` and good now. Remembers that it was used.
    pub async fn authenticate_api_key(
        &self,
        app: AppId,
        token: &PlainToken,
    ) -> Result<AuthenticatedKey, KeyError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            api_key_id: ApiKeyId,
            kind: KeyKind,
            name: String,
            #[sqlx(try_from = "Vec<String>")]
            scopes: KeyScopes,
            expires_at: Option<OffsetDateTime>,
            revoked_at: Option<OffsetDateTime>,
        }
        let row: Option<Row> = sqlx::query_as(
            "select api_key_id, kind, name, scopes, expires_at, revoked_at
             from platform.api_key
             where app_id = $1 and token_hash = $2",
        )
        .bind(app)
        .bind(token.hash().as_bytes())
        .fetch_optional(&self.pool)
        .await?;
        let row = row.ok_or(KeyError::Unknown)?;
        let now = self.clock.now();
        if row.revoked_at.is_some() {
            return Err(KeyError::Revoked);
        }
        if row.expires_at.is_some_and(|end| end <= now) {
            return Err(KeyError::Expired);
        }
        self.key_uses.note(row.api_key_id, now);
        Ok(AuthenticatedKey { id: row.api_key_id, kind: row.kind, name: row.name, scopes: row.scopes })
    }

    /// Write the uses that were collected since the last call. Call it every few seconds, and once before stopping.
    pub async fn write_key_uses(&self) -> Result<u64, sqlx::Error> {
        let uses = self.key_uses.take();
        if uses.is_empty() {
            return Ok(0);
        }
        let (ids, times): (Vec<_>, Vec<_>) = uses.into_iter().unzip();
        let written = sqlx::query(
            "update platform.api_key k set last_used_at = greatest(k.last_used_at, u.at)
             from unnest($1::uuid[], $2::timestamptz[]) as u (api_key_id, at)
             where k.api_key_id = u.api_key_id",
        )
        .bind(ids.into_iter().map(ApiKeyId::uuid).collect::<Vec<_>>())
        .bind(times)
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected())
    }

    async fn record_key(
        &self,
        tx: &mut sqlx::Transaction<'_, sqlx::Postgres>,
        actor: &Actor,
        app: &App,
        action: Action,
        (key, name): (ApiKeyId, &str),
    ) -> Result<(), sqlx::Error> {
        let entry = NewEntry {
            tenant: app.tenant_id,
            app: Some(app),
            actor,
            action,
            subject: key.to_string(),
            subject_label: name,
            detail: json!({}),
        };
        audit::record(tx, &self.clock, entry).await
    }
}

impl KeyUses {
    fn note(&self, key: ApiKeyId, at: OffsetDateTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, at);
    }

    fn take(&self) -> HashMap<ApiKeyId, OffsetDateTime> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
