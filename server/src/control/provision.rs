//! `syncline provision`: a tenant, its owner, an app, its tables and keys, made or completed in one go.
//!
//! Every step looks first, so running it again changes nothing, and a run that failed half-way is completed by the next.
//! What exists already keeps its password, name and keys; what contradicts what is asked is an error, not a change.

use serde_json::json;

use super::{
    ControlPlane,
    accounts::{Account, Email, SignUpError},
    api_keys::{ApiKey, KeyKind, NewApiKey},
    apps::{
        App, AppState, base_url,
        life::{CreateAppError, LogicalSchema, NewApp},
        schema::SchemaError,
    },
    audit::{self, Action, Actor, NewEntry},
    constraint,
    end_user_auth::{JwtSecretChange, NewEndUserAuthSettings, UnfitSetting},
    roles::Role,
    slugs::Slug,
    tenants::{self, AppName, Tenant, TenantName},
};
use crate::{
    auth::password::{Password, PasswordError},
    tables::spec::WireProfile,
};

/// What is to be there afterwards.
#[derive(Debug)]
pub struct Wanted {
    pub tenant_slug: Slug,
    pub tenant_name: TenantName,
    pub email: Email,
    /// Of a new account; one that exists keeps its own.
    pub password: Password,
    pub app_slug: Slug,
    pub app_name: AppName,
    pub profile: WireProfile,
    pub logical_schema: LogicalSchema,
    /// `CREATE TABLE` text; None: the app's tables stay as they are.
    pub schema_text: Option<String>,
    /// The app's own HS256 secret; None: stays as it is.
    pub jwt_secret: Option<JwtSecret>,
    /// Where the server is reached from outside, without a trailing slash.
    pub public_url: String,
}

/// An HS256 secret of an app. Prints as its type's name.
#[derive(Clone)]
pub struct JwtSecret(String);

impl JwtSecret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JwtSecret")
    }
}

/// What is there now. Printed as one JSON object; the keys are in it only if this run made them.
#[derive(Debug, serde::Serialize)]
pub struct Provisioned {
    /// The tenant's slug.
    pub tenant: String,
    /// The app's slug.
    pub app: String,
    /// What clients are configured with.
    pub base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publishable_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// The published version of the app's tables.
    pub schema_version: i32,
}

/// Why it is not all there.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    #[error(
        "the app {slug} exists with the wire profile {found}, which cannot be changed; {wanted} was asked for"
    )]
    OtherProfile { slug: Slug, found: WireProfile, wanted: WireProfile },
    #[error(
        "the app {slug} exists with the logical schema {found}, which cannot be changed; {wanted} was asked for"
    )]
    OtherLogicalSchema { slug: Slug, found: String, wanted: String },
    #[error("the app {slug} is being deleted; try again in a moment")]
    Deleting { slug: Slug },
    #[error("{0}")]
    JwtSecret(UnfitSetting),
    #[error("the tables are not acceptable: {0}")]
    Schema(#[source] SchemaError),
    #[error("the app's schema could not be made")]
    App(#[source] CreateAppError),
    #[error("the password could not be hashed")]
    Password(#[from] PasswordError),
    #[error("the database could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// Make or complete all that is wanted.
    pub async fn provision(&self, wanted: &Wanted) -> Result<Provisioned, ProvisionError> {
        let owner = self.account_for(wanted).await?;
        let tenant = self.tenant_for(wanted, &owner).await?;
        let app = self.app_for(wanted, &tenant).await?;
        let schema_version = match &wanted.schema_text {
            Some(text) => {
                let published = self.publish_schema(&Actor::Command, &app, text, None, None).await;
                published.map_err(ProvisionError::Schema)?.version
            }
            None => app.schema_version,
        };
        if let Some(secret) = &wanted.jwt_secret {
            self.set_jwt_secret(&app, secret).await?;
        }
        let keys = self.api_keys(&app).await?;
        Ok(Provisioned {
            tenant: tenant.slug.to_string(),
            app: app.slug.to_string(),
            base_url: base_url(&wanted.public_url, &tenant.slug, &app.slug),
            publishable_key: self.key_for(&app, &keys, KeyKind::Publishable).await?,
            secret_key: self.key_for(&app, &keys, KeyKind::Secret).await?,
            schema_version,
        })
    }

    async fn account_for(&self, wanted: &Wanted) -> Result<Account, ProvisionError> {
        if let Some(account) = self.account_by_email(&wanted.email).await? {
            return Ok(account);
        }
        let hash = self.passwords.hash(wanted.password.clone()).await?;
        let mut tx = self.pool.begin().await?;
        match self.insert_account(&mut tx, &wanted.email, hash).await {
            Ok(account) => {
                tx.commit().await?;
                Ok(account)
            }
            Err(SignUpError::Database(error)) => Err(error.into()),
            Err(_) => {
                // Somebody made it at the same time.
                drop(tx);
                Ok(self.account_by_email(&wanted.email).await?.ok_or(sqlx::Error::RowNotFound)?)
            }
        }
    }

    async fn tenant_for(&self, wanted: &Wanted, owner: &Account) -> Result<Tenant, ProvisionError> {
        let mut tx = self.pool.begin().await?;
        if tenants::by_slug(&mut tx, &wanted.tenant_slug).await?.is_none() {
            let (name, slug, by) = (&wanted.tenant_name, &wanted.tenant_slug, Actor::Command);
            match tenants::insert(&mut tx, &self.clock, owner, &by, name, slug).await {
                Ok(_) => tx.commit().await?,
                Err(error) if constraint(&error) == Some("tenant_slug_taken") => drop(tx),
                Err(error) => return Err(error.into()),
            }
            tx = self.pool.begin().await?;
        }
        let tenant = tenants::by_slug(&mut tx, &wanted.tenant_slug).await?.ok_or(sqlx::Error::RowNotFound)?;
        // Whoever may run the command on the server may make anybody an owner.
        let made_owner = sqlx::query(
            "insert into platform.member (tenant_id, account_id, role, created_at) values ($1, $2, $3, $4)
             on conflict (tenant_id, account_id) do update set role = excluded.role
             where member.role <> excluded.role",
        )
        .bind(tenant.tenant_id)
        .bind(owner.account_id)
        .bind(Role::Owner)
        .bind(self.clock.now())
        .execute(&mut *tx)
        .await?;
        if made_owner.rows_affected() == 1 {
            let entry = NewEntry {
                tenant: tenant.tenant_id,
                app: None,
                actor: &Actor::Command,
                action: Action::MemberAdded,
                subject: owner.account_id.to_string(),
                subject_label: &owner.email,
                detail: json!({ "role": Role::Owner }),
            };
            audit::record(&mut tx, &self.clock, entry).await?;
        }
        tx.commit().await?;
        Ok(tenant)
    }

    async fn app_for(&self, wanted: &Wanted, tenant: &Tenant) -> Result<App, ProvisionError> {
        let found = self.app(tenant.tenant_id, &wanted.app_slug).await?;
        let app = match found {
            Some(app) if app.state == AppState::Ready => app,
            _ => {
                let new = NewApp {
                    name: wanted.app_name.clone(),
                    slug: wanted.app_slug.clone(),
                    profile: wanted.profile,
                    logical_schema: wanted.logical_schema.clone(),
                };
                match self.create_app(&Actor::Command, tenant, &new).await {
                    Ok(app) => app,
                    // Somebody made it at the same time, or it is going.
                    Err(CreateAppError::SlugTaken) => self
                        .app(tenant.tenant_id, &wanted.app_slug)
                        .await?
                        .ok_or_else(|| ProvisionError::Deleting { slug: wanted.app_slug.clone() })?,
                    Err(error) => return Err(ProvisionError::App(error)),
                }
            }
        };
        if app.profile != wanted.profile {
            let (slug, found) = (app.slug, app.profile);
            return Err(ProvisionError::OtherProfile { slug, found, wanted: wanted.profile });
        }
        if app.logical_schema != wanted.logical_schema.as_str() {
            let wanted = wanted.logical_schema.as_str().to_owned();
            let (slug, found) = (app.slug, app.logical_schema);
            return Err(ProvisionError::OtherLogicalSchema { slug, found, wanted });
        }
        Ok(app)
    }

    async fn set_jwt_secret(&self, app: &App, secret: &JwtSecret) -> Result<(), ProvisionError> {
        if self.has_jwt_secret(app, &secret.0).await? {
            return Ok(());
        }
        let present = self.end_user_auth_settings(app).await?;
        let new = NewEndUserAuthSettings {
            jwt_secret: JwtSecretChange::Set(secret.0.clone()),
            issuer: present.issuer,
            audience: present.audience,
            clock_skew_seconds: present.clock_skew_seconds,
            user_claim: present.user_claim,
            scope_claim: present.scope_claim,
        };
        new.check().map_err(ProvisionError::JwtSecret)?;
        self.change_end_user_auth(&Actor::Command, app, &new).await?;
        Ok(())
    }

    /// A new key of that kind if the app has none that is good.
    async fn key_for(
        &self,
        app: &App,
        keys: &[ApiKey],
        kind: KeyKind,
    ) -> Result<Option<String>, sqlx::Error> {
        let now = self.clock.now();
        let good = |key: &ApiKey| {
            key.kind == kind && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now)
        };
        if keys.iter().any(good) {
            return Ok(None);
        }
        let new = NewApiKey::unrestricted(kind, "provisioned").expect("BUG: the name is acceptable");
        let issued = self.issue_api_key(&Actor::Command, app, new).await?;
        Ok(Some(issued.token.expose().to_owned()))
    }
}
