//! Tables as they are read, before it is known whether they fit together.

use sqlparser::ast::Expr;

use super::At;
use crate::tables::{
    check::CheckExpr,
    ident::Ident,
    spec::{ColumnSpec, ForeignKeyAction, TableSpec},
};

/// A table of the text.
pub(super) struct Draft {
    pub(super) name: Ident,
    pub(super) at: At,
    pub(super) columns: Vec<ColumnDraft>,
    /// Every PRIMARY KEY of the table; one too many is a problem.
    pub(super) keys: Vec<Columns>,
    pub(super) uniques: Vec<Columns>,
    pub(super) indexes: Vec<Columns>,
    pub(super) foreign_keys: Vec<ForeignKeyDraft>,
    pub(super) checks: Vec<(Expr, At)>,
    /// Checks of a table that the app has already, and to which the text only adds.
    pub(super) known_checks: Vec<CheckExpr>,
}

pub(super) struct ColumnDraft {
    /// Its default is filled in last, when its type is settled.
    pub(super) spec: ColumnSpec,
    pub(super) default: Option<Expr>,
    /// As in the text; None for a column that the app has already.
    pub(super) declared: Option<String>,
    pub(super) at: At,
    /// COLLATE NOCASE or RTRIM: compares in a way that PostgreSQL does not.
    pub(super) ignores_case: bool,
}

/// Columns that belong together in a key, a UNIQUE or an index.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) names: Vec<Ident>,
    pub(super) at: At,
}

pub(super) struct ForeignKeyDraft {
    pub(super) column: Ident,
    pub(super) parent: Ident,
    /// None: the parent's primary key, whatever it is.
    pub(super) parent_column: Option<Ident>,
    pub(super) on_delete: ForeignKeyAction,
    pub(super) on_update: ForeignKeyAction,
    pub(super) at: At,
}

impl Draft {
    pub(super) fn new(name: Ident, at: At) -> Self {
        Self {
            name,
            at,
            columns: Vec::new(),
            keys: Vec::new(),
            uniques: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            known_checks: Vec::new(),
        }
    }

    /// A table that the app has already, for the text to add to.
    pub(super) fn of_known(table: &TableSpec, at: At) -> Self {
        let columns = |names: &[Ident]| Columns { names: names.to_vec(), at };
        Self {
            name: table.name.clone(),
            at,
            columns: table
                .columns
                .iter()
                .map(|spec| ColumnDraft {
                    spec: spec.clone(),
                    default: None,
                    declared: None,
                    at,
                    ignores_case: false,
                })
                .collect(),
            keys: vec![columns(std::slice::from_ref(&table.key.column))],
            uniques: table.uniques.iter().map(|names| columns(names)).collect(),
            indexes: table.indexes.iter().map(|names| columns(names)).collect(),
            foreign_keys: table
                .foreign_keys
                .iter()
                .map(|key| ForeignKeyDraft {
                    column: key.column.clone(),
                    parent: key.parent.clone(),
                    parent_column: None,
                    on_delete: key.on_delete,
                    on_update: key.on_update,
                    at,
                })
                .collect(),
            checks: Vec::new(),
            known_checks: table.checks.clone(),
        }
    }

    pub(super) fn column(&self, name: &Ident) -> Option<&ColumnDraft> {
        self.columns.iter().find(|column| column.spec.name == *name)
    }
}
