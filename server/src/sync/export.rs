//! Everything of a scope, to be taken away: as lines of JSON while they are read, or as a SQLite file.
//!
//! Read page by page along primary keys, with no connection held between two: whoever downloads may be slow. So rows that
//! are changed meanwhile may be in their newer version, which stands beside each.

pub mod ndjson;
pub mod sqlite;

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Engine;
use crate::{
    ids::ScopeId,
    ops::database::AppPool,
    tables::{
        catalog::{AppCatalog, CatalogTable},
        ident::SCOPE_COLUMN,
        payload_sql::key_expression,
        spec::KeyKind,
    },
};

/// Bytes of a page that are aimed at; rows can be as small as a number and as large as some megabytes.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
const FIRST_LIMIT: i64 = 16;
const MAX_LIMIT: i64 = 2_000;

/// Exports of one node at a time; each reads as fast as it can.
const AT_ONCE: usize = 4;

/// Places for exports on this node.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// A row as devices get it.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::sync) struct ExportedRow {
    pub(in crate::sync) key: String,
    pub(in crate::sync) row_version: i64,
    /// A JSON object.
    pub(in crate::sync) payload: String,
}

/// Reads the rows of a scope, parents before children.
#[derive(Debug)]
pub(in crate::sync) struct RowReader {
    apps: AppPool,
    pub(in crate::sync) app: Arc<AppCatalog>,
    scope: ScopeId,
    /// Places in the catalog, the next one last.
    tables: Vec<usize>,
    after: Option<String>,
    limit: Limit,
}

/// How many rows to ask for, found by trying.
#[derive(Debug)]
struct Limit(i64);

impl Engine {
    /// A place for an export, to be held until its last byte is sent; None: there are too many already.
    pub fn export_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.exports.0).try_acquire_owned().ok()
    }

    fn row_reader(&self, app: &Arc<AppCatalog>, scope: &ScopeId) -> RowReader {
        let mut tables: Vec<usize> = (0..app.tables().len()).collect();
        tables.sort_by_key(|place| std::cmp::Reverse(app.tables()[*place].rank));
        RowReader {
            apps: self.apps.clone(),
            app: Arc::clone(app),
            scope: scope.clone(),
            tables,
            after: None,
            limit: Limit(FIRST_LIMIT),
        }
    }
}

impl RowReader {
    /// Some rows of one table, whose place in the catalog goes along; None: that was all.
    pub(in crate::sync) async fn next(&mut self) -> Result<Option<(usize, Vec<ExportedRow>)>, sqlx::Error> {
        while let Some(&place) = self.tables.last() {
            let table = &self.app.tables()[place];
            let sql = rows_sql(&self.app, table, self.after.is_some());
            let query =
                sqlx::query_as(AssertSqlSafe(sql)).persistent(false).bind(&self.scope).bind(self.limit.0);
            let query = match &self.after {
                Some(after) => query.bind(after),
                None => query,
            };
            let rows: Vec<ExportedRow> = self.apps.all(&self.app.schema, query).await?;
            let is_last = (rows.len() as i64) < self.limit.0;
            self.after = rows.last().map(|row| row.key.clone()).filter(|_| !is_last);
            if is_last {
                self.tables.pop();
            }
            self.limit.learn(rows.iter().map(|row| row.payload.len()).sum());
            if !rows.is_empty() {
                return Ok(Some((place, rows)));
            }
        }
        Ok(None)
    }
}

impl Limit {
    fn learn(&mut self, bytes: usize) {
        self.0 = match bytes {
            bytes if bytes > 2 * PAGE_BYTES => (self.0 / 4).max(1),
            bytes if bytes < PAGE_BYTES / 2 => (self.0 * 2).min(MAX_LIMIT),
            _ => self.0,
        };
    }
}

/// `$1` the scope, `$2` how many, `$3` the key to go on from.
fn rows_sql(app: &AppCatalog, table: &CatalogTable, goes_on: bool) -> String {
    let key = format!("r.{}", table.key().column.quoted());
    let cast = match table.key().kind {
        KeyKind::Uuid => "::uuid",
        KeyKind::Text => "",
    };
    let after = if goes_on { format!(" and {key} > $3{cast}") } else { String::new() };
    format!(
        "select {key_text} as key, coalesce(v.row_version, 0) as row_version, {payload} as payload \
         from (select r.* from {schema}.{name} r where r.{SCOPE_COLUMN} = $1{after} order by {key} limit $2) r \
         left join {schema}._sync_row v on v.scope_id = $1 and v.table_no = {no} and v.key = {key_text} \
         order by {key}",
        key_text = key_expression("r", table.key()),
        payload = app.payload_sql(table, "r"),
        schema = app.schema,
        name = table.name().quoted(),
        no = table.table_no(),
    )
}
