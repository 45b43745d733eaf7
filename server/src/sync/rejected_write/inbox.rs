//! The inbox of refused writes as people see it: a list by last failure, and one failure with its rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::FromRow;
use time::OffsetDateTime;

use crate::{
    ids::{RejectedWriteId, ScopeId},
    ops::database::in_schema,
    sync::{Engine, device::list::Page, history::Cell, keys::RowOp},
    tables::catalog::AppCatalog,
};

/// Which failures are wanted; None does not restrict them.
#[derive(Debug, Default, Clone)]
pub struct RejectedWriteFilter {
    pub scope: Option<ScopeId>,
    pub state: Option<RejectedWriteState>,
}

/// What became of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum RejectedWriteState {
    /// It may still block its device.
    Open,
    /// The device got on, or will not try again.
    Resolved,
    /// People chose not to hear of it.
    Ignored,
}

/// Behind which failure a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedWriteCursor {
    #[serde(with = "time::serde::rfc3339")]
    pub last_at: OffsetDateTime,
    pub id: RejectedWriteId,
}

/// A failure in a list: all attempts that failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RejectedWrite {
    #[sqlx(rename = "rejected_id")]
    pub id: RejectedWriteId,
    #[sqlx(rename = "scope_id")]
    pub scope: String,
    #[sqlx(rename = "source_id")]
    pub source: String,
    #[sqlx(rename = "user_id")]
    pub user: Option<String>,
    /// The device's number of the push, where it is known.
    pub source_bundle_id: Option<i64>,
    /// The wire's code, and the sentence that the device was told.
    pub code: String,
    pub message: String,
    pub table_name: Option<String>,
    pub constraint_name: Option<String>,
    pub column_name: Option<String>,
    /// Rows that were refused, kept or not.
    pub row_count: i64,
    pub first_at: OffsetDateTime,
    pub last_at: OffsetDateTime,
    pub attempts: i64,
    pub state: RejectedWriteState,
    pub state_at: Option<OffsetDateTime>,
    /// The account that put it into its state; None: it came there by itself.
    pub state_by: Option<String>,
}

/// A failure by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedWriteDetail {
    pub write: RejectedWrite,
    /// Those that were kept, as the device sent them.
    pub rows: Vec<RefusedRow>,
}

/// A row that was refused. It may be wrong in any way, so nothing of it is certain.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    pub table: String,
    pub key: String,
    pub op: Option<RowOp>,
    /// In the order of the columns' names.
    pub payload: Vec<(String, Cell)>,
}

macro_rules! write_columns {
    () => {
        "w.rejected_id, w.scope_id, w.source_id, w.user_id, w.source_bundle_id, w.code, w.message, w.table_name,
        w.constraint_name, w.column_name, w.row_count, w.first_at, w.last_at, w.attempts, w.state, w.state_at,
        w.state_by"
    };
}

macro_rules! writes_where {
    ($state:literal) => {
        concat!(
            "select ",
            write_columns!(),
            " from {schema}._sync_rejected_write w
            where ($1::timestamptz is null or (w.last_at, w.rejected_id) < ($1, $2))
                and ($4::text is null or w.scope_id = $4)",
            $state,
            " order by w.last_at desc, w.rejected_id desc
            limit $3"
        )
    };
}

/// Written out a state each, so that the few that are open are found by their own index among many that are not.
const WRITES: &str = writes_where!("");
const OPEN: &str = writes_where!(" and w.state = 'open'");
const RESOLVED: &str = writes_where!(" and w.state = 'resolved'");
const IGNORED: &str = writes_where!(" and w.state = 'ignored'");

const WRITE: &str = concat!(
    "select ",
    write_columns!(),
    ", w.rows from {schema}._sync_rejected_write w where w.rejected_id = $1"
);

impl Engine {
    /// The refused writes of an app, the latest failure first.
    pub async fn rejected_writes(
        &self,
        app: &AppCatalog,
        filter: &RejectedWriteFilter,
        after: Option<RejectedWriteCursor>,
        limit: i64,
    ) -> Result<Page<RejectedWrite, RejectedWriteCursor>, sqlx::Error> {
        self.apps_with_ledgers.note(app);
        let sql = match filter.state {
            None => WRITES,
            Some(RejectedWriteState::Open) => OPEN,
            Some(RejectedWriteState::Resolved) => RESOLVED,
            Some(RejectedWriteState::Ignored) => IGNORED,
        };
        let query = sqlx::query_as(in_schema(&app.schema, sql))
            .bind(after.map(|cursor| cursor.last_at))
            .bind(after.map(|cursor| cursor.id))
            .bind(limit + 1)
            .bind(filter.scope.as_ref());
        let writes = self.apps.all(&app.schema, query).await?;
        let cursor = |last: &RejectedWrite| RejectedWriteCursor { last_at: last.last_at, id: last.id };
        Ok(Page::of(writes, limit, cursor))
    }

    /// One refused write; None if there is none of that id.
    pub async fn rejected_write(
        &self,
        app: &AppCatalog,
        id: RejectedWriteId,
    ) -> Result<Option<RejectedWriteDetail>, sqlx::Error> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            write: RejectedWrite,
            rows: String,
        }
        let query = sqlx::query_as(in_schema(&app.schema, WRITE)).bind(id);
        let row: Option<Row> = self.apps.optional(&app.schema, query).await?;
        Ok(row.map(|row| RejectedWriteDetail { rows: read_rows(&row.rows), write: row.write }))
    }
}

fn read_rows(rows: &str) -> Vec<RefusedRow> {
    let rows: Vec<&RawValue> = serde_json::from_str(rows).unwrap_or_default();
    rows.into_iter().map(|row| read_row(row.get())).collect()
}

/// What can be read of a row that a device sent.
fn read_row(row: &str) -> RefusedRow {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(row).unwrap_or_default();
    let text =
        |name: &str| members.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    let object = |name: &str| -> BTreeMap<String, Box<RawValue>> {
        members.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    };
    let cell = |value: &RawValue| Cell::read(value).unwrap_or(Cell::Literal(value.get().to_owned()));
    RefusedRow {
        table: text("table").unwrap_or_default(),
        key: object("key").values().next().map(|key| cell(key).into_text()).unwrap_or_default(),
        op: text("op").and_then(|op| RowOp::parse(&op)),
        payload: object("payload").into_iter().map(|(column, value)| (column, cell(&value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_of_a_refused_row_is_read() {
        let rows = read_rows(
            r#"[{"table":"t","key":{"id":"a"},"op":"INSERT","payload":{"b":[1],"a":"x"}},{"op":7,"key":3},12]"#,
        );
        assert_eq!(rows.len(), 3);
        assert_eq!(
            (rows[0].table.as_str(), rows[0].key.as_str(), rows[0].op),
            ("t", "a", Some(RowOp::Insert))
        );
        assert_eq!(rows[0].payload[1], ("b".to_owned(), Cell::Literal("[1]".to_owned())));
        assert_eq!(rows[1..], [RefusedRow::default(), RefusedRow::default()]);
    }
}
