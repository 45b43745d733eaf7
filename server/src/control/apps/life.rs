//! An app's beginning and end.
//!
//! Schema and role are made and removed in the apps' database, where no transaction of the control plane reaches. So
//! the app's row says how far things got, each step can be repeated, and whoever holds the row's lock does the steps:
//!
//! 1. create: row `creating` → schema, role and engine tables → row `ready`.
//! 2. delete: row `deleting` → a second's wait, until no node serves the app any more → schema and role → no row.
//!
//! A step that fails leaves the row as it was. [`ControlPlane::resume_interrupted`] goes on, and so does creating or
//! deleting once more.

use serde_json::json;
use sqlx::{Postgres, Transaction};

use super::{App, AppState, Retention, app_columns};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, Actor},
        changes, constraint,
        slugs::Slug,
        tenants::{AppName, Tenant},
    },
    ids::AppId,
    tables::{
        engine_schema::{self, MigrateError},
        ident::Ident,
        spec::WireProfile,
    },
};

/// How long other nodes may go on serving an app that is being deleted: what `crate::directory` promises, and a bit.
const NOBODY_SERVES_IT_AFTER: std::time::Duration = std::time::Duration::from_millis(1_250);

/// An app to be made.
#[derive(Debug, Clone)]
pub struct NewApp {
    pub name: AppName,
    pub slug: Slug,
    pub profile: WireProfile,
    pub logical_schema: LogicalSchema,
}

/// The `schema` member of an app's rows on the wire: a letter or `_`, then letters, digits and `_`; at most 63.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalSchema(Ident);

/// The text is no logical schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Use a letter or _, then letters a–z, digits and _, at most 63 in all; not _sync_… or pg_….")]
pub struct InvalidLogicalSchema;

impl LogicalSchema {
    pub fn parse(typed: &str) -> Result<Self, InvalidLogicalSchema> {
        let text = typed.trim();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !text.starts_with(|c: char| c.is_ascii_digit());
        let ident = Ident::parse(text).map_err(|_| InvalidLogicalSchema)?;
        plain.then_some(Self(ident)).ok_or(InvalidLogicalSchema)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
pub enum CreateAppError {
    #[error("the tenant has an app with this slug")]
    SlugTaken,
    #[error("the app's schema could not be made")]
    Engine(#[from] MigrateError),
    #[error("the app could not be written")]
    Database(#[from] sqlx::Error),
}

/// Why an app is still there.
#[derive(Debug, thiserror::Error)]
pub enum DeleteAppError {
    #[error("what was typed is not the app's name")]
    NameDiffers,
    #[error("the app could not be removed")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// Make an app with its schema, role and engine tables. If the same was asked before and interrupted, it is
    /// completed.
    pub async fn create_app(
        &self,
        actor: &Actor,
        tenant: &Tenant,
        new: &NewApp,
    ) -> Result<App, CreateAppError> {
        let app = match self.begin_app(actor, tenant, new).await {
            Err(CreateAppError::SlugTaken) => {
                self.interrupted(tenant, new).await?.ok_or(CreateAppError::SlugTaken)?
            }
            begun => begun?,
        };
        self.complete_app(&app).await
    }

    /// Make schema and role of an app that is `creating`, and put it in use. Whoever comes second finds it done.
    async fn complete_app(&self, app: &App) -> Result<App, CreateAppError> {
        let mut tx = self.pool.begin().await?;
        let mut app = locked(&mut tx, app.app_id).await?.ok_or(sqlx::Error::RowNotFound)?;
        if app.state == AppState::Creating {
            engine_schema::create(&self.apps, app.app_id, app.profile, self.clock.now()).await?;
            sqlx::query("update platform.app set state = 'ready', engine_version = $2 where app_id = $1")
                .bind(app.app_id)
                .bind(engine_schema::known_version())
                .execute(&mut *tx)
                .await?;
            changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
            tx.commit().await?;
            app.state = AppState::Ready;
        }
        Ok(app)
    }

    /// Delete an app, its rows, devices, history and keys, if `typed` is its name. Returns when all of it is gone.
    pub async fn delete_app(&self, actor: &Actor, app: &App, typed: &str) -> Result<(), DeleteAppError> {
        if typed.trim() != app.name {
            return Err(DeleteAppError::NameDiffers);
        }
        let mut tx = self.pool.begin().await?;
        let begun = sqlx::query(
            "update platform.app set state = 'deleting'
             where tenant_id = $1 and app_id = $2 and state <> 'deleting'",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .execute(&mut *tx)
        .await?;
        if begun.rows_affected() == 1 {
            self.record_about(&mut tx, actor, app, Action::AppDeletionBegun, json!({ "slug": app.slug }))
                .await?;
            changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
            tx.commit().await?;
        }
        tokio::time::sleep(NOBODY_SERVES_IT_AFTER).await;
        self.remove_app(actor, app.app_id).await
    }

    /// Go on with apps whose creation or deletion was interrupted at least a minute ago. A job calls it. Returns how
    /// many it completed; those that fail again are left for the next time.
    pub async fn resume_interrupted(&self) -> Result<usize, sqlx::Error> {
        let before = self.clock.now() - time::Duration::minutes(1);
        let apps: Vec<App> = sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            " from platform.app a
              where a.state = 'deleting' or (a.state = 'creating' and a.created_at < $1)
              order by a.app_id
              limit 100"
        ))
        .bind(before)
        .fetch_all(&self.pool)
        .await?;
        let mut completed = 0;
        for app in apps {
            let outcome: Result<(), Box<dyn std::error::Error + Send + Sync>> = match app.state {
                AppState::Deleting => self.remove_app(&Actor::Command, app.app_id).await.map_err(Into::into),
                _ => self.complete_app(&app).await.map(drop).map_err(Into::into),
            };
            match outcome {
                Ok(()) => completed += 1,
                Err(error) => tracing::error!(
                    app.id = %app.app_id, error.cause = %error, "an interrupted app could not be completed"
                ),
            }
        }
        Ok(completed)
    }

    /// Write the row of a new app, `creating`, and what belongs to it in the control plane.
    async fn begin_app(&self, actor: &Actor, tenant: &Tenant, new: &NewApp) -> Result<App, CreateAppError> {
        let app = App {
            tenant_id: tenant.tenant_id,
            app_id: AppId::new(),
            slug: new.slug.clone(),
            name: new.name.as_str().to_owned(),
            state: AppState::Creating,
            profile: new.profile,
            logical_schema: new.logical_schema.as_str().to_owned(),
            schema_version: 0,
            retention: Retention::default(),
            created_at: self.clock.now(),
        };
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "insert into platform.app (
                 app_id, tenant_id, slug, name, state, wire_profile, logical_schema, created_at, created_by
             ) values ($1, $2, $3, $4, 'creating', $5, $6, $7, $8)",
        )
        .bind(app.app_id)
        .bind(app.tenant_id)
        .bind(&app.slug)
        .bind(&app.name)
        .bind(app.profile.as_str())
        .bind(&app.logical_schema)
        .bind(app.created_at)
        .bind(actor.account())
        .execute(&mut *tx)
        .await
        .map_err(|error| match constraint(&error) {
            Some("app_slug_taken") => CreateAppError::SlugTaken,
            _ => CreateAppError::Database(error),
        })?;
        self.insert_end_user_auth(&mut tx, app.app_id).await?;
        let detail = json!({
            "slug": app.slug, "wire_profile": app.profile, "logical_schema": app.logical_schema,
        });
        self.record_about(&mut tx, actor, &app, Action::AppCreated, detail).await?;
        tx.commit().await?;
        Ok(app)
    }

    /// The app that was asked for in the same words and is still `creating`; None if the slug is another's.
    async fn interrupted(&self, tenant: &Tenant, new: &NewApp) -> Result<Option<App>, sqlx::Error> {
        sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            " from platform.app a
              where a.tenant_id = $1 and a.slug = $2 and a.state = 'creating'
                and a.name = $3 and a.wire_profile = $4 and a.logical_schema = $5"
        ))
        .bind(tenant.tenant_id)
        .bind(&new.slug)
        .bind(new.name.as_str())
        .bind(new.profile.as_str())
        .bind(new.logical_schema.as_str())
        .fetch_optional(&self.pool)
        .await
    }

    /// Remove schema, role and row of an app that is `deleting`. Nothing to do if it is gone already.
    async fn remove_app(&self, actor: &Actor, app: AppId) -> Result<(), DeleteAppError> {
        let mut tx = self.pool.begin().await?;
        let Some(app) = locked(&mut tx, app).await?.filter(|app| app.state == AppState::Deleting) else {
            return Ok(());
        };
        engine_schema::drop(&self.apps, app.app_id).await?;
        // The entry in the change log goes with the row. Nodes that have not read it find a number without an entry
        // and forget everything, which is right, if more than needed.
        sqlx::query("delete from platform.app where app_id = $1").bind(app.app_id).execute(&mut *tx).await?;
        self.record_about(&mut tx, actor, &app, Action::AppDeleted, json!({ "slug": app.slug })).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The app, with its row locked until the transaction ends: one process at a time makes or removes its schema.
async fn locked(tx: &mut Transaction<'_, Postgres>, app: AppId) -> Result<Option<App>, sqlx::Error> {
    sqlx::query_as(concat!("select ", app_columns!(), " from platform.app a where a.app_id = $1 for update"))
        .bind(app)
        .fetch_optional(&mut **tx)
        .await
}
