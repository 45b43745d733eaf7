//! Members: which accounts belong to a tenant, and what each may do there.

use std::fmt;

use serde_json::json;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::{
    ControlPlane,
    accounts::Email,
    audit::{self, Action, Actor, NewEntry},
    tenants::Tenant,
};
use crate::ids::{AccountId, TenantId};

/// What a member may do. Each includes what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    /// Looks, changes nothing.
    Viewer,
    /// Apps, schemas, keys.
    Developer,
    /// Members, settings, deleting apps.
    Admin,
    /// Also other owners.
    Owner,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Developer, Self::Viewer];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A member as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    pub account_id: AccountId,
    pub email: String,
    pub role: Role,
    pub created_at: OffsetDateTime,
}

/// Why a membership was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("there is no account with this address")]
    NoSuchAccount,
    #[error("this account is a member already")]
    AlreadyMember,
    #[error("this account is no member")]
    NoSuchMember,
    #[error("only an owner may make, change or remove an owner")]
    OwnersOnly,
    #[error("a tenant needs at least one owner")]
    LastOwner,
    #[error("the membership could not be written")]
    Database(#[from] sqlx::Error),
}

/// Somebody who changes memberships: an admin or an owner of the tenant.
#[derive(Debug, Clone)]
pub struct MemberAdmin<'a> {
    pub tenant: &'a Tenant,
    pub actor: Actor,
    pub role: Role,
}

impl ControlPlane {
    /// The tenant's members, the mightiest first.
    pub async fn members(&self, tenant: TenantId) -> Result<Vec<Member>, sqlx::Error> {
        sqlx::query_as(
            "select m.account_id, a.email, m.role, m.created_at
             from platform.member m
             join platform.account a using (account_id)
             where m.tenant_id = $1
             order by array_position(array['owner', 'admin', 'developer', 'viewer'], m.role), a.email_key",
        )
        .bind(tenant)
        .fetch_all(&self.pool)
        .await
    }

    /// Let an existing account take part.
    pub async fn add_member(
        &self,
        by: &MemberAdmin<'_>,
        email: &Email,
        role: Role,
    ) -> Result<(), MemberError> {
        if role == Role::Owner && by.role != Role::Owner {
            return Err(MemberError::OwnersOnly);
        }
        let mut tx = self.pool.begin().await?;
        let account: Option<AccountId> =
            sqlx::query_scalar("select account_id from platform.account where email_key = $1")
                .bind(email.key())
                .fetch_optional(&mut *tx)
                .await?;
        let account = account.ok_or(MemberError::NoSuchAccount)?;
        let added = sqlx::query(
            "insert into platform.member (tenant_id, account_id, role, created_at) values ($1, $2, $3, $4)
             on conflict do nothing",
        )
        .bind(by.tenant.tenant_id)
        .bind(account)
        .bind(role)
        .bind(self.clock.now())
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(MemberError::AlreadyMember);
        }
        self.record(&mut tx, by, Action::MemberAdded, account, email.as_str(), Some(role)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Give a member another role.
    pub async fn change_role(
        &self,
        by: &MemberAdmin<'_>,
        account: AccountId,
        role: Role,
    ) -> Result<(), MemberError> {
        let mut tx = self.pool.begin().await?;
        let member = locked_member(&mut tx, by, account).await?;
        if role == Role::Owner && by.role != Role::Owner {
            return Err(MemberError::OwnersOnly);
        }
        if member.role == Role::Owner && role != Role::Owner {
            keep_an_owner(&mut tx, by.tenant.tenant_id).await?;
        }
        sqlx::query("update platform.member set role = $3 where tenant_id = $1 and account_id = $2")
            .bind(by.tenant.tenant_id)
            .bind(account)
            .bind(role)
            .execute(&mut *tx)
            .await?;
        self.record(&mut tx, by, Action::MemberRoleChanged, account, &member.email, Some(role)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Let a member take part no longer.
    pub async fn remove_member(&self, by: &MemberAdmin<'_>, account: AccountId) -> Result<(), MemberError> {
        let mut tx = self.pool.begin().await?;
        let member = locked_member(&mut tx, by, account).await?;
        if member.role == Role::Owner {
            keep_an_owner(&mut tx, by.tenant.tenant_id).await?;
        }
        sqlx::query("delete from platform.member where tenant_id = $1 and account_id = $2")
            .bind(by.tenant.tenant_id)
            .bind(account)
            .execute(&mut *tx)
            .await?;
        self.record(&mut tx, by, Action::MemberRemoved, account, &member.email, None).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn record(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        by: &MemberAdmin<'_>,
        action: Action,
        account: AccountId,
        email: &str,
        role: Option<Role>,
    ) -> Result<(), sqlx::Error> {
        let entry = NewEntry {
            tenant: by.tenant.tenant_id,
            app: None,
            actor: &by.actor,
            action,
            subject: account.to_string(),
            subject_label: email,
            detail: role.map_or_else(|| json!({}), |role| json!({ "role": role })),
        };
        audit::record(tx, &self.clock, entry).await
    }
}

/// The member that is about to change, with the tenant's row locked: two owners cannot remove each other at once.
async fn locked_member(
    tx: &mut Transaction<'_, Postgres>,
    by: &MemberAdmin<'_>,
    account: AccountId,
) -> Result<Member, MemberError> {
    sqlx::query("select 1 from platform.tenant where tenant_id = $1 for update")
        .bind(by.tenant.tenant_id)
        .execute(&mut **tx)
        .await?;
    let member: Option<Member> = sqlx::query_as(
        "select m.account_id, a.email, m.role, m.created_at
         from platform.member m
         join platform.account a using (account_id)
         where m.tenant_id = $1 and m.account_id = $2",
    )
    .bind(by.tenant.tenant_id)
    .bind(account)
    .fetch_optional(&mut **tx)
    .await?;
    let member = member.ok_or(MemberError::NoSuchMember)?;
    if member.role == Role::Owner && by.role != Role::Owner {
        return Err(MemberError::OwnersOnly);
    }
    Ok(member)
}

/// Refuse to go on when the tenant has only one owner. The tenant's row is locked.
async fn keep_an_owner(tx: &mut Transaction<'_, Postgres>, tenant: TenantId) -> Result<(), MemberError> {
    let owners: i64 =
        sqlx::query_scalar("select count(*) from platform.member where tenant_id = $1 and role = 'owner'")
            .bind(tenant)
            .fetch_one(&mut **tx)
            .await?;
    if owners <= 1 {
        return Err(MemberError::LastOwner);
    }
    Ok(())
}
