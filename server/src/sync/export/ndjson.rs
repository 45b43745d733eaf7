//! One line of JSON for everything that is kept of a scope: its rows, and what is on record about them.
//!
//! The first line says what it is, the last one that it is whole. Each has a member `kind`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;

use super::{ExportedRow, Limit, RowReader};
use crate::{ids::ScopeId, ops::database::in_schema, sync::Engine, tables::catalog::AppCatalog};

/// What is on record: the kind of its lines, the cursor before the first, and how to read on from one. `$1` the scope, `$2`
/// the cursor, `$3` how many.
const RECORDS: [(&str, &str, &str); 5] = [
    (
        "device",
        "",
        "select d.source_id as cursor, (to_jsonb(d) - 'scope_id')::text as line
         from {schema}._sync_device d
         where d.scope_id = $1 and d.source_id > $2
         order by d.source_id
         limit $3",
    ),
    (
        "bundle",
        "0",
        "select b.bundle_seq::text as cursor, (to_jsonb(b) - 'scope_id')::text as line
         from {schema}._sync_bundle b
         where b.scope_id = $1 and b.bundle_seq > $2::bigint
         order by b.bundle_seq
         limit $3",
    ),
    (
        "changes",
        "0.0",
        "select r.bundle_seq || '.' || r.first_ordinal as cursor,
             '{\"bundle_seq\":' || r.bundle_seq || ',\"rows\":[' || replace(r.body, E',\\n', ',') || ']}' as line
         from {schema}._sync_bundle_rows r
         where r.scope_id = $1
             and (r.bundle_seq, r.first_ordinal)
                 > (split_part($2, '.', 1)::bigint, split_part($2, '.', 2)::integer)
         order by r.bundle_seq, r.first_ordinal
         limit $3",
    ),
    (
        "conflict",
        "00000000-0000-0000-0000-000000000000",
        "select c.conflict_id::text as cursor, (to_jsonb(c) - 'scope_id')::text as line
         from {schema}._sync_conflict c
         where c.scope_id = $1 and c.conflict_id > $2::uuid
         order by c.conflict_id
         limit $3",
    ),
    (
        "rejected_write",
        "00000000-0000-0000-0000-000000000000",
        "select w.rejected_id::text as cursor, (to_jsonb(w) - 'scope_id')::text as line
         from {schema}._sync_rejected_write w
         where w.scope_id = $1 and w.rejected_id > $2::uuid
         order by w.rejected_id
         limit $3",
    ),
];

/// Where the export is.
enum Place {
    Head,
    Rows(RowReader),
    Records { which: usize, cursor: String },
    End,
}

struct Export {
    engine: Engine,
    app: Arc<AppCatalog>,
    scope: ScopeId,
    place: Option<Place>,
    limit: Limit,
    lines: u64,
}

impl Engine {
    /// Everything of a scope, line by line, read as fast as it is taken.
    pub fn export_lines(
        &self,
        app: &Arc<AppCatalog>,
        scope: &ScopeId,
    ) -> impl Stream<Item = Result<Bytes, sqlx::Error>> + Send + use<> {
        let export = Export {
            engine: self.clone(),
            app: Arc::clone(app),
            scope: scope.clone(),
            place: Some(Place::Head),
            limit: Limit(super::FIRST_LIMIT),
            lines: 0,
        };
        stream::unfold(export, |mut export| async move {
            let piece = export.next().await.transpose()?;
            Some((piece.map(Bytes::from), export))
        })
        // Who reads it may ask once more after the end.
        .fuse()
    }
}

impl Export {
    async fn next(&mut self) -> Result<Option<String>, sqlx::Error> {
        loop {
            let Some(place) = self.place.take() else { return Ok(None) };
            let (text, next) = match place {
                Place::Head => {
                    (self.head(), Some(Place::Rows(self.engine.row_reader(&self.app, &self.scope))))
                }
                Place::Rows(mut reader) => match reader.next().await? {
                    Some((table, rows)) => (self.rows(table, &rows), Some(Place::Rows(reader))),
                    None => (String::new(), Some(Self::records(0))),
                },
                Place::Records { which, cursor } => self.record_lines(which, &cursor).await?,
                Place::End => (format!("{}\n", json!({ "kind": "end", "lines": self.lines })), None),
            };
            self.place = next;
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }

    fn head(&self) -> String {
        let head = json!({
            "kind": "export",
            "user": self.scope.as_str(),
            "schema": self.app.logical_schema.as_str(),
            "schema_version": self.app.schema_version,
            "wire_profile": self.app.profile.as_str(),
        });
        format!("{head}\n")
    }

    fn rows(&mut self, table: usize, rows: &[ExportedRow]) -> String {
        let table = json!(self.app.tables()[table].name().as_str());
        self.lines += rows.len() as u64;
        let line = |row: &ExportedRow| {
            format!(
                "{{\"kind\":\"row\",\"table\":{table},\"row_version\":{},\"row\":{}}}\n",
                row.row_version, row.payload
            )
        };
        rows.iter().map(line).collect()
    }

    fn records(which: usize) -> Place {
        match RECORDS.get(which) {
            Some((_, first, _)) => Place::Records { which, cursor: (*first).to_owned() },
            None => Place::End,
        }
    }

    async fn record_lines(
        &mut self,
        which: usize,
        cursor: &str,
    ) -> Result<(String, Option<Place>), sqlx::Error> {
        let (kind, _, sql) = RECORDS[which];
        let asked = self.limit.0;
        let query =
            sqlx::query_as(in_schema(&self.app.schema, sql)).bind(&self.scope).bind(cursor).bind(asked);
        let found: Vec<(String, String)> = self.engine.apps.all(&self.app.schema, query).await?;
        self.limit.learn(found.iter().map(|(_, line)| line.len()).sum());
        self.lines += found.len() as u64;
        let next = match found.last() {
            Some((cursor, _)) if found.len() as i64 == asked => {
                Place::Records { which, cursor: cursor.clone() }
            }
            _ => Self::records(which + 1),
        };
        let text = found.iter().map(|(_, line)| format!("{{\"kind\":\"{kind}\",{}\n", &line[1..])).collect();
        Ok((text, Some(next)))
    }
}
