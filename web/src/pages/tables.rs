//! An app's tables: what they are made of and what is in them.

use askama::Template;

use super::values::Value;
use crate::{
    chart::Chart,
    filters,
    forms::Field,
    links,
    shell::{Area, Shell},
};

/// The tables of an app.
#[derive(Debug, Template)]
#[template(path = "tables/list.html")]
pub struct TablesPage {
    pub shell: Shell,
    /// 0 before the first publication.
    pub schema_version: i64,
    pub tables: Vec<TableRow>,
}

/// A table as the list shows it.
#[derive(Debug, Clone)]
pub struct TableRow {
    pub name: String,
    pub key_column: String,
    /// `uuid` or `text`.
    pub key_kind: String,
    pub columns: i64,
    /// The tables its foreign keys name, each once.
    pub parents: Vec<String>,
    pub rows: i64,
    /// False: the number is an estimate.
    pub rows_exact: bool,
    /// With its indexes.
    pub bytes: i64,
    /// Rows inserted, changed and deleted within seven days, by devices, servers and cascades.
    pub rows_written: i64,
}

/// What a table is made of.
#[derive(Debug, Clone, Default)]
pub struct TableShape {
    pub name: String,
    /// The submitted schema brings the table.
    pub is_new: bool,
    pub columns: Vec<ColumnShape>,
    /// Further rules, each as it is written in SQL: `UNIQUE (a, b)`, `CHECK (…)`, `INDEX (a)`.
    pub rules: Vec<String>,
}

/// What a column is.
#[derive(Debug, Clone, Default)]
pub struct ColumnShape {
    pub name: String,
    /// As it was declared in the submitted text; None where only the result is known.
    pub declared: Option<String>,
    /// The PostgreSQL type.
    pub ty: String,
    pub is_key: bool,
    pub is_new: bool,
    pub nullable: bool,
    /// As it is written in SQL.
    pub default: Option<String>,
    pub reference: Option<ForeignKey>,
}

/// A foreign key from a column.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    pub table: String,
    /// What happens when the parent goes, for instance `cascade`; None: nothing is allowed to be left behind.
    pub on_delete: Option<String>,
}

impl TableShape {
    /// The column types as declared are known.
    pub(crate) fn has_declarations(&self) -> bool {
        self.columns.iter().any(|column| column.declared.is_some())
    }
}

/// One table: its columns, and its rows.
#[derive(Debug, Template)]
#[template(path = "tables/detail.html")]
pub struct TablePage {
    pub shell: Shell,
    pub shape: TableShape,
    pub rows: i64,
    /// False: the number is an estimate.
    pub rows_exact: bool,
    /// With its indexes.
    pub bytes: i64,
    /// What was written to it, day by day.
    pub writes: Chart,
    pub filter: FilterForm,
    /// A user or a condition is asked for.
    pub is_filtered: bool,
    /// What is asked for makes sense; otherwise the form says what does not.
    pub is_right: bool,
    /// The addresses of the same rows as files: CSV and NDJSON.
    pub exports: [String; 2],
    /// Why the rows could not be found, and what to do.
    pub problem: Option<String>,
    pub grid: RowGrid,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Default)]
pub struct FilterForm {
    /// The scope whose rows are shown; empty: all.
    pub scope: Field,
    pub conditions: Vec<ConditionForm>,
    /// The names of all columns.
    pub columns: Vec<String>,
}

/// A condition on a column.
#[derive(Debug, Clone, Default)]
pub struct ConditionForm {
    pub column: String,
    /// One of [`FilterForm::TESTS`].
    pub test: String,
    pub value: String,
    pub error: Option<String>,
    /// The address of the page without it.
    pub without: String,
}

impl FilterForm {
    /// How a value can be compared, as it stands in addresses and as people read it.
    pub const TESTS: [(&'static str, &'static str); 10] = [
        ("is", "is"),
        ("is-not", "is not"),
        ("contains", "contains"),
        ("starts-with", "begins with"),
        ("less", "is less than"),
        ("at-most", "is at most"),
        ("more", "is more than"),
        ("at-least", "is at least"),
        ("null", "is NULL"),
        ("not-null", "is not NULL"),
    ];

    /// What is asked for, and an empty condition for the next.
    fn lines(&self) -> Vec<ConditionForm> {
        let next = ConditionForm { test: "is".to_owned(), ..ConditionForm::default() };
        self.conditions.iter().cloned().chain([next]).collect()
    }
}

/// A page of a table's rows.
#[derive(Debug, Template)]
#[template(path = "tables/_rows.html")]
pub struct RowGrid {
    pub shell: Shell,
    pub table: String,
    /// The sync key, which stands first in every row.
    pub key: GridColumn,
    /// The other columns.
    pub columns: Vec<GridColumn>,
    /// In order of scope and key.
    pub rows: Vec<GridRow>,
    /// The addresses of the pages around.
    pub first: Option<String>,
    pub previous: Option<String>,
    pub next: Option<String>,
    /// A search has looked at so many rows and ended; there may be more further on.
    pub looked_at: Option<i64>,
    /// It found none of them, and goes on by itself while the page is open.
    pub goes_on: bool,
}

/// A column of the grid.
#[derive(Debug, Clone)]
pub struct GridColumn {
    pub name: String,
    pub ty: String,
}

/// A row of the grid.
#[derive(Debug, Clone)]
pub struct GridRow {
    pub scope: String,
    pub key: String,
    /// The bundle that last touched it.
    pub version: Option<i64>,
    /// In the order of the grid's columns; empty when the row is too large to show.
    pub values: Vec<Value>,
    /// The size in bytes of a row that is too large to show.
    pub too_large: Option<i64>,
}
