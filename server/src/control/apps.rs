//! Apps: what a tenant syncs. Finding and listing them, and their settings; [`life`] makes and removes them,
//! [`schema`] publishes their tables.

pub mod life;
pub mod schema;
mod upgrade;

use serde_json::json;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::{
    ControlPlane,
    audit::{self, Action, Actor, NewEntry},
    changes,
    end_user_auth::AuthRow,
    slugs::Slug,
    tenants::{AppName, Tenant},
};
use crate::{
    auth::end_user::EndUserAuth,
    ids::{AppId, TenantId},
    tables::spec::WireProfile,
};

/// An app, as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub tenant_id: TenantId,
    pub app_id: AppId,
    pub slug: Slug,
    pub name: String,
    pub state: AppState,
    pub profile: WireProfile,
    /// The `schema` member of rows on the wire.
    pub logical_schema: String,
    /// The latest published version of its tables; 0 before the first.
    pub schema_version: i32,
    pub retention: Retention,
    pub created_at: OffsetDateTime,
}

/// How far an app's life has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum AppState {
    /// Schema and role may be missing; creation may be started again.
    Creating,
    Ready,
    /// Nobody can reach it; removal may be started again.
    Deleting,
}

/// How much history an app keeps; None: what the server's configuration says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Retention {
    /// Bundles kept per scope whatever their age.
    #[sqlx(rename = "retention_min_bundles")]
    pub min_bundles: Option<i64>,
    /// Days after which bundles beyond those are pruned.
    #[sqlx(rename = "retention_max_age_days")]
    pub max_age_days: Option<i32>,
}

/// An app as the nodes serve it.
#[derive(Debug)]
pub struct ServedApp {
    pub app: App,
    pub auth: EndUserAuth,
    /// Its tables are being published: what is read of them now may be old in a moment.
    pub publishing: bool,
    /// Which version of the engine's tables its schema is known to have; see `upgrade.rs`.
    pub engine_version: i32,
}

/// The columns of an app, in the order of `App`'s row.
macro_rules! app_columns {
    () => {
        "a.tenant_id, a.app_id, a.slug, a.name, a.state, a.wire_profile, a.logical_schema, a.schema_version,
         a.retention_min_bundles, a.retention_max_age_days, a.created_at"
    };
}

pub(super) use app_columns;

impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for App {
    fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let profile: &str = row.try_get("wire_profile")?;
        Ok(Self {
            tenant_id: row.try_get("tenant_id")?,
            app_id: row.try_get("app_id")?,
            slug: row.try_get("slug")?,
            name: row.try_get("name")?,
            state: row.try_get("state")?,
            profile: WireProfile::parse(profile)
                .ok_or_else(|| sqlx::Error::Decode(format!("no wire profile: {profile}").into()))?,
            logical_schema: row.try_get("logical_schema")?,
            schema_version: row.try_get("schema_version")?,
            retention: Retention::from_row(row)?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl ControlPlane {
    /// The tenant's apps, by name; those being deleted are not among them.
    pub async fn apps(&self, tenant: TenantId) -> Result<Vec<App>, sqlx::Error> {
        sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            " from platform.app a where a.tenant_id = $1 and a.state <> 'deleting' order by lower(a.name), a.app_id"
        ))
        .bind(tenant)
        .fetch_all(&self.pool)
        .await
    }

    /// The tenant's app of that slug; None if there is none or it is being deleted.
    pub async fn app(&self, tenant: TenantId, slug: &Slug) -> Result<Option<App>, sqlx::Error> {
        sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            " from platform.app a where a.tenant_id = $1 and a.slug = $2 and a.state <> 'deleting'"
        ))
        .bind(tenant)
        .bind(slug)
        .fetch_optional(&self.pool)
        .await
    }

    /// Every app that is in use, for the jobs that visit all of them: at most `limit` with an id above `after`.
    pub async fn ready_apps(&self, after: Option<AppId>, limit: i64) -> Result<Vec<App>, sqlx::Error> {
        sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            " from platform.app a
              where a.state = 'ready' and ($1::uuid is null or a.app_id > $1)
              order by a.app_id
              limit $2"
        ))
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// What a node needs to serve the app at these slugs; None if there is none that is ready.
    pub async fn live_app(&self, tenant: &Slug, app: &Slug) -> Result<Option<ServedApp>, sqlx::Error> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            app: App,
            #[sqlx(flatten)]
            auth: AuthRow,
            publishing: bool,
            engine_version: i32,
            revoked_users: Vec<String>,
            revoked_at: Vec<OffsetDateTime>,
        }
        let row: Option<Row> = sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            ", a.publishing_since is not null as publishing, a.engine_version,
             s.mint_key_id, s.mint_secret, s.jwt_secret, s.sealed_jwt_secret, s.jwt_issuer, s.jwt_audience,
             s.clock_skew_seconds, s.user_claim, s.scope_claim,
             array(select r.user_id from platform.end_user_revocation r where r.app_id = a.app_id order by r.user_id)
                 as revoked_users,
             array(select r.revoked_at from platform.end_user_revocation r where r.app_id = a.app_id order by r.user_id)
                 as revoked_at
             from platform.tenant t
             join platform.app a using (tenant_id)
             join platform.app_end_user_auth s using (app_id)
             where t.slug = $1 and a.slug = $2 and a.state = 'ready'"
        ))
        .bind(tenant)
        .bind(app)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let revocations = row.revoked_users.into_iter().zip(row.revoked_at).collect();
        Ok(Some(ServedApp {
            auth: row.auth.into_auth(row.app.app_id, self)?.with_revocations(revocations),
            app: row.app,
            publishing: row.publishing,
            engine_version: row.engine_version,
        }))
    }

    /// Give an app another name and keep more or less of its history.
    pub async fn change_app_settings(
        &self,
        actor: &Actor,
        app: &App,
        name: &AppName,
        retention: Retention,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "update platform.app set name = $3, retention_min_bundles = $4, retention_max_age_days = $5
             where tenant_id = $1 and app_id = $2",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .bind(name.as_str())
        .bind(retention.min_bundles)
        .bind(retention.max_age_days)
        .execute(&mut *tx)
        .await?;
        let detail = json!({
            "name": name.as_str(),
            "retention_min_bundles": retention.min_bundles,
            "retention_max_age_days": retention.max_age_days,
        });
        self.record_about(&mut tx, actor, app, Action::AppSettingsChanged, detail).await?;
        changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
        tx.commit().await
    }

    /// Write an audit entry whose subject is the app.
    pub(super) async fn record_about(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        actor: &Actor,
        app: &App,
        action: Action,
        detail: serde_json::Value,
    ) -> Result<(), sqlx::Error> {
        let entry = NewEntry {
            tenant: app.tenant_id,
            app: Some(app),
            actor,
            action,
            subject: app.app_id.to_string(),
            subject_label: &app.name,
            detail,
        };
        audit::record(tx, &self.clock, entry).await
    }
}

/// Where an app is reached from outside.
pub fn base_url(public_url: &str, tenant: &Slug, app: &Slug) -> String {
    format!("{public_url}/t/{tenant}/{app}")
}

impl App {
    /// Whether the app belongs to that tenant; a page or a key of another has no business with it.
    pub fn belongs_to(&self, tenant: &Tenant) -> bool {
        self.tenant_id == tenant.tenant_id
    }
}
