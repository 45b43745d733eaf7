//! Conflicts that people settle: what the device wanted is written over the server's row, or a row is made of both.
//!
//! The write itself is an ordinary write by the server ([`crate::sync::server_write`]), looked at first. The device
//! learns of it like of any other bundle.

use std::collections::HashMap;

use uuid::Uuid;

use super::ledger::{ComparedColumn, ConflictDetail};
use crate::{
    ids::{BundleSeq, ConflictId, ScopeId},
    ops::database::in_schema,
    sync::{
        Engine,
        history::{
            Cell,
            row::{RowAddress, RowState, sql_text},
        },
        keys::RowOp,
        server_write::ServerRow,
    },
    tables::catalog::AppCatalog,
};

/// How a conflict is to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// What the device wanted, a deletion too.
    DeviceVersion,
    /// A row made of columns from either side; columns that are not named stay as they are.
    Columns(HashMap<String, Side>),
}

/// Where a column's value is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Base,
    Device,
    Server,
}

/// What settles a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlingWrite {
    pub scope: ScopeId,
    pub row: ServerRow,
    /// The row as it stands now. None: there never was one.
    pub now: Option<RowState>,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error("the app has no such table any more")]
    NoTable,
    #[error("no column was chosen")]
    NothingChosen,
    #[error("the row is deleted already, as the device wanted")]
    DeletedAlready,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

const SETTLE: &str = "
update {schema}._sync_conflict c
set outcome = 'settled_by_hand', settled_seq = $2, settled_at = $3, settled_by = $4
where c.conflict_id = $1 and c.outcome is null";

impl Engine {
    /// The row that settles the conflict in that way, on top of the row as it is now.
    pub async fn settling_write(
        &self,
        app: &AppCatalog,
        detail: &ConflictDetail,
        settlement: &Settlement,
    ) -> Result<SettlingWrite, SettleError> {
        let conflict = &detail.conflict;
        let table = app.table(&conflict.table_name).ok_or(SettleError::NoTable)?;
        let scope = ScopeId::parse(&conflict.scope).map_err(|_| SettleError::NoTable)?;
        let now = self.row_state(app, RowAddress { scope: &scope, table, key: &conflict.key }).await?;
        let is_live = now.is_some_and(|now| !now.deleted);
        let (op, values) = match (settlement, conflict.op) {
            (Settlement::DeviceVersion, RowOp::Delete) if !is_live => {
                return Err(SettleError::DeletedAlready);
            }
            (Settlement::DeviceVersion, RowOp::Delete) => (RowOp::Delete, Vec::new()),
            (Settlement::DeviceVersion, _) => {
                (upsert(is_live), values(detail, |column| column.device.as_ref()))
            }
            (Settlement::Columns(sides), _) if sides.is_empty() => return Err(SettleError::NothingChosen),
            (Settlement::Columns(sides), _) => {
                let side = |column: &ComparedColumn| sides.get(&column.name).copied();
                (upsert(is_live), values(detail, |column| taken(column, side(column), is_live)))
            }
        };
        if op != RowOp::Delete && values.is_empty() {
            return Err(SettleError::NothingChosen);
        }
        let (table, key) = (conflict.table_name.clone(), conflict.key.clone());
        Ok(SettlingWrite { scope, row: ServerRow { table, key, op, values, base_row_version: None }, now })
    }

    /// Note that a bundle has settled a conflict, if it is still open.
    pub async fn settle_conflict_by_hand(
        &self,
        app: &AppCatalog,
        id: ConflictId,
        seq: BundleSeq,
        by: &str,
    ) -> Result<(), sqlx::Error> {
        let id: Uuid = id.uuid();
        let query =
            sqlx::query(in_schema(&app.schema, SETTLE)).bind(id).bind(seq).bind(self.clock.now()).bind(by);
        self.apps.rows(&app.schema, query).await.map(drop)
    }
}

const fn upsert(is_live: bool) -> RowOp {
    if is_live { RowOp::Update } else { RowOp::Insert }
}

/// The value that a merge takes. A row that is to be there again needs its other columns too, from whoever has them.
fn taken(column: &ComparedColumn, side: Option<Side>, is_live: bool) -> Option<&Cell> {
    match side {
        Some(Side::Base) => column.base.as_ref(),
        Some(Side::Device) => column.device.as_ref(),
        Some(Side::Server) => column.server.as_ref(),
        None if is_live => None,
        None => column.device.as_ref().or(column.server.as_ref()).or(column.base.as_ref()),
    }
}

/// The chosen values. A column for which there is none is left out.
fn values<'d>(
    detail: &'d ConflictDetail,
    chosen: impl Fn(&'d ComparedColumn) -> Option<&'d Cell>,
) -> Vec<(String, Option<String>)> {
    detail
        .columns
        .iter()
        .filter(|column| !column.is_key)
        .filter_map(|column| Some((column.name.clone(), sql_text(chosen(column)?))))
        .collect()
}
