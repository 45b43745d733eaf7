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
    ids::{AccountId, ApiKeyId, AppId, AuditId, TenantId},
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

/// One line an action: what it is called in the code, and in the log. The names are part of what people filter and alert
/// on, so they never change.
macro_rules! actions {
    ($($variant:ident = $name:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($variant,)*
        }

        impl Action {
            /// Every action, as the filter offers them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

actions! {
    TenantCreated = "tenant.created",
    TenantRenamed = "tenant.renamed",
    OwnershipTransferred = "tenant.ownership_transferred",
    InvitationMade = "invitation.made",
    InvitationRevoked = "invitation.revoked",
    MemberAdded = "member.added",
    MemberJoined = "member.joined",
    MemberRoleChanged = "member.role_changed",
    MemberLeft = "member.left",
    MemberRemoved = "member.removed",
    AppCreated = "app.created",
    AppSettingsChanged = "app.settings_changed",
    AppDeletionBegun = "app.deletion_begun",
    AppDeleted = "app.deleted",
    SchemaPublished = "schema.published",
    ApiKeyIssued = "api_key.issued",
    ApiKeyRevoked = "api_key.revoked",
    EndUserAuthChanged = "end_user_auth.changed",
    EndUserTokensRevoked = "end_user.tokens_revoked",
    EndUserRevocationLifted = "end_user.revocation_lifted",
    DeviceRetired = "device.retired",
    RowRestored = "row.restored",
    BundleUndone = "bundle.undone",
    ConflictSettled = "conflict.settled",
    RejectedWriteStateChanged = "rejected_write.state_changed",
    RowsWritten = "rows.written",
    RowsImported = "rows.imported",
    RowsExported = "rows.exported",
    UserErased = "user.erased",
    UserExported = "user.exported",
    UserTokenMinted = "user.token_minted",
    SimulationRun = "simulation.run",
}

impl Action {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
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

/// Which entries are asked for; what is None is not asked.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// An e-mail address or the name of a key, in any case.
    pub actor: Option<String>,
    pub action: Option<Action>,
    pub app: Option<AppId>,
    /// From this time on.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
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

/// Some of the entries.
#[derive(Debug, Clone)]
pub struct AuditPart {
    pub entries: Vec<AuditEntry>,
    /// The entry behind which the next part begins; None: this was the last.
    pub next: Option<AuditId>,
    /// So many entries were looked at that the part ends before it is full.
    pub is_cut: bool,
}

/// Entries that are looked at for a part where more than one thing is asked for.
pub const LOOKED_AT: i64 = 10_000;

/// An entry that was looked at.
#[derive(Debug, sqlx::FromRow)]
struct LookedAt {
    #[sqlx(flatten)]
    entry: AuditEntry,
    /// Among those looked at, from 1.
    place: i64,
    is_found: bool,
}

/// One condition, of `$2` to `$4`, finds the entries that are looked at; `$9` and `$10` are the others. The last one that is
/// looked at is answered whatever it is, so that the next part knows where to go on.
const FIND: &str = "
select e.*
from (
    select w.*, row_number() over (order by w.at desc, w.audit_id desc) as place,
        ($9::text is null or w.action = $9) and ($10::text is null or w.app = $10) as is_found
    from (
        select audit_id, at, actor_kind, actor, actor_label, address, app, app_label, action, subject, subject_label,
            detail
        from platform.audit
        where tenant_id = $1
            and ($2::text is null or lower(actor_label) = lower($2))
            and ($3::text is null or action = $3)
            and ($4::text is null or app = $4)
            and ($5::timestamptz is null or at >= $5)
            and ($6::timestamptz is null or at < $6)
            and ($7::timestamptz is null or (at, audit_id) < ($7, $8::uuid))
        order by at desc, audit_id desc
        limit $11
    ) w
) e
where e.is_found or e.place = $11
order by e.at desc, e.audit_id desc
limit $12";

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

    /// The tenant's entries that the filter lets through, newest first: at most `limit` that follow the entry `after`. With
    /// more than one condition a part may be short, or empty, and yet say where to go on: the entries that meet one of
    /// them are looked at in the order of its index, [`LOOKED_AT`] for a part.
    pub async fn audit_entries(
        &self,
        tenant: TenantId,
        filter: &AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<AuditPart, sqlx::Error> {
        let from = match after {
            Some(entry) => self.audit_place(tenant, entry).await?,
            None => None,
        };
        let (at, entry) = from.unzip();
        let (actor, app) = (filter.actor.as_ref(), filter.app.map(|app| app.to_string()));
        let action = filter.action.map(Action::as_str);
        // Few do much, so who did it tells most.
        let by_app = app.as_ref().filter(|_| actor.is_none());
        let by_action = action.filter(|_| actor.is_none() && by_app.is_none());
        let rows: Vec<LookedAt> = sqlx::query_as(FIND)
            // Planned each time for what is asked: which index serves it depends on which filters there are.
            .persistent(false)
            .bind(tenant)
            .bind(actor)
            .bind(by_action)
            .bind(by_app)
            .bind(filter.since)
            .bind(filter.until)
            .bind(at)
            .bind(entry)
            .bind(action)
            .bind(&app)
            .bind(LOOKED_AT)
            .bind(limit as i64 + 2)
            .fetch_all(&self.pool)
            .await?;
        let end = rows.last().filter(|last| last.place == LOOKED_AT).map(|last| last.entry.audit_id);
        let mut entries: Vec<AuditEntry> =
            rows.into_iter().filter(|row| row.is_found).map(|row| row.entry).collect();
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let next = if has_more { entries.last().map(|last| last.audit_id) } else { end };
        Ok(AuditPart { entries, next, is_cut: !has_more && next.is_some() })
    }

    /// Where an entry is in the order of the log; None if the tenant has no such entry.
    async fn audit_place(
        &self,
        tenant: TenantId,
        entry: AuditId,
    ) -> Result<Option<(OffsetDateTime, AuditId)>, sqlx::Error> {
        sqlx::query_as("select at, audit_id from platform.audit where tenant_id = $1 and audit_id = $2")
            .bind(tenant)
            .bind(entry)
            .fetch_optional(&self.pool)
            .await
    }
}
