//! From column definitions and constraints to the parts of a draft.

use sqlparser::ast::{
    ColumnDef, ColumnOption, DataType, Expr, ForeignKeyConstraint, IndexColumn, NullsDistinctOption,
    ReferentialAction, Spanned, TableConstraint,
};

use super::{
    At, MAX_COLUMNS, Refusal,
    draft::{ColumnDraft, Columns, Draft, ForeignKeyDraft},
    reader::Reader,
    types,
};
use crate::tables::{
    ident::Ident,
    spec::{ColumnSpec, ForeignKeyAction},
};

impl Reader<'_> {
    pub(super) fn column(&mut self, draft: &mut Draft, column: ColumnDef) {
        let at = At::from(column.name.span);
        let Some(name) = self.ident("column", &column.name) else { return };
        if draft.column(&name).is_some() {
            let reason = format!("column {name} of {} is there twice", draft.name);
            self.report.problem(
                at,
                reason,
                "Leave one of them out; names that differ in case only are the same.",
            );
            return;
        }
        if draft.columns.len() == MAX_COLUMNS {
            let reason = format!("{} has more than {MAX_COLUMNS} columns", draft.name);
            self.report.problem(at, reason, "Split the table.");
            return;
        }
        let mapped = match types::map(self.dialect, &column.data_type) {
            Ok(mapped) => mapped,
            Err(refusal) => return self.report.refuse(at, refusal),
        };
        if let Some(warning) = mapped.warning {
            self.report.warn(at, format!("{}.{name}: {warning}", draft.name));
        }
        let declared = match column.data_type {
            DataType::Unspecified => String::new(),
            declared => declared.to_string(),
        };
        let spec = ColumnSpec { name: name.clone(), ty: mapped.ty, nullable: true, default: None };
        draft.columns.push(ColumnDraft {
            spec,
            default: None,
            declared: Some(declared),
            at,
            ignores_case: false,
        });
        for option in column.options {
            if let Err(refusal) = self.column_option(draft, &name, option.option, at) {
                self.report.refuse(at, refusal);
            }
        }
    }

    /// An option of the column that was added to the draft last.
    fn column_option(
        &mut self,
        draft: &mut Draft,
        name: &Ident,
        option: ColumnOption,
        at: At,
    ) -> Result<(), Refusal> {
        let columns = Columns { names: vec![name.clone()], at };
        let column = draft.columns.last_mut().expect("BUG: an option without its column");
        match option {
            ColumnOption::Null => column.spec.nullable = true,
            ColumnOption::NotNull => column.spec.nullable = false,
            ColumnOption::Default(expression) => column.default = Some(expression),
            ColumnOption::PrimaryKey(_) => draft.keys.push(columns),
            ColumnOption::Unique(unique) => {
                refuse_nulls_not_distinct(unique.nulls_distinct)?;
                draft.uniques.push(columns);
            }
            ColumnOption::ForeignKey(key) => self.foreign_key(draft, columns, key),
            ColumnOption::Check(check) => draft.checks.push((*check.expr, at)),
            ColumnOption::Collation(collation) => {
                let collation = collation.to_string().to_ascii_uppercase();
                if matches!(collation.as_str(), "NOCASE" | "RTRIM") {
                    column.ignores_case = true;
                    self.report
                        .note(at, format!("COLLATE {collation} is left to devices; it does not sync."));
                }
            }
            ColumnOption::Generated { generation_expr: None, .. } | ColumnOption::Identity(_) => {
                return Err(Refusal::new(
                    format!("{name} is counted on the server, and devices that are offline cannot ask it"),
                    "Let the app fill it.",
                ));
            }
            ColumnOption::Generated { .. } => {
                return Err(Refusal::new(
                    format!("{name} is a generated column, which clients neither send nor accept"),
                    "Leave it out of the text; devices may keep it.",
                ));
            }
            // AUTOINCREMENT and the direction of a key: said of an INTEGER key, which is refused as such, or of nothing.
            ColumnOption::DialectSpecific(_) | ColumnOption::Comment(_) | ColumnOption::OnConflict(_) => {}
            other => return Err(Refusal::new(format!("{other} is not understood"), "Leave it out.")),
        }
        Ok(())
    }

    pub(super) fn constraint(&mut self, draft: &mut Draft, constraint: TableConstraint, table_at: At) {
        let at = match At::from(constraint.span()) {
            At::START => table_at,
            at => at,
        };
        let result = match constraint {
            TableConstraint::PrimaryKey(key) => {
                self.constraint_columns(&key.columns).map(|names| draft.keys.push(Columns { names, at }))
            }
            TableConstraint::Unique(unique) => refuse_nulls_not_distinct(unique.nulls_distinct)
                .and_then(|()| self.constraint_columns(&unique.columns))
                .map(|names| draft.uniques.push(Columns { names, at })),
            TableConstraint::ForeignKey(mut key) => {
                let names = std::mem::take(&mut key.columns);
                if let Some(names) = names.iter().map(|name| self.ident("column", name)).collect() {
                    self.foreign_key(draft, Columns { names, at }, key);
                }
                Ok(())
            }
            TableConstraint::Check(check) => {
                draft.checks.push((*check.expr, at));
                Ok(())
            }
            other => Err(Refusal::new(format!("{other} is not understood"), "Leave it out.")),
        };
        if let Err(refusal) = result {
            self.report.refuse(at, refusal);
        }
    }

    fn constraint_columns(&mut self, columns: &[IndexColumn]) -> Result<Vec<Ident>, Refusal> {
        self.plain_columns(columns).ok_or_else(|| {
            Refusal::new(
                "a key or UNIQUE on an expression, or with a collation, does not mean the same in PostgreSQL",
                "Name plain columns.",
            )
        })
    }

    /// The names, if all are plain columns. Their direction does not matter.
    pub(super) fn plain_columns(&mut self, columns: &[IndexColumn]) -> Option<Vec<Ident>> {
        columns
            .iter()
            .map(|column| match (&column.column.expr, &column.operator_class) {
                (Expr::Identifier(name), None) => self.ident("column", name),
                _ => None,
            })
            .collect()
    }

    fn foreign_key(&mut self, draft: &mut Draft, columns: Columns, key: ForeignKeyConstraint) {
        let at = columns.at;
        let Some(parent) = self.table_name(&key.foreign_table) else { return };
        let parent_columns: Option<Vec<Ident>> =
            key.referred_columns.iter().map(|name| self.ident("column", name)).collect();
        let Some(mut parent_columns) = parent_columns else { return };
        let Ok([column]) = <[Ident; 1]>::try_from(columns.names) else {
            self.report.problem(
                at,
                format!("a foreign key of {} has several columns", draft.name),
                "Refer to the parent's sync key, which is one column.",
            );
            return;
        };
        draft.foreign_keys.push(ForeignKeyDraft {
            column,
            parent,
            parent_column: parent_columns.pop(),
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            at,
        });
    }
}

fn action(action: Option<ReferentialAction>) -> ForeignKeyAction {
    match action {
        None | Some(ReferentialAction::NoAction) => ForeignKeyAction::NoAction,
        Some(ReferentialAction::Restrict) => ForeignKeyAction::Restrict,
        Some(ReferentialAction::Cascade) => ForeignKeyAction::Cascade,
        Some(ReferentialAction::SetNull) => ForeignKeyAction::SetNull,
        Some(ReferentialAction::SetDefault) => ForeignKeyAction::SetDefault,
    }
}

fn refuse_nulls_not_distinct(nulls: NullsDistinctOption) -> Result<(), Refusal> {
    match nulls {
        NullsDistinctOption::NotDistinct => Err(Refusal::new(
            "UNIQUE NULLS NOT DISTINCT has no counterpart in SQLite, where NULLs are distinct",
            "Leave NULLS NOT DISTINCT out, or make the columns NOT NULL.",
        )),
        _ => Ok(()),
    }
}
