//! Members: which accounts belong to a tenant, and what each may do there. People become members by an invitation.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

pub use super::roles::Role;
use super::{
    ControlPlane,
    accounts::Account,
    audit::{self, Action, Actor, NewEntry},
    invitations,
    tenants::Tenant,
};
use crate::ids::{AccountId, TenantId};

/// A member as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    pub account_id: AccountId,
    pub email: String,
    /// What the list is in order of: the address as it is compared.
    pub(super) email_key: String,
    pub role: Role,
    pub created_at: OffsetDateTime,
}

/// Behind which member a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCursor {
    role: Role,
    email: String,
}

impl Member {
    /// The place behind this member.
    pub fn cursor(&self) -> MemberCursor {
        MemberCursor { role: self.role, email: self.email_key.clone() }
    }
}

/// Why a membership was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("this account is no member")]
    NoSuchMember,
    #[error("only an owner may make, change or remove an owner")]
    OwnersOnly,
    #[error("a tenant needs at least one owner; transfer the ownership first")]
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
    /// The tenant's members, the mightiest first: at most `limit` that follow `after`.
    pub async fn members(
        &self,
        tenant: TenantId,
        after: Option<&MemberCursor>,
        limit: i64,
    ) -> Result<Vec<Member>, sqlx::Error> {
        sqlx::query_as(
            "select m.account_id, a.email, a.email_key, m.role, m.created_at
             from platform.member m
             join platform.account a using (account_id)
             cross join (select array['owner', 'admin', 'developer', 'viewer'] as mightiest_first) r
             where m.tenant_id = $1
                 and ($2::text is null or (array_position(r.mightiest_first, m.role), a.email_key)
                     > (array_position(r.mightiest_first, $2), $3))
             order by array_position(r.mightiest_first, m.role), a.email_key
             limit $4",
        )
        .bind(tenant)
        .bind(after.map(|cursor| cursor.role))
        .bind(after.map(|cursor| cursor.email.as_str()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// How many owners the tenant has.
    pub async fn count_owners(&self, tenant: TenantId) -> Result<i64, sqlx::Error> {
        owners(&self.pool, tenant).await
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
        self.set_role(&mut tx, by.tenant.tenant_id, account, role).await?;
        let detail = json!({ "role": role, "was": member.role });
        self.record_member(&mut tx, by.tenant, &by.actor, Action::MemberRoleChanged, (&member, detail))
            .await?;
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
        let action =
            if by.actor.account() == Some(account) { Action::MemberLeft } else { Action::MemberRemoved };
        self.end_membership(&mut tx, by.tenant, &by.actor, action, &member).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Take part no longer, whatever one's role is, unless one is the last owner.
    pub async fn leave(&self, tenant: &Tenant, account: &Account, actor: &Actor) -> Result<(), MemberError> {
        let mut tx = self.pool.begin().await?;
        lock_tenant(&mut tx, tenant.tenant_id).await?;
        let member = member(&mut tx, tenant.tenant_id, account.account_id).await?;
        if member.role == Role::Owner {
            keep_an_owner(&mut tx, tenant.tenant_id).await?;
        }
        self.end_membership(&mut tx, tenant, actor, Action::MemberLeft, &member).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Make a member the owner, and oneself an admin, in one step.
    pub async fn transfer_ownership(&self, by: &MemberAdmin<'_>, to: AccountId) -> Result<(), MemberError> {
        let mut tx = self.pool.begin().await?;
        let heir = locked_member(&mut tx, by, to).await?;
        let own = by.actor.account().ok_or(MemberError::OwnersOnly)?;
        // The role may have changed since the request was let in.
        let giver = member(&mut tx, by.tenant.tenant_id, own).await?;
        if giver.role != Role::Owner {
            return Err(MemberError::OwnersOnly);
        }
        if own == to {
            return Ok(());
        }
        self.set_role(&mut tx, by.tenant.tenant_id, to, Role::Owner).await?;
        self.set_role(&mut tx, by.tenant.tenant_id, own, Role::Admin).await?;
        let about = (&heir, json!({ "was": heir.role, "former_owner": giver.email }));
        self.record_member(&mut tx, by.tenant, &by.actor, Action::OwnershipTransferred, about).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn set_role(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        tenant: TenantId,
        account: AccountId,
        role: Role,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("update platform.member set role = $3 where tenant_id = $1 and account_id = $2")
            .bind(tenant)
            .bind(account)
            .bind(role)
            .execute(&mut **tx)
            .await?;
        invitations::revoke_beyond(tx, tenant, (account, Some(role)), self.clock.now()).await
    }

    /// End a membership, with what the member invited to. The tenant's row is locked, and another owner is left.
    pub(super) async fn end_membership(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        tenant: &Tenant,
        actor: &Actor,
        action: Action,
        member: &Member,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("delete from platform.member where tenant_id = $1 and account_id = $2")
            .bind(tenant.tenant_id)
            .bind(member.account_id)
            .execute(&mut **tx)
            .await?;
        let gone = (member.account_id, None);
        invitations::revoke_beyond(tx, tenant.tenant_id, gone, self.clock.now()).await?;
        self.record_member(tx, tenant, actor, action, (member, json!({ "was": member.role }))).await
    }

    async fn record_member(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        tenant: &Tenant,
        actor: &Actor,
        action: Action,
        (member, detail): (&Member, Value),
    ) -> Result<(), sqlx::Error> {
        let entry = NewEntry {
            tenant: tenant.tenant_id,
            app: None,
            actor,
            action,
            subject: member.account_id.to_string(),
            subject_label: &member.email,
            detail,
        };
        audit::record(tx, &self.clock, entry).await
    }
}

/// Lock the tenant's row until the transaction ends: memberships and invitations change one after the other.
pub(super) async fn lock_tenant(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantId,
) -> Result<(), sqlx::Error> {
    sqlx::query("select 1 from platform.tenant where tenant_id = $1 for update")
        .bind(tenant)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The member that is about to change, with the tenant's row locked: two owners cannot remove each other at once.
async fn locked_member(
    tx: &mut Transaction<'_, Postgres>,
    by: &MemberAdmin<'_>,
    account: AccountId,
) -> Result<Member, MemberError> {
    lock_tenant(tx, by.tenant.tenant_id).await?;
    let member = member(tx, by.tenant.tenant_id, account).await?;
    if member.role == Role::Owner && by.role != Role::Owner {
        return Err(MemberError::OwnersOnly);
    }
    Ok(member)
}

pub(super) async fn member(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantId,
    account: AccountId,
) -> Result<Member, MemberError> {
    let member: Option<Member> = sqlx::query_as(
        "select m.account_id, a.email, a.email_key, m.role, m.created_at
         from platform.member m
         join platform.account a using (account_id)
         where m.tenant_id = $1 and m.account_id = $2",
    )
    .bind(tenant)
    .bind(account)
    .fetch_optional(&mut **tx)
    .await?;
    member.ok_or(MemberError::NoSuchMember)
}

/// Refuse to go on when the tenant has only one owner. The tenant's row is locked.
pub(super) async fn keep_an_owner(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantId,
) -> Result<(), MemberError> {
    if owners(&mut **tx, tenant).await? <= 1 {
        return Err(MemberError::LastOwner);
    }
    Ok(())
}

async fn owners(database: impl sqlx::PgExecutor<'_>, tenant: TenantId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from platform.member where tenant_id = $1 and role = 'owner'")
        .bind(tenant)
        .fetch_one(database)
        .await
}
