//! The devices of an app as people see them: a list by last call, and one device with what it did last.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    streams::NOTE_HOLDS,
    verdict::{self, DeviceFacts, LastError, Retirement, TurnedAway, Verdict},
};
use crate::{
    ids::{BundleSeq, ConflictId, RejectedWriteId, SchemaName, ScopeId, SourceId},
    ops::database::in_schema,
    sync::Engine,
    tables::catalog::AppCatalog,
};

/// Some entries of a list, and where the next ones begin. None: these were the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    pub items: Vec<T>,
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Of `limit + 1` entries that were asked for: the page, and the key of its last entry if there are more.
    pub(in crate::sync) fn of(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let next = (items.len() > limit).then(|| items.get(limit.saturating_sub(1)).map(key)).flatten();
        items.truncate(limit);
        Self { items, next }
    }
}

/// Behind which device a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCursor {
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen_at: OffsetDateTime,
    pub scope: String,
    pub source: String,
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub scope: String,
    pub source: String,
    /// The end user whose token it used last.
    pub user: Option<String>,
    /// As its `User-Agent` tells.
    pub client: Option<String>,
    pub address: Option<String>,
    pub first_seen_at: OffsetDateTime,
    pub last_seen_at: OffsetDateTime,
    pub last_push_at: Option<OffsetDateTime>,
    pub last_push_seq: Option<BundleSeq>,
    pub last_pull_at: Option<OffsetDateTime>,
    /// The checkpoint that it named last.
    pub last_pull_seq: Option<BundleSeq>,
    /// The last bundle that was sent to it.
    pub last_served_seq: Option<BundleSeq>,
    pub last_snapshot_at: Option<OffsetDateTime>,
    /// Whether it has an open watch stream.
    pub is_watching: bool,
    pub last_error: Option<LastError>,
    /// The latest bundle of its scope.
    pub latest_seq: BundleSeq,
    /// Bundles of the scope that it does not have; None if it has downloaded nothing yet.
    pub behind: Option<i64>,
    pub verdict: Verdict,
}

/// A device by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDetail {
    pub device: Device,
    /// `active`, `reserved` or `retired`; None: it has never pushed.
    pub source_state: Option<String>,
    /// The number of its last committed bundle, counted by the device.
    pub source_bundle_id: i64,
    pub replaces: Option<String>,
    pub replaced_by: Option<String>,
    /// Whether the device that replaces it has called yet.
    pub successor_called: bool,
    /// Uploads and snapshot downloads that are under way, the latest first; at most some.
    pub open_pushes: Vec<OpenPush>,
    pub open_snapshots: Vec<OpenSnapshot>,
    /// What of it is in the ledgers and still open: the latest refused write and the latest conflict.
    pub rejected_write: Option<OpenRejection>,
    pub conflict: Option<ConflictId>,
    /// The latest first.
    pub events: Vec<DeviceEvent>,
}

/// An upload that has begun and is not committed.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OpenPush {
    pub created_at: OffsetDateTime,
    pub staged_row_count: i64,
    pub planned_row_count: i64,
}

/// A right to read a snapshot that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OpenSnapshot {
    pub created_at: OffsetDateTime,
    pub bundle_seq: BundleSeq,
    pub row_count: i64,
}

/// A refused write that nobody has resolved, and the row it is about, if it is about one.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OpenRejection {
    pub rejected_id: RejectedWriteId,
    pub table_name: Option<String>,
    /// As JSON: `{"id":"…"}`.
    pub key: Option<String>,
}

/// Something that a device did, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct DeviceEvent {
    pub event_id: Uuid,
    pub at: OffsetDateTime,
    /// [`Verb::as_str`](super::Verb::as_str).
    pub verb: String,
    /// Of the HTTP answer.
    pub status: i32,
    /// The code and sentence of a refusal.
    pub code: Option<String>,
    pub message: Option<String>,
    pub bundle_seq: Option<BundleSeq>,
}

#[derive(Debug, FromRow)]
pub(super) struct DeviceRow {
    pub(super) scope_id: String,
    pub(super) source_id: String,
    user_id: Option<String>,
    client: Option<String>,
    address: Option<String>,
    first_seen_at: OffsetDateTime,
    pub(super) last_seen_at: OffsetDateTime,
    last_push_at: Option<OffsetDateTime>,
    last_push_seq: Option<BundleSeq>,
    last_pull_at: Option<OffsetDateTime>,
    last_pull_seq: Option<BundleSeq>,
    last_served_seq: Option<BundleSeq>,
    last_snapshot_at: Option<OffsetDateTime>,
    last_watch_at: Option<OffsetDateTime>,
    last_error_at: Option<OffsetDateTime>,
    last_error_verb: Option<String>,
    last_error_code: Option<String>,
    last_error_message: Option<String>,
    error_count: i64,
    error_since: Option<OffsetDateTime>,
    last_error_subject: Option<String>,
    auth_failed_at: Option<OffsetDateTime>,
    auth_failed_since: Option<OffsetDateTime>,
    auth_failed_check: Option<String>,
    auth_failed_message: Option<String>,
    auth_failed_count: i64,
    auth_failed_signed: bool,
    snapshot_since: Option<OffsetDateTime>,
    is_watching: Option<bool>,
    source_state: Option<String>,
    source_bundle_id: Option<i64>,
    replaces_source_id: Option<String>,
    replaced_by_source_id: Option<String>,
    retired_reason: Option<String>,
    retired_at: Option<OffsetDateTime>,
    latest_seq: Option<BundleSeq>,
    floor_seq: Option<BundleSeq>,
    last_commit_at: Option<OffsetDateTime>,
}

macro_rules! device_query {
    ($($rest:tt)*) => {
        concat!(
            "select d.scope_id, d.source_id, d.user_id, d.client, d.address, d.first_seen_at, d.last_seen_at,
                d.last_push_at, d.last_push_seq, d.last_pull_at, d.last_pull_seq, d.last_served_seq,
                d.last_snapshot_at, d.last_watch_at, d.last_error_at, d.last_error_verb, d.last_error_code,
                d.last_error_message, d.error_count, d.error_since, d.last_error_subject,
                d.auth_failed_at, d.auth_failed_since, d.auth_failed_check, d.auth_failed_message,
                d.auth_failed_count, d.auth_failed_signed, d.snapshot_since, d.is_watching,
                r.state as source_state, r.source_bundle_id, r.replaces_source_id, r.replaced_by_source_id,
                r.retired_reason, r.retired_at,
                s.bundle_seq as latest_seq, s.floor_seq, s.last_commit_at
            from {schema}._sync_device d
            left join {schema}._sync_source r on r.scope_id = d.scope_id and r.source_id = d.source_id
            left join {schema}._sync_scope s on s.scope_id = d.scope_id ",
            $($rest)*
        )
    };
}

pub(super) use device_query;

/// The device that called last comes first.
const DEVICES: &str = device_query!(
    "where $1::timestamptz is null or d.last_seen_at <= $1
        and (d.last_seen_at < $1 or (d.scope_id, d.source_id) > ($2, $3))
    order by d.last_seen_at desc, d.scope_id, d.source_id
    limit $4"
);

const DEVICES_OF_SCOPE: &str = device_query!(
    "where d.scope_id = $5 and ($1::timestamptz is null or d.last_seen_at <= $1
        and (d.last_seen_at < $1 or (d.scope_id, d.source_id) > ($2, $3)))
    order by d.last_seen_at desc, d.scope_id, d.source_id
    limit $4"
);

/// Served by the index `device_refused`.
const REFUSED_LAST: &str = device_query!(
    "where d.last_error_at is not null
    order by d.last_error_at desc
    limit $1"
);

const DEVICE: &str = device_query!("where d.scope_id = $1 and d.source_id = $2");

const EVENTS: &str = "select e.event_id, e.at, e.verb, e.status, e.code, e.message, e.bundle_seq
    from {schema}._sync_device_event e
    where e.scope_id = $1 and e.source_id = $2
    order by e.event_id desc
    limit 100";

const SUCCESSOR_CALLED: &str = "select exists (
    select from {schema}._sync_device d where d.scope_id = $1 and d.source_id = $2
)";

const OPEN_PUSHES: &str = "select p.created_at, p.staged_row_count, p.planned_row_count
    from {schema}._sync_push p
    where p.scope_id = $1 and p.source_id = $2 and p.expires_at > $3
    order by p.created_at desc
    limit 5";

const OPEN_SNAPSHOTS: &str = "select p.created_at, p.bundle_seq, p.row_count
    from {schema}._sync_snapshot_session p
    where p.scope_id = $1 and p.source_id = $2 and p.expires_at > $3
    order by p.created_at desc
    limit 5";

const REJECTED_WRITE: &str = "select w.rejected_id, w.table_name,
        case when w.row_count = 1 then (w.rows::jsonb -> 0 -> 'key')::text end as key
    from {schema}._sync_rejected_write w
    where w.scope_id = $1 and w.source_id = $2 and w.state = 'open'
    order by w.last_at desc
    limit 1";

const CONFLICT: &str = "select c.conflict_id
    from {schema}._sync_conflict c
    where c.scope_id = $1 and c.source_id = $2 and c.outcome is null
    order by c.last_at desc
    limit 1";

impl Engine {
    /// The devices of an app, or of one of its scopes, the one that called last first.
    pub async fn devices(
        &self,
        app: &AppCatalog,
        scope: Option<&ScopeId>,
        after: Option<&DeviceCursor>,
        limit: i64,
    ) -> Result<Page<Device, DeviceCursor>, sqlx::Error> {
        let sql = if scope.is_some() { DEVICES_OF_SCOPE } else { DEVICES };
        let mut query = sqlx::query_as::<_, DeviceRow>(in_schema(&app.schema, sql))
            .bind(after.map(|cursor| cursor.last_seen_at))
            .bind(after.map(|cursor| cursor.scope.as_str()))
            .bind(after.map(|cursor| cursor.source.as_str()))
            .bind(limit + 1);
        if let Some(scope) = scope {
            query = query.bind(scope);
        }
        let rows = self.apps.all(&app.schema, query).await?;
        let now = self.clock.now();
        let devices = rows.into_iter().map(|row| row.into_device(now)).collect();
        Ok(Page::of(devices, limit, |device: &Device| DeviceCursor {
            last_seen_at: device.last_seen_at,
            scope: device.scope.clone(),
            source: device.source.clone(),
        }))
    }

    /// Some of the devices that somebody should look at, those refused last first.
    pub async fn devices_in_trouble(&self, app: &AppCatalog, limit: i64) -> Result<Vec<Device>, sqlx::Error> {
        // Among those refused are some that are silent or retired by now.
        let query = sqlx::query_as(in_schema(&app.schema, REFUSED_LAST)).bind(limit * 8);
        let rows: Vec<DeviceRow> = self.apps.all(&app.schema, query).await?;
        let now = self.clock.now();
        let devices = rows.into_iter().map(|row| row.into_device(now));
        let troubled = devices.filter(|device| device.verdict.kind.is_trouble());
        Ok(troubled.take(usize::try_from(limit).unwrap_or_default()).collect())
    }

    /// One device with its latest requests; None if it has never called.
    pub async fn device(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        source: &SourceId,
    ) -> Result<Option<DeviceDetail>, sqlx::Error> {
        let now = self.clock.now();
        let row: Option<DeviceRow> = self
            .apps
            .optional(&app.schema, sqlx::query_as(in_schema(&app.schema, DEVICE)).bind(scope).bind(source))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let schema = &app.schema;
        let successor_called = match &row.replaced_by_source_id {
            Some(successor) => {
                let query = sqlx::query_as(in_schema(schema, SUCCESSOR_CALLED)).bind(scope).bind(successor);
                let (called,): (bool,) = self.apps.one(schema, query).await?;
                called
            }
            None => false,
        };
        let conflict: Option<(ConflictId,)> =
            self.apps.optional(schema, query_of(schema, CONFLICT, scope, source)).await?;
        Ok(Some(DeviceDetail {
            source_state: row.source_state.clone(),
            source_bundle_id: row.source_bundle_id.unwrap_or(0),
            replaces: row.replaces_source_id.clone(),
            replaced_by: row.replaced_by_source_id.clone(),
            successor_called,
            open_pushes: self.apps.all(schema, query_open(schema, OPEN_PUSHES, scope, source, now)).await?,
            open_snapshots: self
                .apps
                .all(schema, query_open(schema, OPEN_SNAPSHOTS, scope, source, now))
                .await?,
            rejected_write: self
                .apps
                .optional(schema, query_of(schema, REJECTED_WRITE, scope, source))
                .await?,
            conflict: conflict.map(|(conflict,)| conflict),
            events: self.apps.all(schema, query_of(schema, EVENTS, scope, source)).await?,
            device: row.into_device(now),
        }))
    }
}

type QueryOf<'q, T> = sqlx::query::QueryAs<'q, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

/// A query about one device.
fn query_of<'q, T>(
    schema: &SchemaName,
    sql: &'static str,
    scope: &'q ScopeId,
    source: &'q SourceId,
) -> QueryOf<'q, T>
where
    T: for<'r> FromRow<'r, sqlx::postgres::PgRow>,
{
    sqlx::query_as(in_schema(schema, sql)).bind(scope).bind(source)
}

/// A query about what of a device has not expired.
fn query_open<'q, T>(
    schema: &SchemaName,
    sql: &'static str,
    scope: &'q ScopeId,
    source: &'q SourceId,
    now: OffsetDateTime,
) -> QueryOf<'q, T>
where
    T: for<'r> FromRow<'r, sqlx::postgres::PgRow>,
{
    query_of(schema, sql, scope, source).bind(now)
}

impl DeviceRow {
    pub(super) fn into_device(self, now: OffsetDateTime) -> Device {
        let facts = self.facts(now);
        Device {
            verdict: verdict::judge(&facts),
            behind: facts.has_seq.map(|has| (facts.latest_seq.0 - has.0).max(0)),
            latest_seq: facts.latest_seq,
            last_error: facts.error,
            is_watching: self.is_watching == Some(true)
                && self.last_watch_at.is_some_and(|at| now - at < NOTE_HOLDS),
            scope: self.scope_id,
            source: self.source_id,
            user: self.user_id,
            client: self.client,
            address: self.address,
            first_seen_at: self.first_seen_at,
            last_seen_at: self.last_seen_at,
            last_push_at: self.last_push_at,
            last_push_seq: self.last_push_seq,
            last_pull_at: self.last_pull_at,
            last_pull_seq: self.last_pull_seq,
            last_served_seq: self.last_served_seq,
            last_snapshot_at: self.last_snapshot_at,
        }
    }

    fn facts(&self, now: OffsetDateTime) -> DeviceFacts {
        DeviceFacts {
            now,
            first_seen_at: self.first_seen_at,
            last_seen_at: self.last_seen_at,
            retired: (self.source_state.as_deref() == Some("retired")).then(|| Retirement {
                at: self.retired_at,
                replaced_by: self
                    .replaced_by_source_id
                    .as_deref()
                    .and_then(|source| SourceId::parse_device(source).ok()),
                reason: self.retired_reason.clone(),
            }),
            error: self.last_error_at.map(|at| LastError {
                at,
                verb: self.last_error_verb.clone().unwrap_or_default(),
                code: self.last_error_code.clone().unwrap_or_default(),
                message: self.last_error_message.clone().unwrap_or_default(),
                subject: self.last_error_subject.clone(),
                count: self.error_count,
                since: self.error_since.unwrap_or(at),
            }),
            turned_away: self.auth_failed_at.map(|at| TurnedAway {
                at,
                check: self.auth_failed_check.clone().unwrap_or_default(),
                message: self.auth_failed_message.clone().unwrap_or_default(),
                count: self.auth_failed_count,
                since: self.auth_failed_since.unwrap_or(at),
                is_signed: self.auth_failed_signed,
            }),
            snapshot_read_at: self
                .snapshot_since
                .map(|since| self.last_snapshot_at.unwrap_or(since).max(since)),
            has_seq: self.last_served_seq.max(self.last_pull_seq),
            latest_seq: self.latest_seq.unwrap_or_default(),
            floor_seq: self.floor_seq.unwrap_or_default(),
            last_commit_at: self.last_commit_at,
        }
    }
}
