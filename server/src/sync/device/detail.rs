//! One device with what it did last and what is under way.

use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    list::Device,
    row::{DeviceRow, device_query},
};
use crate::{
    ids::{BundleSeq, ConflictId, RejectedWriteId, SchemaName, ScopeId, SourceId},
    ops::database::in_schema,
    sync::Engine,
    tables::catalog::AppCatalog,
};

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

const DEVICE: &str = device_query!(
    "select d.* from {schema}._sync_device d where d.scope_id = $1 and d.source_id = $2",
    "",
    ""
);

/// What was noted, and its commits, which are told by its bundles.
const EVENTS: &str = "(
        select e.at, e.verb, e.status, e.code, e.message, e.bundle_seq
        from {schema}._sync_device_event e
        where e.scope_id = $1 and e.source_id = $2
        order by e.event_id desc
        limit 100
    )
    union all
    (
        select b.committed_at, 'push_commit', 200, null, null, b.bundle_seq
        from {schema}._sync_bundle b
        where b.scope_id = $1 and b.source_id = $2
        order by b.source_bundle_id desc
        limit 100
    )
    order by 1 desc
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
