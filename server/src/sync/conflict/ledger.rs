//! The conflict ledger as people see it: a list with filters, and one conflict with its three rows side by side.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, postgres::PgArguments, query::QueryAs};
use time::OffsetDateTime;

use super::settle::is_same;
use crate::{
    ids::{BundleSeq, ConflictId, ScopeId},
    ops::database::in_schema,
    sync::{
        Engine,
        device::list::Page,
        history::Cell,
        keys::RowOp,
        payload::json::{Members, Value},
    },
    tables::catalog::{AppCatalog, CatalogTable},
};

/// Which conflicts are wanted; None does not restrict them.
#[derive(Debug, Default, Clone)]
pub struct ConflictFilter {
    pub table_no: Option<i32>,
    pub scope: Option<ScopeId>,
    pub source: Option<String>,
    pub outcome: Option<OutcomeFilter>,
    /// First met at this time or later, and before that one.
    pub from: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
}

/// Which outcomes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeFilter {
    Open,
    Settled(Outcome),
}

/// How a conflict ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Outcome {
    KeptLocal,
    AcceptedServer,
    Merged,
    GaveUp,
    /// Somebody wrote the row in the dashboard.
    SettledByHand,
}

/// Behind which conflict a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictCursor {
    #[serde(with = "time::serde::rfc3339")]
    pub first_at: OffsetDateTime,
    pub id: ConflictId,
}

/// A conflict in a list.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Conflict {
    #[sqlx(rename = "conflict_id")]
    pub id: ConflictId,
    pub first_at: OffsetDateTime,
    pub last_at: OffsetDateTime,
    /// How often the device has run into it.
    pub attempts: i64,
    #[sqlx(rename = "scope_id")]
    pub scope: String,
    #[sqlx(rename = "source_id")]
    pub source: String,
    pub table_name: String,
    pub key: String,
    /// What the device wanted.
    #[sqlx(try_from = "String")]
    pub op: RowOp,
    /// None while it is open.
    pub outcome: Option<Outcome>,
}

/// A conflict by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictDetail {
    pub conflict: Conflict,
    /// The end user whose token the device used.
    pub user: Option<String>,
    /// 0: the device knew of no row.
    pub base_row_version: i64,
    /// False: the base is not among the bundles that were kept.
    pub base_known: bool,
    /// 0: the server had never seen the row.
    pub server_row_version: i64,
    pub server_row_deleted: bool,
    /// Who wrote the server's row; None: not known any more.
    pub server_source: Option<String>,
    /// The bundle that settled it.
    pub settled_seq: Option<BundleSeq>,
    pub settled_at: Option<OffsetDateTime>,
    /// The account that settled it by hand.
    pub settled_by: Option<String>,
    /// A line for each column of the table as it is now.
    pub columns: Vec<ComparedColumn>,
}

/// One column of the three rows. None: that side has no row, or not this column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedColumn {
    pub name: String,
    pub is_key: bool,
    pub base: Option<Cell>,
    pub device: Option<Cell>,
    pub server: Option<Cell>,
    /// Whether the side's value is another than the base's; where there is no base, another than the other side's.
    pub device_changed: bool,
    pub server_changed: bool,
}

#[derive(Debug, FromRow)]
struct DetailRow {
    #[sqlx(flatten)]
    conflict: Conflict,
    table_no: i32,
    user_id: Option<String>,
    client_payload: Option<String>,
    base_row_version: i64,
    base_payload: Option<String>,
    server_row_version: i64,
    server_row_deleted: bool,
    server_payload: Option<String>,
    server_source_id: Option<String>,
    settled_seq: Option<BundleSeq>,
    settled_at: Option<OffsetDateTime>,
    settled_by: Option<String>,
}

/// What a filter lets through: `$1` to `$7` are its [`FilterValues`].
macro_rules! conflict_filter {
    () => {
        "($1::integer is null or c.table_no = $1)
        and ($2::text is null or c.scope_id = $2)
        and ($3::text is null or c.source_id = $3)
        and ($4::text is null or c.outcome = $4)
        and (not $5 or c.outcome is null)
        and ($6::timestamptz is null or c.first_at >= $6)
        and ($7::timestamptz is null or c.first_at < $7)"
    };
}
pub(super) use conflict_filter;

macro_rules! conflict_columns {
    () => {
        "c.conflict_id, c.first_at, c.last_at, c.attempts, c.scope_id, c.source_id, t.table_name, c.key, c.op, c.outcome"
    };
}

const CONFLICTS: &str = concat!(
    "select ",
    conflict_columns!(),
    " from {schema}._sync_conflict c
    join {schema}._sync_table t on t.table_no = c.table_no
    where ",
    conflict_filter!(),
    " and ($8::timestamptz is null or (c.first_at, c.conflict_id) < ($8, $9))
    order by c.first_at desc, c.conflict_id desc
    limit $10"
);

const CONFLICT: &str = concat!(
    "select ",
    conflict_columns!(),
    ", c.table_no, c.user_id, c.client_payload, c.base_row_version, c.base_payload, c.server_row_version,
        c.server_row_deleted, c.server_payload, c.server_source_id, c.settled_seq, c.settled_at,
        c.settled_by
    from {schema}._sync_conflict c
    join {schema}._sync_table t on t.table_no = c.table_no
    where c.conflict_id = $1"
);

impl Engine {
    /// The conflicts of an app, the newest first.
    pub async fn conflicts(
        &self,
        app: &AppCatalog,
        filter: &ConflictFilter,
        after: Option<ConflictCursor>,
        limit: i64,
    ) -> Result<Page<Conflict, ConflictCursor>, sqlx::Error> {
        // Whoever looks is not to see for long what should be gone.
        self.apps_with_ledgers.note(app);
        let query = FilterValues::of(filter)
            .bind(sqlx::query_as(in_schema(&app.schema, CONFLICTS)))
            .bind(after.map(|cursor| cursor.first_at))
            .bind(after.map(|cursor| cursor.id))
            .bind(limit + 1);
        let conflicts = self.apps.all(&app.schema, query).await?;
        Ok(Page::of(conflicts, limit, |last: &Conflict| ConflictCursor {
            first_at: last.first_at,
            id: last.id,
        }))
    }

    /// One conflict; None if there is none of that id.
    pub async fn conflict(
        &self,
        app: &AppCatalog,
        id: ConflictId,
    ) -> Result<Option<ConflictDetail>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, CONFLICT)).bind(id);
        let row: Option<DetailRow> = self.apps.optional(&app.schema, query).await?;
        Ok(row.map(|row| row.into_detail(app)))
    }
}

/// A filter as its conditions take it.
#[derive(Debug)]
pub(super) struct FilterValues<'f>(&'f ConflictFilter);

impl<'f> FilterValues<'f> {
    pub(super) const fn of(filter: &'f ConflictFilter) -> Self {
        Self(filter)
    }

    /// Bind `$1` to `$7`.
    pub(super) fn bind<O>(
        &self,
        query: QueryAs<'f, Postgres, O, PgArguments>,
    ) -> QueryAs<'f, Postgres, O, PgArguments> {
        let filter = self.0;
        let settled = match filter.outcome {
            Some(OutcomeFilter::Settled(outcome)) => Some(outcome),
            _ => None,
        };
        query
            .bind(filter.table_no)
            .bind(filter.scope.as_ref())
            .bind(filter.source.as_deref())
            .bind(settled)
            .bind(filter.outcome == Some(OutcomeFilter::Open))
            .bind(filter.from)
            .bind(filter.until)
    }
}

impl DetailRow {
    fn into_detail(self, app: &AppCatalog) -> ConflictDetail {
        let rows = ThreeRows {
            base: read(self.base_payload.as_deref()),
            device: read(self.client_payload.as_deref()),
            server: read(self.server_payload.as_deref()),
        };
        let columns = app.table_no(self.table_no).map(|table| rows.compare(table)).unwrap_or_default();
        ConflictDetail {
            base_known: rows.base.is_some() || self.base_row_version == 0,
            columns,
            user: self.user_id,
            base_row_version: self.base_row_version,
            server_row_version: self.server_row_version,
            server_row_deleted: self.server_row_deleted,
            server_source: self.server_source_id,
            settled_seq: self.settled_seq,
            settled_at: self.settled_at,
            settled_by: self.settled_by,
            conflict: self.conflict,
        }
    }
}

/// The rows of a conflict, each None where there is none.
struct ThreeRows<'a> {
    base: Option<Members<'a>>,
    device: Option<Members<'a>>,
    server: Option<Members<'a>>,
}

impl ThreeRows<'_> {
    fn compare(&self, table: &CatalogTable) -> Vec<ComparedColumn> {
        table
            .columns()
            .iter()
            .map(|column| {
                let name = column.name.as_str();
                let [base, device, server] =
                    [&self.base, &self.device, &self.server].map(|row| value_of(row.as_ref()?, name));
                let differ = |one: Option<&Value<'_>>, other: Option<&Value<'_>>| match (one, other) {
                    (Some(one), Some(other)) => !is_same(column.ty, one, other),
                    _ => false,
                };
                let (from_device, from_server) = match base {
                    Some(_) => (base, base),
                    None => (server, device),
                };
                ComparedColumn {
                    name: name.to_owned(),
                    is_key: column.name == table.key().column,
                    device_changed: differ(device, from_device),
                    server_changed: differ(server, from_server),
                    base: base.map(cell),
                    device: device.map(cell),
                    server: server.map(cell),
                }
            })
            .collect()
    }
}

fn read(payload: Option<&str>) -> Option<Members<'_>> {
    serde_json::from_str(payload?).ok()
}

fn value_of<'r, 'a>(row: &'r Members<'a>, name: &str) -> Option<&'r Value<'a>> {
    row.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn cell(value: &Value<'_>) -> Cell {
    match value {
        Value::Null | Value::Composite => Cell::Null,
        Value::Bool(value) => Cell::Literal(value.to_string()),
        Value::Number(text) => Cell::Literal((*text).to_owned()),
        Value::Text(text) => Cell::Text(text.to_string()),
    }
}
