//! Rows of a write become statements on the app's tables: one a group of rows that are alike.
//!
//! This file and `tables` are the only ones where SQL on business tables is built. Names enter as
//! [`Ident`](crate::tables::ident::Ident), values are always bound, as arrays of texts that PostgreSQL casts.

use std::{borrow::Cow, collections::HashMap};

use sqlx::AssertSqlSafe;

use super::{
    keys::RowOp,
    payload::json::{JsonRow, Payload, Value},
    refusal::{RefusalKind, WriteFailure},
};
use crate::{
    ids::{SchemaName, ScopeId},
    ops::database::AppTx,
    tables::{
        apply_sql::cast,
        catalog::{AppCatalog, CatalogTable},
        ident::SCOPE_COLUMN,
        spec::KeyKind,
    },
};

/// One row of a write, checked.
#[derive(Debug)]
pub(in crate::sync) struct WriteRow<'a> {
    pub(in crate::sync) table: &'a CatalogTable,
    pub(in crate::sync) op: RowOp,
    pub(in crate::sync) key: Cow<'a, str>,
    /// Place of the column in the catalog and the value's text; NULL is None. Without the key column.
    pub(in crate::sync) values: Vec<(usize, Option<Cow<'a, str>>)>,
}

/// The staged rows name a table or column that the app's catalog does not have: it was changed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct UnknownName;

/// One statement.
#[derive(Debug)]
struct Group<'a> {
    table: &'a CatalogTable,
    op: RowOp,
    columns: Vec<usize>,
    keys: Vec<Cow<'a, str>>,
    /// For each of `columns` the values of all rows.
    values: Vec<Vec<Option<Cow<'a, str>>>>,
}

impl<'a> WriteRow<'a> {
    /// A row as it was staged.
    pub(in crate::sync) fn from_staged(app: &'a AppCatalog, row: JsonRow<'a>) -> Result<Self, UnknownName> {
        let table = app.table(&row.table).ok_or(UnknownName)?;
        let op = RowOp::parse(&row.op).ok_or(UnknownName)?;
        let key = match row.key.0.into_iter().next() {
            Some((_, Value::Text(key))) => key,
            _ => return Err(UnknownName),
        };
        let mut values = Vec::new();
        if let Payload::Row(members) = row.payload {
            values.reserve_exact(members.0.len());
            for (name, value) in members.0 {
                let columns = table.columns();
                let i = columns.iter().position(|c| c.name.as_str() == name).ok_or(UnknownName)?;
                if columns[i].name != table.key().column {
                    values.push((i, value.into_sql_text()));
                }
            }
        }
        Ok(Self { table, op, key, values })
    }
}

/// Write the rows, in the transaction that manages the scope.
///
/// In upload order as far as it matters: rows are taken in runs of upserts and of deletes. Within a run of upserts
/// parents go before children and updates before inserts (an update may free a unique value that an insert takes,
/// never the other way round); within a run of deletes children go first. A row that a cascade of the same write has
/// taken away is passed over.
pub(in crate::sync) async fn apply<'a>(
    tx: &mut AppTx,
    app: &AppCatalog,
    scope: &ScopeId,
    rows: Vec<WriteRow<'a>>,
) -> Result<(), WriteFailure> {
    for group in groups(rows) {
        let sql = group.sql(&app.schema);
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(scope).bind(texts(&group.keys));
        for values in &group.values {
            let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
            query = query.bind(values);
        }
        if let Err(error) = query.execute(&mut **tx).await {
            let failure = WriteFailure::judge(app, Some(group.table), error);
            return Err(group.name_column(tx, failure).await);
        }
    }
    Ok(())
}

fn texts<'s>(keys: &'s [Cow<'_, str>]) -> Vec<&'s str> {
    keys.iter().map(AsRef::as_ref).collect()
}

/// The statements of a write, in order.
fn groups(rows: Vec<WriteRow<'_>>) -> Vec<Group<'_>> {
    let mut all = Vec::new();
    let mut run: Vec<WriteRow<'_>> = Vec::new();
    for row in rows {
        let switches = run.last().is_some_and(|last| (last.op == RowOp::Delete) != (row.op == RowOp::Delete));
        if switches {
            all.extend(groups_of_run(std::mem::take(&mut run)));
        }
        run.push(row);
    }
    all.extend(groups_of_run(run));
    all
}

/// The statements of a run that has only deletes or no deletes.
fn groups_of_run(rows: Vec<WriteRow<'_>>) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<(usize, RowOp, Vec<usize>), usize> = HashMap::new();
    for row in rows {
        let (columns, values): (Vec<usize>, Vec<_>) = row.values.into_iter().unzip();
        let alike = |group: &Group<'_>| {
            group.table.rank == row.table.rank && group.op == row.op && group.columns == columns
        };
        let place = match groups.last() {
            // Nearly always: the row is like the one before it.
            Some(last) if alike(last) => groups.len() - 1,
            _ => *places.entry((row.table.rank, row.op, columns.clone())).or_insert_with(|| {
                let values = columns.iter().map(|_| Vec::new()).collect();
                groups.push(Group { table: row.table, op: row.op, columns, keys: Vec::new(), values });
                groups.len() - 1
            }),
        };
        let group = &mut groups[place];
        group.keys.push(row.key);
        for (of_column, value) in group.values.iter_mut().zip(values) {
            of_column.push(value);
        }
    }
    // Stable: groups of one table and operation stay in upload order.
    groups.sort_by_key(|group| match group.op {
        RowOp::Update => (group.table.rank, 0),
        RowOp::Insert => (group.table.rank, 1),
        RowOp::Delete => (usize::MAX - group.table.rank, 0),
    });
    groups
}

impl Group<'_> {
    /// PostgreSQL does not say which column a value does not fit: try them one by one. Ends the transaction.
    async fn name_column(&self, tx: &mut AppTx, failure: WriteFailure) -> WriteFailure {
        let WriteFailure::Refused(mut refusal) = failure else { return failure };
        if refusal.kind != RefusalKind::Value || refusal.column.is_some() {
            return WriteFailure::Refused(refusal);
        }
        for (i, values) in self.columns.iter().zip(&self.values) {
            let column = &self.table.columns()[*i];
            if let Err(error) = sqlx::raw_sql("rollback; begin").execute(&mut **tx).await {
                return WriteFailure::Database(error);
            }
            let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
            // Counted, so that every value is cast.
            let sql = format!(
                "select count({cast}::{ty}) from unnest($1::text[]) as u (v0)",
                cast = cast("u.v0", column.ty),
                ty = column.ty.sql()
            );
            let tried =
                sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(values).execute(&mut **tx).await;
            if tried.is_err() {
                refusal.column = Some(column.name.to_string());
                break;
            }
        }
        WriteFailure::Refused(refusal)
    }

    /// `$1` is the scope, `$2` the keys, `$3`… the columns' values.
    fn sql(&self, schema: &SchemaName) -> String {
        let table = format!("{schema}.{}", self.table.name().quoted());
        let key = self.table.key().column.quoted();
        let key_type = match self.table.key().kind {
            KeyKind::Uuid => "uuid",
            KeyKind::Text => "text",
        };
        let names: Vec<_> = self.columns.iter().map(|i| self.table.columns()[*i].name.quoted()).collect();
        let casts: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(n, i)| cast(&format!("u.v{n}"), self.table.columns()[*i].ty))
            .collect();
        let arrays: String = (0..self.columns.len()).map(|n| format!(", ${}::text[]", n + 3)).collect();
        let aliases: String = (0..self.columns.len()).map(|n| format!(", v{n}")).collect();
        let rows = format!("unnest($2::text[]{arrays}) as u (key{aliases})");
        match self.op {
            RowOp::Insert => {
                let names: String = names.iter().map(|name| format!(", {name}")).collect();
                let casts: String = casts.iter().map(|cast| format!(", {cast}")).collect();
                format!(
                    "insert into {table} ({SCOPE_COLUMN}, {key}{names})\n\
                     select $1, u.key::{key_type}{casts}\nfrom {rows}"
                )
            }
            RowOp::Update => {
                let mut sets: Vec<_> =
                    names.iter().zip(casts).map(|(name, cast)| format!("{name} = {cast}")).collect();
                if sets.is_empty() {
                    // An update that names no column still touches the row, and its triggers run.
                    sets.push(format!("{key} = t.{key}"));
                }
                format!(
                    "update {table} as t\nset {}\nfrom {rows}\n\
                     where t.{SCOPE_COLUMN} = $1 and t.{key} = u.key::{key_type}",
                    sets.join(", ")
                )
            }
            RowOp::Delete => format!(
                "delete from {table} as t\nwhere t.{SCOPE_COLUMN} = $1 and t.{key} = any ($2::text[]::{key_type}[])"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
