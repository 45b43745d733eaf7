//! Taking a bundle back: the rows that bring everything it touched to what it was before.
//!
//! A row that a later bundle has touched as well cannot be taken back alone: undoing it would undo the later change
//! too. Such rows are told apart, so that people decide.

use std::collections::{BTreeSet, HashMap};

use super::{
    compare::RowImage,
    row::{RowAddress, RowState, image, restoring},
};
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::in_schema,
    sync::{Engine, keys::RowOp, server_write::ServerRow},
    tables::{
        catalog::{AppCatalog, CatalogTable},
        spec::ForeignKeyAction,
    },
};

/// Bundles with more rows or bytes are not taken back here: it all has to be held at once.
pub const MAX_ROWS: i32 = 5_000;
pub const MAX_BYTES: i64 = 16 * 1024 * 1024;
/// Bytes of earlier bundles that are read to find what rows were before.
const MAX_BYTES_BEFORE: i64 = 64 * 1024 * 1024;

/// How a bundle is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoPlan {
    pub seq: BundleSeq,
    /// In the bundle's order.
    pub rows: Vec<UndoneRow>,
}

/// A row of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoneRow {
    /// Its place in the bundle.
    pub ordinal: usize,
    pub table: String,
    pub key: String,
    pub state: UndoneState,
}

/// Whether and how a row is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoneState {
    /// Nothing has touched it since.
    Ready(ServerRow),
    /// A later bundle has: taking it back overwrites that too.
    TouchedLater { by: BundleSeq, row: ServerRow },
    /// It is as it was before: inserted and gone again.
    NothingToDo,
    /// What it was before has been pruned, or is too far back to look for.
    NotRetained,
    /// The app has no such table any more.
    NoTable,
}

/// Why a bundle cannot be taken back at all.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error("there is no such bundle, or it has been pruned")]
    NotFound,
    #[error("the bundle has {rows} rows and {bytes} bytes")]
    TooLarge { rows: i32, bytes: i64 },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A row of a bundle, as far as taking it back asks.
#[derive(Debug)]
struct Touched {
    ordinal: usize,
    table: String,
    key: String,
    op: RowOp,
    prior: i64,
}

const BODIES: &str = "select r.body, r.prior_versions
    from {schema}._sync_bundle_rows r
    where r.scope_id = $1 and r.bundle_seq = $2
    order by r.first_ordinal";

const STATES: &str = "select u.table_no, u.key, r.row_version, r.deleted
    from unnest($2::integer[], $3::text[]) as u (table_no, key)
    cross join lateral (
        select r.row_version, r.deleted
        from {schema}._sync_row r
        where r.scope_id = $1 and r.table_no = u.table_no and r.key = u.key
        limit 1
    ) r";

/// The lines of earlier bundles that are about one of the rows: `$2` the bundles, `$3` and `$4` the rows.
const BEFORE: &str = r#"
with wanted as materialized (
    select t.row_head || to_json(u.key)::text as head
    from unnest($3::integer[], $4::text[]) as u (table_no, key)
    join {schema}._sync_table t on t.table_no = u.table_no
),
bundle as materialized (
    select b.bundle_seq
    from (
        select b.bundle_seq, sum(b.byte_count) over (order by b.bundle_seq desc) as bytes
        from {schema}._sync_bundle b
        where b.scope_id = $1 and b.bundle_seq = any ($2)
    ) b
    where b.bytes <= $5
),
served as materialized (
    select r.bundle_seq, split_part(l.line, '},"op":"', 1) as head, l.line
    from bundle b
    join {schema}._sync_bundle_rows r on r.scope_id = $1 and r.bundle_seq = b.bundle_seq
    cross join lateral unnest(string_to_array(r.body, E',\n')) as l (line)
)
select s.bundle_seq, s.line
from wanted w
join served s on s.head = w.head"#;

impl Engine {
    /// How a bundle would be taken back now.
    pub async fn undo_plan(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        seq: BundleSeq,
    ) -> Result<UndoPlan, UndoError> {
        let bundle = self.bundle(app, scope, seq).await?.ok_or(UndoError::NotFound)?;
        if bundle.row_count > MAX_ROWS || bundle.byte_count > MAX_BYTES {
            return Err(UndoError::TooLarge { rows: bundle.row_count, bytes: bundle.byte_count });
        }
        let touched = self.rows_touched(app, scope, seq).await?;
        let states = self.row_states(app, scope, &touched).await?;
        let images = self.images_before(app, scope, &touched).await?;
        let rows = touched
            .into_iter()
            .map(|row| {
                let place = (row.table.clone(), row.key.clone());
                let image = images.get(&(row.prior, place.0.clone(), place.1.clone()));
                let state = row.undone(app, scope, seq, states.get(&place).copied(), image);
                UndoneRow { ordinal: row.ordinal, table: row.table, key: row.key, state }
            })
            .collect();
        Ok(UndoPlan { seq, rows })
    }

    async fn rows_touched(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        seq: BundleSeq,
    ) -> Result<Vec<Touched>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, BODIES)).bind(scope).bind(seq);
        let segments: Vec<(String, Vec<i64>)> = self.apps.all(&app.schema, query).await?;
        let lines = segments.iter().flat_map(|(body, priors)| body.split(",\n").zip(priors));
        lines
            .enumerate()
            .map(|(ordinal, (line, prior))| {
                let row = super::read_row(line, ordinal as i64, *prior);
                let row = row.map_err(|error| sqlx::Error::Decode(error.into()))?;
                let op = RowOp::parse(&row.op).ok_or_else(|| sqlx::Error::Decode(row.op.into()))?;
                Ok(Touched { ordinal, table: row.table, key: row.key, op, prior: *prior })
            })
            .collect()
    }

    async fn row_states(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        touched: &[Touched],
    ) -> Result<HashMap<(String, String), RowState>, sqlx::Error> {
        let (table_nos, keys) = numbered(app, touched.iter());
        let query = sqlx::query_as(in_schema(&app.schema, STATES)).bind(scope).bind(table_nos).bind(keys);
        let states: Vec<(i32, String, BundleSeq, bool)> = self.apps.all(&app.schema, query).await?;
        let named = states.into_iter().filter_map(|(table_no, key, row_version, deleted)| {
            let table = app.table_no(table_no)?.name().to_string();
            Some(((table, key), RowState { row_version, deleted }))
        });
        Ok(named.collect())
    }

    /// What the rows that were changed or deleted had been, by the version, table and key.
    async fn images_before(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        touched: &[Touched],
    ) -> Result<HashMap<(i64, String, String), RowImage>, sqlx::Error> {
        let wanted = || touched.iter().filter(|row| row.op != RowOp::Insert && row.prior > 0);
        let priors: BTreeSet<i64> = wanted().map(|row| row.prior).collect();
        if priors.is_empty() {
            return Ok(HashMap::new());
        }
        let (table_nos, keys) = numbered(app, wanted());
        let query = sqlx::query_as(in_schema(&app.schema, BEFORE))
            .bind(scope)
            .bind(priors.into_iter().collect::<Vec<_>>())
            .bind(table_nos)
            .bind(keys)
            .bind(MAX_BYTES_BEFORE);
        let lines: Vec<(i64, String)> = self.apps.all(&app.schema, query).await?;
        let read = |(seq, line): (i64, String)| {
            let row = super::read_row(&line, 0, 0).ok()?;
            Some(((seq, row.table, row.key), image(&line)?))
        };
        Ok(lines.into_iter().filter_map(read).collect())
    }
}

/// The numbers of the rows' tables, and their keys; without those whose table is no more.
fn numbered<'r>(app: &AppCatalog, rows: impl Iterator<Item = &'r Touched>) -> (Vec<i32>, Vec<&'r str>) {
    rows.filter_map(|row| Some((app.table(&row.table)?.table_no(), row.key.as_str()))).unzip()
}

impl Touched {
    fn undone(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        seq: BundleSeq,
        state: Option<RowState>,
        before: Option<&RowImage>,
    ) -> UndoneState {
        let Some(table) = app.table(&self.table) else { return UndoneState::NoTable };
        let is_live = state.is_some_and(|state| !state.deleted);
        let row = match (self.op, before) {
            (RowOp::Insert, _) if !is_live => return UndoneState::NothingToDo,
            (RowOp::Insert, _) => ServerRow {
                table: self.table.clone(),
                key: self.key.clone(),
                op: RowOp::Delete,
                values: Vec::new(),
                base_row_version: None,
            },
            (_, None) => return UndoneState::NotRetained,
            (_, Some(before)) => restoring(RowAddress { scope, table, key: &self.key }, state, before).0,
        };
        match state {
            Some(state) if state.row_version != seq => {
                UndoneState::TouchedLater { by: state.row_version, row }
            }
            _ => UndoneState::Ready(row),
        }
    }
}

impl UndoPlan {
    /// The rows to write, those of later bundles only if `overwrites` says so of their place.
    pub fn writes(&self, app: &AppCatalog, overwrites: impl Fn(usize) -> bool) -> Vec<ServerRow> {
        let chosen = self.rows.iter().filter_map(|undone| match &undone.state {
            UndoneState::Ready(row) => Some(row.clone()),
            UndoneState::TouchedLater { row, .. } => overwrites(undone.ordinal).then(|| row.clone()),
            _ => None,
        });
        in_order(app, chosen.collect())
    }
}

/// Deletions free unique values that changes and insertions may need, so they go first; unless a row that is changed
/// hangs on one that is deleted, and the deletion would take it along.
fn in_order(app: &AppCatalog, rows: Vec<ServerRow>) -> Vec<ServerRow> {
    let tables = |op: RowOp| -> Vec<&CatalogTable> {
        let names: BTreeSet<&str> =
            rows.iter().filter(|row| row.op == op).map(|row| row.table.as_str()).collect();
        names.into_iter().filter_map(|name| app.table(name)).collect()
    };
    let (changed, deleted) = (tables(RowOp::Update), tables(RowOp::Delete));
    let hangs = changed.iter().flat_map(|table| &table.spec.foreign_keys).any(|key| {
        key.on_delete != ForeignKeyAction::NoAction && deleted.iter().any(|table| *table.name() == key.parent)
    });
    let rank = |row: &ServerRow| match row.op {
        RowOp::Update if hangs => 0,
        RowOp::Delete => 1,
        RowOp::Update | RowOp::Insert => 2,
    };
    let mut rows = rows;
    rows.sort_by_key(rank);
    rows
}
