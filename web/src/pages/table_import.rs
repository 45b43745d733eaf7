//! Rows from a CSV file: pasted or chosen, looked at, written.

use askama::Template;
use serde::Deserialize;

use crate::{
    filters,
    forms::{Field, Ticked},
    links,
    shell::{Area, Shell},
};

/// The form, and what came of the file.
#[derive(Debug, Template)]
#[template(path = "tables/import.html")]
pub struct ImportPage {
    pub shell: Shell,
    pub table: String,
    pub key_column: String,
    /// Of the table, the key among them.
    pub columns: Vec<String>,
    pub form: ImportForm,
    pub outcome: ImportOutcome,
}

/// What is posted. Bigger than other forms.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ImportInput {
    pub scope: String,
    pub csv: String,
    /// A backslash at the beginning of a text is part of it.
    pub literal: Ticked,
    /// What a dry run has shown.
    pub seen: String,
}

/// The form as it was filled in.
#[derive(Debug, Clone, Default)]
pub struct ImportForm {
    pub scope: Field,
    pub csv: Field,
    pub literal: bool,
}

impl From<&ImportInput> for ImportForm {
    fn from(input: &ImportInput) -> Self {
        Self { scope: Field::new(&input.scope), csv: Field::new(&input.csv), literal: input.literal.0 }
    }
}

/// What came of the file.
#[derive(Debug, Clone, Default)]
pub enum ImportOutcome {
    #[default]
    None,
    /// What would be written, or why nothing can be.
    DryRun(DryRun),
    /// What was written.
    Done(ImportReport),
}

/// What an import would do.
#[derive(Debug, Clone, Default)]
pub struct DryRun {
    pub inserts: i64,
    pub updates: i64,
    pub unchanged: i64,
    /// Users whose rows change.
    pub scopes: i64,
    /// The first lines that do something.
    pub lines: Vec<ImportLine>,
    /// The first problems; nothing is written while there is one.
    pub problems: Vec<LineProblem>,
    pub problem_count: i64,
    /// The rows had changed since the last dry run.
    pub is_renewed: bool,
    /// Rules of the database were tried for so many users, of more.
    pub tried_scopes: Option<i64>,
    /// What the person has seen, for the form that writes.
    pub seen: String,
}

/// A line that does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportLine {
    pub line: i64,
    pub scope: String,
    pub key: String,
    pub is_insert: bool,
    /// The columns that are written.
    pub columns: Vec<String>,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineProblem {
    /// None: the file as a whole.
    pub line: Option<i64>,
    pub sentence: String,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct ImportReport {
    pub bundles: Vec<WrittenPart>,
    pub rows: i64,
    /// Why it stopped half-way, and what was not written.
    pub stopped: Option<String>,
}

/// A bundle of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPart {
    pub scope: String,
    pub seq: i64,
    pub rows: i64,
}

impl DryRun {
    /// Nothing was found in the file, not even a problem.
    fn is_empty(&self) -> bool {
        self.inserts == 0 && self.updates == 0 && self.unchanged == 0 && self.problem_count == 0
    }

    fn can_be_written(&self) -> bool {
        self.problem_count == 0 && self.inserts + self.updates > 0
    }
}
