//! The audit log of a tenant: who changed what, when, from where. Every entry is written in the transaction of the change;
//! what is done to an app's data is written right after, because no transaction spans the two
//! ([`ControlPlane::record_app_action`]).

use std::net::IpAddr;

use serde_json::Value;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::{ControlPlane, apps::App};
use crate::{
    clock::Clock,
    ids::{AccountId, ApiKeyId, AuditId, TenantId},
};

/// Who does something, and from which address: an account in the dashboard, an app's key over the API, or the command
/// line. Extractors make it (`actor()`), with the address in it; whoever records an action passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Account {
        id: AccountId,
        email: String,
        address: Option<IpAddr>,
    },
    ApiKey {
        id: ApiKeyId,
        name: String,
        address: Option<IpAddr>,
    },
    /// The command line, or the server by itself.
    Command,
}

/// What was done. The names are part of what people filter and alert on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    TenantCreated,
    MemberAdded,
    MemberRoleChanged,
    MemberRemoved,
    AppCreated,
    AppSettingsChanged,
    AppDeletionBegun,
    AppDeleted,
    SchemaPublished,
    ApiKeyIssued,
    ApiKeyRevoked,
    EndUserAuthChanged,
}

/// An entry to write.
#[derive(Debug)]
pub(crate) struct NewEntry<'a> {
    pub tenant: TenantId,
    /// The app that it is about; None: the tenant as a whole.
    pub app: Option<&'a App>,
    pub actor: &'a Actor,
    pub action: Action,
    /// An id, as people see it.
    pub subject: String,
    /// What the subject is called now.
    pub subject_label: &'a str,
    /// More facts for a reader; never a secret.
    pub detail: Value,
}

/// What was done to an app or its data, for [`ControlPlane::record_app_action`].
#[derive(Debug)]
pub struct AppAction<'a> {
    pub action: Action,
    /// An id, as people see it.
    pub subject: String,
    /// What the subject is called now.
    pub subject_label: &'a str,
    /// More facts for a reader; never a secret, never a row of the app's data.
    pub detail: Value,
}

/// An entry as it is shown.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AuditEntry {
    pub audit_id: AuditId,
    pub at: OffsetDateTime,
    pub actor_kind: String,
    /// None for the command line.
    pub actor: Option<String>,
    pub actor_label: String,
    /// None for the command line.
    pub address: Option<String>,
    /// The app's id and what it was called then; None when it was about the tenant.
    pub app: Option<String>,
    pub app_label: Option<String>,
    pub action: String,
    pub subject: String,
    pub subject_label: String,
    pub detail: Value,
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantCreated => "tenant.created",
            Self::MemberAdded => "member.added",
            Self::MemberRoleChanged => "member.role_changed",
            Self::MemberRemoved => "member.removed",
            Self::AppCreated => "app.created",
            Self::AppSettingsChanged => "app.settings_changed",
            Self::AppDeletionBegun => "app.deletion_begun",
            Self::AppDeleted => "app.deleted",
            Self::SchemaPublished => "schema.published",
            Self::ApiKeyIssued => "api_key.issued",
            Self::ApiKeyRevoked => "api_key.revoked",
            Self::EndUserAuthChanged => "end_user_auth.changed",
        }
    }
}

impl Actor {
    /// The same one, seen at that address.
    pub fn at(mut self, from: Option<IpAddr>) -> Self {
        match &mut self {
            Self::Account { address, .. } | Self::ApiKey { address, .. } => *address = from,
            Self::Command => {}
        }
        self
    }

    /// From where; None for the command line.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Account { address, .. } | Self::ApiKey { address, .. } => *address,
            Self::Command => None,
        }
    }

    /// The account, for `created_by` columns.
    pub(crate) fn account(&self) -> Option<AccountId> {
        match self {
            Self::Account { id, .. } => Some(*id),
            Self::ApiKey { .. } | Self::Command => None,
        }
    }

    /// Kind, id and label, as the table has them.
    fn columns(&self) -> (&'static str, Option<String>, &str) {
        match self {
            Self::Account { id, email, .. } => ("account", Some(id.to_string()), email),
            Self::ApiKey { id, name, .. } => ("api_key", Some(id.to_string()), name),
            Self::Command => ("command", None, "syncline provision"),
        }
    }

    /// How the actor is named in an app's own records (`_sync_schema_version.published_by`).
    pub fn label(&self) -> String {
        let (_, _, label) = self.columns();
        label.to_owned()
    }
}

/// Write an entry as part of `tx`.
pub(crate) async fn record(
    tx: &mut Transaction<'_, Postgres>,
    clock: &Clock,
    entry: NewEntry<'_>,
) -> Result<(), sqlx::Error> {
    let (kind, actor, label) = entry.actor.columns();
    sqlx::query(
        "insert into platform.audit (
             audit_id, tenant_id, at, actor_kind, actor, actor_label, address, app, app_label, action, subject,
             subject_label, detail
         ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(AuditId::new())
    .bind(entry.tenant)
    .bind(clock.now())
    .bind(kind)
    .bind(actor)
    .bind(label)
    .bind(entry.actor.address().map(|address| address.to_canonical().to_string()))
    .bind(entry.app.map(|app| app.app_id.to_string()))
    .bind(entry.app.map(|app| &app.name))
    .bind(entry.action.as_str())
    .bind(entry.subject)
    .bind(entry.subject_label)
    .bind(entry.detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl ControlPlane {
    /// Write down what was done to an app's data (a row edited, a conflict settled, a device retired): for actions whose
    /// transaction is the app's own. Call it when the action is committed.
    pub async fn record_app_action(
        &self,
        actor: &Actor,
        app: &App,
        done: AppAction<'_>,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let entry = NewEntry {
            tenant: app.tenant_id,
            app: Some(app),
            actor,
            action: done.action,
            subject: done.subject,
            subject_label: done.subject_label,
            detail: done.detail,
        };
        record(&mut tx, &self.clock, entry).await?;
        tx.commit().await
    }

    /// The tenant's entries, newest first: at most `limit` that are older than `before`.
    pub async fn audit_entries(
        &self,
        tenant: TenantId,
        before: Option<AuditId>,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, sqlx::Error> {
        sqlx::query_as(
            "select audit_id, at, actor_kind, actor, actor_label, address, app, app_label, action, subject,
                 subject_label, detail
             from platform.audit
             where tenant_id = $1 and ($2::uuid is null or audit_id < $2)
             order by audit_id desc
             limit $3",
        )
        .bind(tenant)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }
}
