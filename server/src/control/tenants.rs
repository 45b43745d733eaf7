//! Tenants: organisations that own apps. Which account may do what in one is `members`' business.

use serde_json::json;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::{
    ControlPlane,
    accounts::Account,
    audit::{self, Action, Actor, NewEntry},
    constraint,
    members::lock_tenant,
    roles::Role,
    security_events::{Origin, SecurityEventKind},
    slugs::Slug,
};
use crate::{clock::Clock, ids::TenantId};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Tenant {
    pub tenant_id: TenantId,
    pub slug: Slug,
    pub name: String,
    pub created_at: OffsetDateTime,
}

/// A tenant as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Membership {
    #[sqlx(flatten)]
    pub tenant: Tenant,
    pub role: Role,
}

/// What people call a tenant or an app: 1 to 100 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantName(String);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitName {
    #[error("Give it a name.")]
    Empty,
    #[error("A name may have at most {} characters.", TenantName::MAX_CHARS)]
    TooLong,
    #[error("A name cannot contain control characters.")]
    Control,
}

/// Apps are named by the same rules.
pub type AppName = TenantName;

impl TenantName {
    pub const MAX_CHARS: usize = 100;

    pub fn parse(typed: &str) -> Result<Self, UnfitName> {
        let name = typed.trim();
        if name.is_empty() {
            return Err(UnfitName::Empty);
        }
        if name.chars().count() > Self::MAX_CHARS {
            return Err(UnfitName::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(UnfitName::Control);
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a tenant is still there.
#[derive(Debug, thiserror::Error)]
pub enum DeleteTenantError {
    #[error("what was typed is not the tenant's name")]
    NameDiffers,
    #[error("the tenant has {apps} apps; delete them first")]
    HasApps { apps: i64 },
    #[error("the tenant could not be removed")]
    Database(#[from] sqlx::Error),
}

/// Why no tenant was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTenantError {
    #[error("there is a tenant with this slug")]
    SlugTaken,
    #[error("the tenant could not be written")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// One more tenant, owned by `owner`.
    pub async fn create_tenant(
        &self,
        owner: &Account,
        actor: &Actor,
        name: &TenantName,
        slug: &Slug,
    ) -> Result<Tenant, CreateTenantError> {
        let mut tx = self.pool.begin().await?;
        let tenant =
            insert(&mut tx, &self.clock, owner, actor, name, slug).await.map_err(
                |error| match constraint(&error) {
                    Some("tenant_slug_taken") => CreateTenantError::SlugTaken,
                    _ => CreateTenantError::Database(error),
                },
            )?;
        tx.commit().await?;
        Ok(tenant)
    }

    /// Call a tenant something else. Its slug, which is in every URL, stays.
    pub async fn rename_tenant(
        &self,
        actor: &Actor,
        tenant: &Tenant,
        name: &TenantName,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("update platform.tenant set name = $2 where tenant_id = $1")
            .bind(tenant.tenant_id)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
        let entry = NewEntry {
            tenant: tenant.tenant_id,
            app: None,
            actor,
            action: Action::TenantRenamed,
            subject: tenant.tenant_id.to_string(),
            subject_label: name.as_str(),
            detail: json!({ "was": tenant.name }),
        };
        audit::record(&mut tx, &self.clock, entry).await?;
        tx.commit().await
    }

    /// Delete a tenant with its memberships, invitations and audit log, if `typed` is its name and it has no apps.
    pub async fn delete_tenant(
        &self,
        by: &Account,
        origin: &Origin,
        tenant: &Tenant,
        typed: &str,
    ) -> Result<(), DeleteTenantError> {
        if typed.trim() != tenant.name {
            return Err(DeleteTenantError::NameDiffers);
        }
        let mut tx = self.pool.begin().await?;
        // Whoever makes an app at this moment waits for the lock and then finds no tenant.
        lock_tenant(&mut tx, tenant.tenant_id).await?;
        let apps: i64 = sqlx::query_scalar("select count(*) from platform.app where tenant_id = $1")
            .bind(tenant.tenant_id)
            .fetch_one(&mut *tx)
            .await?;
        if apps > 0 {
            return Err(DeleteTenantError::HasApps { apps });
        }
        sqlx::query("delete from platform.tenant where tenant_id = $1")
            .bind(tenant.tenant_id)
            .execute(&mut *tx)
            .await?;
        // The log went with the tenant; the one who did it has it on their own page.
        let kind = SecurityEventKind::TenantDeleted;
        self.record_security_event(&mut tx, by.account_id, kind, origin).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The tenants that an account belongs to, by name.
    pub async fn memberships(&self, account: &Account) -> Result<Vec<Membership>, sqlx::Error> {
        sqlx::query_as(
            "select t.tenant_id, t.slug, t.name, t.created_at, m.role
             from platform.member m
             join platform.tenant t using (tenant_id)
             where m.account_id = $1
             order by lower(t.name), t.tenant_id",
        )
        .bind(account.account_id)
        .fetch_all(&self.pool)
        .await
    }

    /// The tenant of that slug as `account` sees it; None if there is none, or it is none of theirs.
    pub async fn membership(
        &self,
        account: &Account,
        slug: &Slug,
    ) -> Result<Option<Membership>, sqlx::Error> {
        sqlx::query_as(
            "select t.tenant_id, t.slug, t.name, t.created_at, m.role
             from platform.tenant t
             join platform.member m on m.tenant_id = t.tenant_id and m.account_id = $1
             where t.slug = $2",
        )
        .bind(account.account_id)
        .bind(slug)
        .fetch_optional(&self.pool)
        .await
    }
}

/// The tenant of that slug, for whoever runs the server: no person's membership is asked.
pub(super) async fn by_slug(
    tx: &mut Transaction<'_, Postgres>,
    slug: &Slug,
) -> Result<Option<Tenant>, sqlx::Error> {
    sqlx::query_as("select tenant_id, slug, name, created_at from platform.tenant where slug = $1")
        .bind(slug)
        .fetch_optional(&mut **tx)
        .await
}

/// Write a tenant and its owner. A taken slug is the violation of `tenant_slug_taken`.
pub(super) async fn insert(
    tx: &mut Transaction<'_, Postgres>,
    clock: &Clock,
    owner: &Account,
    actor: &Actor,
    name: &TenantName,
    slug: &Slug,
) -> Result<Tenant, sqlx::Error> {
    let tenant = Tenant {
        tenant_id: TenantId::new(),
        slug: slug.clone(),
        name: name.as_str().to_owned(),
        created_at: clock.now(),
    };
    sqlx::query("insert into platform.tenant (tenant_id, slug, name, created_at) values ($1, $2, $3, $4)")
        .bind(tenant.tenant_id)
        .bind(&tenant.slug)
        .bind(&tenant.name)
        .bind(tenant.created_at)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into platform.member (tenant_id, account_id, role, created_at) values ($1, $2, 'owner', $3)",
    )
    .bind(tenant.tenant_id)
    .bind(owner.account_id)
    .bind(tenant.created_at)
    .execute(&mut **tx)
    .await?;
    let entry = NewEntry {
        tenant: tenant.tenant_id,
        app: None,
        actor,
        action: Action::TenantCreated,
        subject: tenant.tenant_id.to_string(),
        subject_label: &tenant.name,
        detail: json!({ "slug": tenant.slug }),
    };
    audit::record(tx, clock, entry).await?;
    Ok(tenant)
}
