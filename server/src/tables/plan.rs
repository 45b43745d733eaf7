//! What has to change between two versions of an app's tables, and what must not.
//!
//! An old app version goes on syncing against the version it was built for, on the same physical tables. So a version
//! only ever adds: tables, columns that old devices need not send, constraints that are new. Everything else is
//! refused with a sentence.

use super::{
    check::CheckExpr,
    ident::Ident,
    spec::{AppSpec, ColumnSpec, DefaultValue, ForeignKeySpec, TableSpec},
};

/// The way from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The next version, numbered, with a number for every table.
    pub next: AppSpec,
    /// Empty when the submitted tables are what the app has: there is nothing to publish.
    pub changes: Vec<Change>,
}

/// One step; the names are those of `Plan::next`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    CreateTable { table: Ident },
    AddColumn { table: Ident, column: Ident },
    AddForeignKey { table: Ident, key: ForeignKeySpec },
    AddUnique { table: Ident, columns: Vec<Ident> },
    AddIndex { table: Ident, columns: Vec<Ident> },
    AddCheck { table: Ident, check: CheckExpr },
}

/// A change that would break devices in the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub table: Ident,
    /// The column concerned, where it is about one.
    pub column: Option<Ident>,
    /// A sentence without its full stop: what is not possible, and why.
    pub reason: String,
    /// A sentence: what to do instead.
    pub remedy: String,
}

/// Plan the way from `current` to tables as `submitted`. Tables that were not submitted stay as they are.
///
/// # Errors
/// All refusals at once.
pub fn plan(current: &AppSpec, submitted: Vec<TableSpec>) -> Result<Plan, Vec<Refusal>> {
    let mut planner = Planner { changes: Vec::new(), refusals: Vec::new() };
    let mut tables = current.tables.clone();
    let mut next_no = current.tables.iter().map(|table| table.table_no).max().unwrap_or(0) + 1;
    for table in submitted {
        match tables.iter_mut().find(|known| known.name == table.name) {
            Some(known) => planner.extend(known, table),
            None => {
                planner.changes.push(Change::CreateTable { table: table.name.clone() });
                tables.push(TableSpec { table_no: next_no, ..table });
                next_no += 1;
            }
        }
    }
    if !planner.refusals.is_empty() {
        return Err(planner.refusals);
    }
    let version = current.version + i32::from(!planner.changes.is_empty());
    let next = AppSpec { version, logical_schema: current.logical_schema.clone(), tables };
    Ok(Plan { next, changes: planner.changes })
}

struct Planner {
    changes: Vec<Change>,
    refusals: Vec<Refusal>,
}

impl Planner {
    fn refuse(&mut self, table: &TableSpec, column: Option<&Ident>, reason: String, remedy: &str) {
        let (table, column) = (table.name.clone(), column.cloned());
        self.refusals.push(Refusal { table, column, reason, remedy: remedy.to_owned() });
    }

    /// Bring a table that exists up to what was submitted.
    fn extend(&mut self, known: &mut TableSpec, submitted: TableSpec) {
        if known.key != submitted.key {
            let reason = format!(
                "the sync key of {} is {} and cannot change, because every device names rows by it",
                known.name, known.key.column
            );
            self.refuse(known, Some(&submitted.key.column), reason, "Make a new table with the new key.");
        }
        let added = self.columns(known, &submitted);
        self.foreign_keys(known, &submitted, &added);
        self.checks(known, &submitted, &added);
        self.uniques(known, &submitted);
        for columns in submitted.indexes {
            // An index that was left out stays: it costs little, and nobody asked for its removal.
            if !known.indexes.contains(&columns) {
                self.changes.push(Change::AddIndex { table: known.name.clone(), columns: columns.clone() });
                known.indexes.push(columns);
            }
        }
    }

    /// Answers the names of the columns that are new.
    fn columns(&mut self, known: &mut TableSpec, submitted: &TableSpec) -> Vec<Ident> {
        for column in known.columns.clone() {
            match submitted.column(column.name.as_str()) {
                Some(now) => self.same_column(known, &column, now),
                None => {
                    let reason = format!(
                        "column {} of {} would be dropped, but devices with the older app version still send it",
                        column.name, known.name
                    );
                    self.refuse(
                        known,
                        Some(&column.name),
                        reason,
                        "Keep the column; new app versions may leave it alone. A renamed column is a new one: add it \
                         and keep the old.",
                    );
                }
            }
        }
        let added: Vec<ColumnSpec> = submitted
            .columns
            .iter()
            .filter(|now| known.column(now.name.as_str()).is_none())
            .cloned()
            .collect();
        let names = added.iter().map(|column| column.name.clone()).collect();
        for column in added {
            self.new_column(known, &column);
            self.changes.push(Change::AddColumn { table: known.name.clone(), column: column.name.clone() });
            known.columns.push(column);
        }
        names
    }

    fn same_column(&mut self, table: &TableSpec, was: &ColumnSpec, now: &ColumnSpec) {
        let what = if was.ty != now.ty {
            format!("from {} to {}", was.ty, now.ty)
        } else if was.nullable != now.nullable {
            format!("to {}", if now.nullable { "nullable" } else { "NOT NULL" })
        } else if was.default != now.default {
            "its default".to_owned()
        } else {
            return;
        };
        let reason = format!(
            "column {} of {} would change {what}, but devices with the older app version go on with what they have",
            was.name, table.name
        );
        self.refuse(
            table,
            Some(&was.name),
            reason,
            "Leave it as it was, and add a new column for the new meaning.",
        );
    }

    fn new_column(&mut self, table: &TableSpec, column: &ColumnSpec) {
        let varies = !matches!(
            column.default,
            None | Some(
                DefaultValue::Boolean(_)
                    | DefaultValue::Number(_)
                    | DefaultValue::Text(_)
                    | DefaultValue::Bytes(_)
            )
        );
        if varies {
            let reason = format!(
                "new column {} of {} has a default that is not a constant, so its value in the rows that exist would \
                 differ from device to device",
                column.name, table.name
            );
            self.refuse(table, Some(&column.name), reason, "Give it a constant default or none.");
        } else if !column.nullable && column.default.is_none() {
            let reason = format!(
                "new column {} of {} is NOT NULL and has no default, but rows exist, and devices with the older app \
                 version write rows without it",
                column.name, table.name
            );
            self.refuse(table, Some(&column.name), reason, "Give it a default or let it be NULL.");
        }
    }

    fn foreign_keys(&mut self, known: &mut TableSpec, submitted: &TableSpec, added: &[Ident]) {
        for key in known.foreign_keys.clone() {
            if !submitted.foreign_keys.contains(&key) {
                let reason = format!(
                    "the foreign key of {} from {} to {} would be dropped or changed, but devices with the older app \
                     version enforce it",
                    known.name, key.column, key.parent
                );
                self.refuse(known, Some(&key.column), reason, "Keep it as it was.");
            }
        }
        for key in &submitted.foreign_keys {
            if known.foreign_keys.contains(key) {
                continue;
            }
            if added.contains(&key.column) {
                self.changes.push(Change::AddForeignKey { table: known.name.clone(), key: key.clone() });
                known.foreign_keys.push(key.clone());
            } else {
                let reason = format!(
                    "column {} of {} would get a foreign key, but devices with the older app version write it freely",
                    key.column, known.name
                );
                self.refuse(known, Some(&key.column), reason, "Add a new column with the foreign key.");
            }
        }
    }

    fn checks(&mut self, known: &mut TableSpec, submitted: &TableSpec, added: &[Ident]) {
        for check in known.checks.clone() {
            if !submitted.checks.contains(&check) {
                let reason = format!(
                    "a CHECK of {} on {} would be dropped or changed, but devices with the older app version enforce it",
                    known.name,
                    list(&check.columns())
                );
                self.refuse(known, check.columns().first(), reason, "Keep it as it was.");
            }
        }
        for check in &submitted.checks {
            if known.checks.contains(check) {
                continue;
            }
            if check.columns().iter().all(|column| added.contains(column)) {
                self.changes.push(Change::AddCheck { table: known.name.clone(), check: check.clone() });
                known.checks.push(check.clone());
            } else {
                let reason = format!(
                    "{} would get a CHECK on {}, but devices with the older app version do not know it and would have \
                     their pushes refused",
                    known.name,
                    list(&check.columns())
                );
                self.refuse(known, check.columns().first(), reason, "Check new columns only.");
            }
        }
    }

    fn uniques(&mut self, known: &mut TableSpec, submitted: &TableSpec) {
        for columns in known.uniques.clone() {
            if !submitted.uniques.contains(&columns) {
                let reason = format!(
                    "UNIQUE ({}) of {} would be dropped, but devices with the older app version enforce it and could \
                     not apply a duplicate",
                    list(&columns),
                    known.name
                );
                self.refuse(known, columns.first(), reason, "Keep it.");
            }
        }
        for columns in &submitted.uniques {
            if !known.uniques.contains(columns) {
                self.changes.push(Change::AddUnique { table: known.name.clone(), columns: columns.clone() });
                known.uniques.push(columns.clone());
            }
        }
    }
}

fn list(columns: &[Ident]) -> String {
    columns.iter().map(Ident::as_str).collect::<Vec<_>>().join(", ")
}
