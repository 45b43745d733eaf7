//! Invitations: links that make whoever opens them a member of a tenant.
//!
//! The link is the credential, 256 random bits, shown once and kept as a hash. It is good once, until it expires or is
//! revoked, and only as long as the one who made it may give that role: an admin who is removed leaves no door open.

use serde_json::json;
use sqlx::{Postgres, Transaction};
use time::{Duration, OffsetDateTime};

use super::{
    ControlPlane,
    accounts::{Account, NewPerson, SignUpError},
    audit::{self, Action, Actor, NewEntry},
    members::{MemberAdmin, lock_tenant},
    roles::Role,
    security_events::{Origin, SecurityEventKind},
    tenants::Tenant,
};
use crate::{
    auth::secret_token::PlainToken,
    ids::{AccountId, InvitationId, TenantId},
};

/// Pending invitations of one tenant.
const MAX_PENDING: i64 = 200;

/// An invitation to be made.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    role: Role,
    note: Option<String>,
    days: i64,
}

/// Why an invitation is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitInvitation {
    #[error("Write at most {} characters, none of them a control character.", NewInvitation::MAX_NOTE_CHARS)]
    Note,
    #[error("Type a number of days from 1 to {}.", NewInvitation::MAX_DAYS)]
    Days,
}

impl NewInvitation {
    pub const MAX_NOTE_CHARS: usize = 254;
    pub const MAX_DAYS: i64 = 30;
    pub const DEFAULT_DAYS: i64 = 7;

    pub fn new(role: Role, note: &str, days: i64) -> Result<Self, UnfitInvitation> {
        let note = note.trim();
        if note.chars().count() > Self::MAX_NOTE_CHARS || note.chars().any(char::is_control) {
            return Err(UnfitInvitation::Note);
        }
        if !(1..=Self::MAX_DAYS).contains(&days) {
            return Err(UnfitInvitation::Days);
        }
        Ok(Self { role, note: Some(note.to_owned()).filter(|note| !note.is_empty()), days })
    }
}

/// A pending invitation, for the list.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Invitation {
    pub invitation_id: InvitationId,
    pub role: Role,
    pub note: Option<String>,
    pub created_at: OffsetDateTime,
    pub created_by_email: String,
    pub expires_at: OffsetDateTime,
}

/// An invitation as whoever has the link sees it.
#[derive(Debug, Clone)]
pub struct OpenedInvitation {
    pub tenant: Tenant,
    pub role: Role,
    pub note: Option<String>,
    pub invited_by: String,
    pub expires_at: OffsetDateTime,
}

/// Why no invitation was made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    #[error("nobody can invite to a role above their own")]
    AboveOwnRole,
    #[error("{MAX_PENDING} invitations are pending; revoke some first")]
    TooMany,
    #[error("the invitation could not be written")]
    Database(#[from] sqlx::Error),
}

/// Why an invitation is of no use, told to whoever has its link.
#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    #[error("there is no such invitation")]
    Unknown,
    #[error("this invitation was used already")]
    Used,
    #[error("this invitation was revoked")]
    Revoked,
    #[error("this invitation has expired")]
    Expired,
    #[error("this account is a member already")]
    AlreadyMember { tenant: Tenant, role: Role },
    #[error("the invitation could not be read or accepted")]
    Database(#[from] sqlx::Error),
}

/// Why nobody was signed up by an invitation.
#[derive(Debug, thiserror::Error)]
pub enum InvitedSignUpError {
    #[error(transparent)]
    SignUp(#[from] SignUpError),
    #[error(transparent)]
    Invitation(#[from] InvitationError),
}

#[derive(sqlx::FromRow)]
struct Row {
    invitation_id: InvitationId,
    #[sqlx(flatten)]
    tenant: Tenant,
    invited_to: Role,
    note: Option<String>,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
    accepted_at: Option<OffsetDateTime>,
    invited_by: String,
    /// The inviter's role in the tenant now; None if they are no member any more.
    inviter_role: Option<Role>,
}

impl Row {
    /// The invitation if it is good now.
    fn good(self, now: OffsetDateTime) -> Result<Self, InvitationError> {
        if self.accepted_at.is_some() {
            return Err(InvitationError::Used);
        }
        let may_invite = self.inviter_role.is_some_and(|role| may_invite(role, self.invited_to));
        if self.revoked_at.is_some() || !may_invite {
            return Err(InvitationError::Revoked);
        }
        if self.expires_at <= now {
            return Err(InvitationError::Expired);
        }
        Ok(self)
    }
}

/// Whether a member in the role `own` may invite to `role`.
fn may_invite(own: Role, role: Role) -> bool {
    own >= Role::Admin && own >= role
}

impl ControlPlane {
    /// Make an invitation. The link's secret part is in the answer and nowhere else.
    pub async fn invite(
        &self,
        by: &MemberAdmin<'_>,
        new: &NewInvitation,
    ) -> Result<(Invitation, PlainToken), InviteError> {
        let Some(account) = by.actor.account().filter(|_| may_invite(by.role, new.role)) else {
            return Err(InviteError::AboveOwnRole);
        };
        let token = PlainToken::generate("", &self.chance);
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        lock_tenant(&mut tx, by.tenant.tenant_id).await?;
        let pending: i64 = sqlx::query_scalar(
            "select count(*) from platform.invitation
             where tenant_id = $1 and revoked_at is null and accepted_at is null and expires_at > $2",
        )
        .bind(by.tenant.tenant_id)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        if pending >= MAX_PENDING {
            return Err(InviteError::TooMany);
        }
        let invitation = Invitation {
            invitation_id: InvitationId::new(),
            role: new.role,
            note: new.note.clone(),
            created_at: now,
            created_by_email: by.actor.label(),
            expires_at: now + Duration::days(new.days),
        };
        sqlx::query(
            "insert into platform.invitation (
                 invitation_id, tenant_id, role, note, token_hash, created_at, created_by, expires_at
             ) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(invitation.invitation_id)
        .bind(by.tenant.tenant_id)
        .bind(invitation.role)
        .bind(&invitation.note)
        .bind(token.hash().as_bytes())
        .bind(now)
        .bind(account)
        .bind(invitation.expires_at)
        .execute(&mut *tx)
        .await?;
        let (id, label) = (invitation.invitation_id, invitation.note.as_deref());
        let detail = json!({ "role": new.role, "expires_in_days": new.days });
        let entry = entry(by.tenant.tenant_id, &by.actor, Action::InvitationMade, (id, label), detail);
        audit::record(&mut tx, &self.clock, entry).await?;
        tx.commit().await?;
        Ok((invitation, token))
    }

    /// The tenant's invitations that can still be accepted, newest first.
    pub async fn pending_invitations(&self, tenant: TenantId) -> Result<Vec<Invitation>, sqlx::Error> {
        sqlx::query_as(
            "select i.invitation_id, i.role, i.note, i.created_at, a.email as created_by_email, i.expires_at
             from platform.invitation i
             join platform.account a on a.account_id = i.created_by
             where i.tenant_id = $1 and i.revoked_at is null and i.accepted_at is null and i.expires_at > $2
             order by i.invitation_id desc
             limit $3",
        )
        .bind(tenant)
        .bind(self.clock.now())
        .bind(MAX_PENDING)
        .fetch_all(&self.pool)
        .await
    }

    /// Make an invitation worthless. False if the tenant has no such invitation pending.
    pub async fn revoke_invitation(
        &self,
        by: &MemberAdmin<'_>,
        id: InvitationId,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let revoked: Option<(Role, Option<String>)> = sqlx::query_as(
            "update platform.invitation set revoked_at = $3
             where tenant_id = $1 and invitation_id = $2 and revoked_at is null and accepted_at is null
             returning role, note",
        )
        .bind(by.tenant.tenant_id)
        .bind(id)
        .bind(self.clock.now())
        .fetch_optional(&mut *tx)
        .await?;
        let Some((role, note)) = revoked else { return Ok(false) };
        let (tenant, about) = (by.tenant.tenant_id, (id, note.as_deref()));
        let entry = entry(tenant, &by.actor, Action::InvitationRevoked, about, json!({ "role": role }));
        audit::record(&mut tx, &self.clock, entry).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What the link `token` invites to, if it is good now.
    pub async fn open_invitation(&self, token: &PlainToken) -> Result<OpenedInvitation, InvitationError> {
        let mut tx = self.pool.begin().await?;
        let row = by_token(&mut tx, token).await?.good(self.clock.now())?;
        Ok(OpenedInvitation {
            tenant: row.tenant,
            role: row.invited_to,
            note: row.note,
            invited_by: row.invited_by,
            expires_at: row.expires_at,
        })
    }

    /// Make `account` a member as the link `token` says. Members keep the role they have, and the link.
    pub async fn accept_invitation(
        &self,
        account: &Account,
        actor: &Actor,
        token: &PlainToken,
    ) -> Result<Tenant, InvitationError> {
        let mut tx = self.pool.begin().await?;
        let tenant = self.accept(&mut tx, account, actor, token).await?;
        tx.commit().await?;
        Ok(tenant)
    }

    /// Make an account for a person who was invited, and them a member: both or neither.
    pub async fn sign_up_invited(
        &self,
        new: NewPerson,
        token: &PlainToken,
        origin: &Origin,
    ) -> Result<(Account, Tenant), InvitedSignUpError> {
        self.throttle.check_sign_up(origin.address).map_err(SignUpError::from)?;
        // Before the costly hash: a link that is worth nothing costs nothing.
        self.open_invitation(token).await?;
        let hash = self.passwords.hash(new.password).await.map_err(SignUpError::from)?;
        let mut tx = self.pool.begin().await.map_err(SignUpError::from)?;
        let account = self.insert_account(&mut tx, &new.email, hash).await?;
        let actor = account.actor().at(origin.address);
        let tenant = self.accept(&mut tx, &account, &actor, token).await?;
        let kind = SecurityEventKind::SignedUp;
        self.record_security_event(&mut tx, account.account_id, kind, origin)
            .await
            .map_err(SignUpError::from)?;
        tx.commit().await.map_err(SignUpError::from)?;
        Ok((account, tenant))
    }

    async fn accept(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        account: &Account,
        actor: &Actor,
        token: &PlainToken,
    ) -> Result<Tenant, InvitationError> {
        // The tenant's row is locked before anything is decided: whoever uses the same link, revokes it or removes the
        // inviter at this moment is before or after, never in between.
        let tenant = by_token(tx, token).await?.tenant;
        lock_tenant(tx, tenant.tenant_id).await?;
        let now = self.clock.now();
        let row = by_token(tx, token).await?.good(now)?;
        let present: Option<Role> =
            sqlx::query_scalar("select role from platform.member where tenant_id = $1 and account_id = $2")
                .bind(tenant.tenant_id)
                .bind(account.account_id)
                .fetch_optional(&mut **tx)
                .await?;
        if let Some(role) = present {
            return Err(InvitationError::AlreadyMember { tenant, role });
        }
        let used = sqlx::query(
            "update platform.invitation set accepted_at = $2, accepted_by = $3
             where invitation_id = $1 and accepted_at is null and revoked_at is null",
        )
        .bind(row.invitation_id)
        .bind(now)
        .bind(account.account_id)
        .execute(&mut **tx)
        .await?;
        if used.rows_affected() == 0 {
            return Err(InvitationError::Used);
        }
        sqlx::query(
            "insert into platform.member (tenant_id, account_id, role, created_at) values ($1, $2, $3, $4)",
        )
        .bind(tenant.tenant_id)
        .bind(account.account_id)
        .bind(row.invited_to)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        let entry = NewEntry {
            tenant: tenant.tenant_id,
            app: None,
            actor,
            action: Action::MemberJoined,
            subject: account.account_id.to_string(),
            subject_label: &account.email,
            detail: json!({
                "role": row.invited_to, "invitation": row.invitation_id, "invited_by": row.invited_by,
            }),
        };
        audit::record(tx, &self.clock, entry).await?;
        Ok(tenant)
    }

    /// Remove invitations that ended a month ago. A job calls it.
    pub async fn remove_old_invitations(&self) -> Result<u64, sqlx::Error> {
        let removed = sqlx::query("delete from platform.invitation where expires_at < $1")
            .bind(self.clock.now() - Duration::days(30))
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }
}

/// Revoke what a member invited to who may do so no longer: `role` is what they are now, None if no member. The tenant's
/// row is locked.
pub(super) async fn revoke_beyond(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantId,
    (account, role): (AccountId, Option<Role>),
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let beyond: Vec<&str> = Role::ALL
        .into_iter()
        .filter(|invited_to| !role.is_some_and(|own| may_invite(own, *invited_to)))
        .map(Role::as_str)
        .collect();
    sqlx::query(
        "update platform.invitation set revoked_at = $4
         where created_by = $1 and tenant_id = $2 and role = any($3) and revoked_at is null
             and accepted_at is null",
    )
    .bind(account)
    .bind(tenant)
    .bind(beyond)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn by_token(tx: &mut Transaction<'_, Postgres>, token: &PlainToken) -> Result<Row, InvitationError> {
    let row: Option<Row> = sqlx::query_as(
        "select i.invitation_id, t.tenant_id, t.slug, t.name, t.created_at, i.role as invited_to, i.note,
             i.expires_at, i.revoked_at, i.accepted_at, a.email as invited_by, m.role as inviter_role
         from platform.invitation i
         join platform.tenant t using (tenant_id)
         join platform.account a on a.account_id = i.created_by
         left join platform.member m on m.tenant_id = i.tenant_id and m.account_id = i.created_by
         where i.token_hash = $1",
    )
    .bind(token.hash().as_bytes())
    .fetch_optional(&mut **tx)
    .await?;
    row.ok_or(InvitationError::Unknown)
}

fn entry<'a>(
    tenant: TenantId,
    actor: &'a Actor,
    action: Action,
    (id, note): (InvitationId, Option<&'a str>),
    detail: serde_json::Value,
) -> NewEntry<'a> {
    let (subject, subject_label) = (id.to_string(), note.unwrap_or("anybody with the link"));
    NewEntry { tenant, app: None, actor, action, subject, subject_label, detail }
}
