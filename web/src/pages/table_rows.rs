//! One row of a table: its values, the form that changes them, and what to do when somebody else was faster.

use askama::Template;

use super::values::Value;
use crate::{
    filters,
    forms::Field,
    links,
    shell::{Area, Shell},
};

/// A row, or a row to be.
#[derive(Debug, Template)]
#[template(path = "tables/row.html")]
pub struct RowPage {
    pub shell: Shell,
    pub table: String,
    /// None: it is not there yet.
    pub row: Option<RowFacts>,
    pub form: RowForm,
}

/// Which row it is.
#[derive(Debug, Clone)]
pub struct RowFacts {
    pub scope: String,
    pub key: String,
    /// The bundle that touched it last.
    pub version: Option<i64>,
    /// The size in bytes of a row that is too large to be shown.
    pub too_large: Option<i64>,
}

/// The form of a row. Its fields are `scope`, `key`, and `state.NAME` and `value.NAME` of every column.
#[derive(Debug, Clone, Default)]
pub struct RowForm {
    pub key_column: String,
    pub key_type: String,
    pub scope: Field,
    pub key: Field,
    /// Without the sync key.
    pub columns: Vec<ColumnField>,
    pub error: Option<String>,
}

/// The field of a column.
#[derive(Debug, Clone, Default)]
pub struct ColumnField {
    pub name: String,
    pub ty: String,
    pub control: Control,
    pub nullable: bool,
    /// As it is written in SQL; only for a new row.
    pub default: Option<String>,
    /// The table that it names a row of.
    pub reference: Option<String>,
    /// `value`, `null` or `default`.
    pub state: String,
    pub value: String,
    pub hint: String,
    pub error: Option<String>,
}

/// What a value is typed into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Control {
    #[default]
    Line,
    /// More than one line.
    Area,
    Boolean,
}

/// Somebody changed or deleted the row while it was being edited.
#[derive(Debug, Template)]
#[template(path = "tables/conflict.html")]
pub struct RowConflictPage {
    pub shell: Shell,
    pub table: String,
    pub scope: String,
    pub key: String,
    /// The version that was edited, and the one that there is. None: the row is gone.
    pub base: String,
    pub version: Option<i64>,
    /// The columns that the person changed, or that differ.
    pub columns: Vec<ConflictColumn>,
    /// The fields of the form, to go on in spite of it.
    pub fields: Vec<(String, String)>,
}

/// A column of both.
#[derive(Debug, Clone)]
pub struct ConflictColumn {
    pub name: String,
    pub yours: Option<Value>,
    pub now: Option<Value>,
}

impl RowPage {
    /// A row of which nothing can be changed here: it has nothing but its key, or it is too large.
    fn is_fixed(&self) -> bool {
        self.row.is_some() && self.form.columns.is_empty()
    }

    fn is_too_large(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.too_large.is_some())
    }
}

impl ConflictColumn {
    fn differs(&self) -> bool {
        self.yours.is_some() && self.yours != self.now
    }
}

impl ColumnField {
    /// What the column can be besides a value.
    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        let mut choices = vec![("value", "value")];
        if self.nullable {
            choices.push(("null", "NULL"));
        }
        if self.default.is_some() {
            choices.push(("default", "default"));
        }
        choices
    }

    /// Lines of a text, as many as are worth showing at once.
    fn rows(&self) -> usize {
        (self.value.lines().count() + self.value.len() / 90).clamp(1, 16)
    }
}
