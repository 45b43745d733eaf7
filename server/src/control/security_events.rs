//! What happened to an account's security, for its owner to look through: sign-ins, second factors, changes.

use std::net::IpAddr;

use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::ControlPlane;
use crate::ids::{AccountId, SecurityEventId};

/// From where somebody acts, as far as the server can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub address: Option<IpAddr>,
    /// The beginning of the browser's `User-Agent`.
    pub user_agent: Option<String>,
}

impl Origin {
    /// Characters of a `User-Agent` that are kept.
    pub const MAX_USER_AGENT_CHARS: usize = 300;

    pub fn new(address: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.map(|text| {
            text.chars().filter(|c| !c.is_control()).take(Self::MAX_USER_AGENT_CHARS).collect::<String>()
        });
        Self { address, user_agent: user_agent.filter(|text| !text.is_empty()) }
    }

    /// The address as it is kept: an IPv4 address that came as IPv6 is one.
    pub(super) fn address_text(&self) -> Option<String> {
        self.address.map(|address| address.to_canonical().to_string())
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityEventKind {
    SignedUp,
    SignedIn,
    PasswordChanged,
    /// The password was right, the code was not: somebody may know the password.
    CodeRefused,
    TotpEnabled,
    TotpDisabled,
    RecoveryCodeUsed,
    RecoveryCodesReplaced,
    SessionEnded,
    OtherSessionsEnded,
    TenantDeleted,
}

/// An event as it is shown.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SecurityEvent {
    pub at: OffsetDateTime,
    pub kind: String,
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

impl SecurityEventKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedUp => "signed_up",
            Self::SignedIn => "signed_in",
            Self::PasswordChanged => "password_changed",
            Self::CodeRefused => "code_refused",
            Self::TotpEnabled => "totp_enabled",
            Self::TotpDisabled => "totp_disabled",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesReplaced => "recovery_codes_replaced",
            Self::SessionEnded => "session_ended",
            Self::OtherSessionsEnded => "other_sessions_ended",
            Self::TenantDeleted => "tenant_deleted",
        }
    }
}

/// How many events of an account are kept.
const KEPT: i64 = 100;

impl ControlPlane {
    /// The account's newest events, at most `limit`.
    pub async fn security_events(
        &self,
        account: AccountId,
        limit: i64,
    ) -> Result<Vec<SecurityEvent>, sqlx::Error> {
        sqlx::query_as(
            "select at, kind, address, user_agent
             from platform.security_event
             where account_id = $1
             order by at desc, event_id desc
             limit $2",
        )
        .bind(account)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// Write down what happened, by itself.
    pub async fn note_security_event(
        &self,
        account: AccountId,
        kind: SecurityEventKind,
        origin: &Origin,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        self.record_security_event(&mut tx, account, kind, origin).await?;
        tx.commit().await
    }

    /// Write down what happened as part of `tx`, and forget what is beyond the newest hundred.
    pub(super) async fn record_security_event(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        account: AccountId,
        kind: SecurityEventKind,
        origin: &Origin,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "with old as (
                 select event_id from platform.security_event
                 where account_id = $2
                 order by at desc, event_id desc
                 -- The new one is not among them yet. At most a few rows are beyond this.
                 offset $7
             ),
             forgotten as (delete from platform.security_event e using old where e.event_id = old.event_id)
             insert into platform.security_event (event_id, account_id, at, kind, address, user_agent)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(SecurityEventId::new())
        .bind(account)
        .bind(self.clock.now())
        .bind(kind.as_str())
        .bind(origin.address_text())
        .bind(&origin.user_agent)
        .bind(KEPT - 1)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
