//! Conflicts: rows of a push that lost against the server's rows. The wire is told the first; the ledger keeps all.

pub mod by_hand;
pub mod ledger;
mod settle;
pub mod statistics;

use std::collections::HashMap;

use uuid::Uuid;

pub use self::settle::DeviceProgress;
use super::{
    Engine, SyncCaller,
    keys::RowOp,
    live_rows,
    payload::{
        self,
        json::{JsonRow, Payload, Value},
    },
    server_write::ServerRow,
};
use crate::{
    ids::{ConflictId, ScopeId},
    ops::database::{AppTx, in_schema},
    tables::catalog::AppCatalog,
};

/// The first row of a push that lost, as the wire tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushConflict {
    pub schema: String,
    pub table: String,
    pub key_column: String,
    pub key: String,
    pub op: RowOp,
    pub base_row_version: i64,
    /// 0 when the server has never seen the row.
    pub server_row_version: i64,
    pub server_row_deleted: bool,
    /// The server's row as JSON text; None when it has none.
    pub server_row: Option<String>,
}

/// One row of a push and what it met.
#[derive(Debug)]
pub(in crate::sync) struct Meeting {
    table_no: i32,
    key: String,
    op: RowOp,
    client_payload: Option<String>,
    base_row_version: i64,
    server_row_version: i64,
    server_row_deleted: bool,
    server_payload: Option<String>,
}

/// Where a row of a write was found to conflict.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) struct ConflictAt {
    /// Place in the write.
    pub(in crate::sync) ordinal: usize,
    pub(in crate::sync) server_row_version: i64,
    pub(in crate::sync) server_row_deleted: bool,
}

impl PushConflict {
    /// A sentence that names operation, table, key and both versions.
    pub fn sentence(&self) -> String {
        let server = match (self.server_row_version, self.server_row_deleted) {
            (0, _) => "the server has no such row".to_owned(),
            (version, true) => format!("the server deleted it in version {version}"),
            (version, false) => format!("the server has version {version}"),
        };
        format!(
            "{} of table \"{}\", key \"{}\", is based on version {}, but {server}.",
            self.op.as_str(),
            self.table,
            self.key,
            self.base_row_version
        )
    }

    /// The first of the meetings, of which there is at least one.
    pub(in crate::sync) fn of_first(app: &AppCatalog, meetings: &[Meeting]) -> Self {
        let first = meetings.first().expect("BUG: a conflict without rows");
        let table = app.table_no(first.table_no).expect("BUG: a staged row of an unknown table");
        Self {
            schema: app.logical_schema.to_string(),
            table: table.name().to_string(),
            key_column: table.key().column.to_string(),
            key: first.key.clone(),
            op: first.op,
            base_row_version: first.base_row_version,
            server_row_version: first.server_row_version,
            server_row_deleted: first.server_row_deleted,
            server_row: first.server_payload.clone(),
        }
    }
}

impl Meeting {
    /// Add the server's rows, as they are under the scope's lock, which the caller holds.
    pub(in crate::sync) async fn gather(
        tx: &mut AppTx,
        app: &AppCatalog,
        scope: &ScopeId,
        mut meetings: Vec<Self>,
    ) -> Result<Vec<Self>, sqlx::Error> {
        let mut keys: HashMap<i32, Vec<&str>> = HashMap::new();
        for meeting in meetings.iter().filter(|meeting| !meeting.server_row_deleted) {
            keys.entry(meeting.table_no).or_default().push(&meeting.key);
        }
        let mut server: HashMap<(i32, String), String> = HashMap::new();
        for (table_no, keys) in keys {
            let table = app.table_no(table_no).expect("BUG: a meeting in an unknown table");
            let found = live_rows::by_keys(tx, app, table, scope, (keys, i64::MAX)).await?;
            server.extend(found.into_iter().filter_map(|row| Some(((table_no, row.key), row.payload?))));
        }
        for meeting in &mut meetings {
            meeting.server_payload = server.remove(&(meeting.table_no, meeting.key.clone()));
        }
        Ok(meetings)
    }

    /// A row as it was staged.
    pub(in crate::sync) fn of_staged(app: &AppCatalog, row: &JsonRow<'_>, at: ConflictAt) -> Option<Self> {
        let Some((_, Value::Text(key))) = row.key.0.first() else { return None };
        let base_row_version = match &row.base_row_version {
            Value::Text(version) => version.parse().ok()?,
            _ => return None,
        };
        Some(Self {
            table_no: app.table(&row.table)?.table_no(),
            key: key.to_string(),
            op: RowOp::parse(&row.op)?,
            client_payload: match &row.payload {
                Payload::Row(members) => Some(payload::members_text(members)),
                Payload::None => None,
            },
            base_row_version,
            server_row_version: at.server_row_version,
            server_row_deleted: at.server_row_deleted,
            server_payload: None,
        })
    }

    /// A row of the server's own; its payload is known to whoever writes it.
    pub(in crate::sync) fn of_server_row(app: &AppCatalog, row: &ServerRow, at: ConflictAt) -> Option<Self> {
        Some(Self {
            table_no: app.table(&row.table)?.table_no(),
            key: row.key.clone(),
            op: row.op,
            client_payload: None,
            base_row_version: row.base_row_version.unwrap_or(0),
            server_row_version: at.server_row_version,
            server_row_deleted: at.server_row_deleted,
            server_payload: None,
        })
    }
}

impl ConflictAt {
    /// From the arrays that the engine's functions answer.
    pub(in crate::sync) fn list(
        ordinals: &Option<Vec<i64>>,
        versions: &Option<Vec<i64>>,
        deleted: &Option<Vec<bool>>,
    ) -> Vec<Self> {
        let facts = versions.iter().flatten().zip(deleted.iter().flatten());
        ordinals
            .iter()
            .flatten()
            .zip(facts)
            .map(|(ordinal, (version, deleted))| Self {
                ordinal: *ordinal as usize,
                server_row_version: *version,
                server_row_deleted: *deleted,
            })
            .collect()
    }
}

impl Engine {
    /// Write all rows of a push that lost to the ledger. The push is over by now; a failure here is only logged.
    pub(in crate::sync) async fn record_conflicts(
        &self,
        caller: &SyncCaller,
        source_bundle_id: i64,
        meetings: &[Meeting],
    ) {
        match self.insert_conflicts(caller, source_bundle_id, meetings).await {
            Ok(new) => self.meter.conflicted(caller.app.app, self.clock.now(), new),
            Err(error) => tracing::error!(
                app.id = %caller.app.app,
                error.cause = %error,
                "a conflict could not be recorded"
            ),
        }
    }

    /// Answers how many of them were not in the ledger yet.
    async fn insert_conflicts(
        &self,
        caller: &SyncCaller,
        source_bundle_id: i64,
        meetings: &[Meeting],
    ) -> Result<i64, sqlx::Error> {
        self.apps_with_ledgers.note(&caller.app);
        let ids: Vec<Uuid> = meetings.iter().map(|_| ConflictId::new().uuid()).collect();
        let column = |of: fn(&Meeting) -> Option<&str>| meetings.iter().map(of).collect::<Vec<_>>();
        let number = |of: fn(&Meeting) -> i64| meetings.iter().map(of).collect::<Vec<_>>();
        let query = sqlx::query_as(in_schema(&caller.app.schema, RECORD))
            .bind(&caller.scope)
            .bind(self.clock.now())
            .bind(&caller.source)
            .bind(&caller.user)
            .bind(source_bundle_id)
            .bind(ids)
            .bind(meetings.iter().map(|m| m.table_no).collect::<Vec<_>>())
            .bind(column(|m| Some(&m.key)))
            .bind(column(|m| Some(m.op.as_str())))
            .bind(column(|m| m.client_payload.as_deref()))
            .bind(number(|m| m.base_row_version))
            .bind(number(|m| m.server_row_version))
            .bind(meetings.iter().map(|m| m.server_row_deleted).collect::<Vec<_>>())
            .bind(column(|m| m.server_payload.as_deref()));
        let recorded: Vec<(bool,)> = self.apps.all(&caller.app.schema, query).await?;
        Ok(recorded.into_iter().filter(|(is_new,)| *is_new).count() as i64)
    }
}

/// The row that the device had started from is looked for in the bundle of that version, as long as it is retained.
/// A served row begins with its head and key and has `},"op":"` only behind them: quotes within strings are escaped.
/// Bases are taken from 64 MiB of bundles at most, so that one rejected push cannot read a scope's whole history.
const RECORD: &str = r#"
with met as materialized (
    select u.*
    from unnest(
        $6::uuid[], $7::integer[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::boolean[],
        $14::text[]
    ) as u (
        conflict_id, table_no, key, op, client_payload, base_row_version, server_row_version, server_row_deleted,
        server_payload
    )
),
base_bundle as materialized (
    select b.bundle_seq
    from (
        select b.bundle_seq, sum(b.byte_count) over (order by b.bundle_seq desc) as bytes
        from {schema}._sync_bundle b
        where b.scope_id = $1 and b.bundle_seq = any (array(select distinct m.base_row_version from met m))
    ) b
    where b.bytes <= 67108864
),
served as materialized (
    select r.bundle_seq, split_part(l.line, '},"op":"', 1) as head, l.line
    from base_bundle b
    join {schema}._sync_bundle_rows r on r.scope_id = $1 and r.bundle_seq = b.bundle_seq
    cross join lateral unnest(string_to_array(r.body, E',\n')) as l (line)
),
base as (
    select m.conflict_id, substr(s.line, length(s.head) + 1) as rest
    from met m
    join {schema}._sync_table t on t.table_no = m.table_no
    join served s on s.bundle_seq = m.base_row_version and s.head = t.row_head || to_json(m.key)::text
)
insert into {schema}._sync_conflict (
    scope_id, conflict_id, first_at, last_at, source_id, user_id, source_bundle_id, table_no, key, op, client_payload,
    base_row_version, base_payload, server_row_version, server_row_deleted, server_payload, server_source_id
)
select $1, m.conflict_id, $2, $2, $3, $4, $5, m.table_no, m.key, m.op, m.client_payload, m.base_row_version,
    nullif(left(substr(b.rest, strpos(b.rest, '"payload":') + 10), -1), 'null'),
    m.server_row_version, m.server_row_deleted, m.server_payload,
    (
        select w.source_id
        from {schema}._sync_bundle w
        where w.scope_id = $1 and w.bundle_seq = m.server_row_version
    )
from met m
left join base b on b.conflict_id = m.conflict_id
on conflict on constraint conflict_once_per_meeting do update
set attempts = _sync_conflict.attempts + 1, last_at = excluded.last_at
returning _sync_conflict.attempts = 1 as is_new
"#;
