//! Which rows on the server a refused write has run into: what people would change to let the device through.

use super::inbox::{RefusedRow, RejectedWriteDetail};
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::in_schema,
    sync::{
        Engine,
        history::row::{RowAddress, sql_text},
        keys::RowOp,
        rejected_write::inbox::RejectedWriteState,
    },
    tables::{
        ConstraintInfo,
        catalog::{AppCatalog, CatalogTable},
        ident::Ident,
        in_the_way::{Wanted, holders},
    },
};

/// A row that is in the way of a refused write, or that it misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InTheWay {
    /// It has the unique value that the refused row wants.
    Holder { table: String, key: String },
    /// It refers to a row that the device wants to delete.
    Child { table: String, key: String },
    /// The refused row refers to it, and it was deleted.
    ParentDeleted { table: String, key: String, by: BundleSeq },
    /// The refused row refers to it, and it never was there.
    ParentMissing { table: String, key: String },
}

/// Refused rows that are looked at, and rows that are named.
const LOOKED_AT: usize = 50;
const NAMED: usize = 5;

const SET_STATE: &str = "
update {schema}._sync_rejected_write w
set state = $2, state_at = $3, state_by = $4
where w.rejected_id = $1 and w.state <> $2
returning 1 as changed";

impl Engine {
    /// The rows that a refused write has run into, as far as its constraint tells; a few of many.
    pub async fn rows_in_the_way(
        &self,
        app: &AppCatalog,
        detail: &RejectedWriteDetail,
    ) -> Result<Vec<InTheWay>, sqlx::Error> {
        let Ok(scope) = ScopeId::parse(&detail.write.scope) else { return Ok(Vec::new()) };
        let Some(table) = detail.write.table_name.as_deref().and_then(|name| app.table(name)) else {
            return Ok(Vec::new());
        };
        let constraint = detail.write.constraint_name.as_deref();
        let rows: Vec<&RefusedRow> = detail.rows.iter().take(LOOKED_AT).collect();
        match constraint.and_then(|name| table.spec.constraint(name)) {
            Some(ConstraintInfo::Unique { columns }) => {
                let of_table = rows.into_iter().filter(|row| table.name().as_str() == row.table);
                let wanted: Vec<Wanted> = of_table.map(|row| wanted(row, &columns)).collect();
                let keys = self.holders(app, table, (&scope, &columns, &wanted)).await?;
                let table = table.name().to_string();
                Ok(keys.into_iter().map(|key| InTheWay::Holder { table: table.clone(), key }).collect())
            }
            Some(ConstraintInfo::ForeignKey { column, parent }) => {
                let mut found =
                    self.parents_in_the_way(app, &scope, &rows, (table, &column, &parent)).await?;
                if found.is_empty() {
                    found = self.children_in_the_way(app, &scope, &rows, (table, column, &parent)).await?;
                }
                Ok(found)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Rows that are referred to and are not there.
    async fn parents_in_the_way(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        rows: &[&RefusedRow],
        (table, column, parent): (&CatalogTable, &Ident, &Ident),
    ) -> Result<Vec<InTheWay>, sqlx::Error> {
        let Some(parent) = app.table(parent.as_str()) else { return Ok(Vec::new()) };
        let mut keys: Vec<String> = rows
            .iter()
            .filter(|row| table.name().as_str() == row.table)
            .filter_map(|row| value(row, column))
            .filter(|key| !key.contains('\0'))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let name = parent.name().to_string();
        let mut found = Vec::new();
        for key in keys {
            if found.len() == NAMED {
                break;
            }
            let state = self.row_state(app, RowAddress { scope, table: parent, key: &key }).await?;
            let table = name.clone();
            match state {
                Some(state) if state.deleted => {
                    found.push(InTheWay::ParentDeleted { table, key, by: state.row_version });
                }
                Some(_) => {}
                None => found.push(InTheWay::ParentMissing { table, key }),
            }
        }
        Ok(found)
    }

    /// Rows that refer to what is to be deleted.
    async fn children_in_the_way(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        rows: &[&RefusedRow],
        (table, column, parent): (&CatalogTable, Ident, &Ident),
    ) -> Result<Vec<InTheWay>, sqlx::Error> {
        let deleted = rows.iter().filter(|row| row.op == Some(RowOp::Delete) && parent.as_str() == row.table);
        let wanted: Vec<Wanted> =
            deleted.map(|row| Wanted { key: String::new(), values: vec![Some(row.key.clone())] }).collect();
        let keys = self.holders(app, table, (scope, &[column], &wanted)).await?;
        let table = table.name().to_string();
        Ok(keys.into_iter().map(|key| InTheWay::Child { table: table.clone(), key }).collect())
    }

    /// A row that devices sent may be wrong in any way, so a value that PostgreSQL cannot read finds nothing.
    async fn holders(
        &self,
        app: &AppCatalog,
        table: &CatalogTable,
        (scope, columns, wanted): (&ScopeId, &[Ident], &[Wanted]),
    ) -> Result<Vec<String>, sqlx::Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        match holders(&self.apps, app, table, (scope, columns, wanted), NAMED as i64).await {
            Err(sqlx::Error::Database(_)) => Ok(Vec::new()),
            outcome => outcome,
        }
    }

    /// Put a refused write into another state, for the account `by`. False: it is in that state already, or is not there.
    pub async fn set_rejected_write_state(
        &self,
        app: &AppCatalog,
        detail: &RejectedWriteDetail,
        state: RejectedWriteState,
        by: &str,
    ) -> Result<bool, sqlx::Error> {
        let query = sqlx::query(in_schema(&app.schema, SET_STATE))
            .bind(detail.write.id)
            .bind(state)
            .bind(self.clock.now())
            .bind(by);
        Ok(!self.apps.rows(&app.schema, query).await?.is_empty())
    }
}

fn value(row: &RefusedRow, column: &Ident) -> Option<String> {
    let (_, cell) = row.payload.iter().find(|(name, _)| name == column.as_str())?;
    sql_text(cell)
}

fn wanted(row: &RefusedRow, columns: &[Ident]) -> Wanted {
    let clean = |text: &String| !text.contains('\0');
    Wanted {
        key: row.key.replace('\0', ""),
        values: columns.iter().map(|column| value(row, column).filter(clean)).collect(),
    }
}
