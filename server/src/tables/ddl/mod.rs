//! `CREATE TABLE` text, of SQLite or PostgreSQL, becomes an app's tables, or a list of problems.
//!
//! The text is read by the `sqlparser` crate. What it says is then mapped, never run: types to PostgreSQL's, defaults
//! and checks to trees that both databases evaluate alike, the primary key to the sync key. Whatever has no faithful
//! counterpart is a [`Problem`] with its place, the reason and a way out; whatever is left to the devices is a remark.

mod checks;
mod columns;
mod defaults;
mod draft;
mod reader;
mod resolve;
mod statements;
mod types;

use serde::Serialize;
use sqlparser::tokenizer::{Location, Span};

use super::{
    ident::Ident,
    spec::{AppSpec, ColumnType, TableSpec},
};

/// Bounds on submitted text: generous for schemas, tight enough that reading one takes milliseconds.
pub const MAX_TEXT_BYTES: usize = 512 * 1024;
pub const MAX_TABLES: usize = 500;
pub const MAX_COLUMNS: usize = 300;
/// Constraints and indexes of one table, each kind.
const MAX_CONSTRAINTS: usize = 64;
/// Nobody reads on after these.
const MAX_PROBLEMS: usize = 100;
/// PostgreSQL's 32 columns of an index, less the scope.
const MAX_INDEX_COLUMNS: usize = 31;

/// The language of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    Sqlite,
    Postgresql,
}

impl Dialect {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgresql => "PostgreSQL",
        }
    }
}

/// What a text says, and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedSchema {
    /// As told, or as found out.
    pub dialect: Dialect,
    /// The tables of the text, in its order. `table_no` is 0: a plan gives the numbers.
    pub tables: Vec<TableSpec>,
    /// A line for every column of the text.
    pub mappings: Vec<Mapping>,
    /// What was left out or adjusted without a consequence for devices.
    pub notes: Vec<Remark>,
    /// What works, but perhaps not as the author thinks.
    pub warnings: Vec<Remark>,
}

/// What a column was declared as and what it became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    pub table: Ident,
    pub column: Ident,
    /// As in the text, in capitals.
    pub declared: String,
    #[serde(serialize_with = "serialize_type")]
    pub ty: ColumnType,
}

fn serialize_type<S: serde::Serializer>(ty: &ColumnType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(ty)
}

/// A sentence about a place in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    pub text: String,
}

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// A sentence without its full stop: what is wrong.
    pub reason: String,
    /// A sentence: what to do about it.
    pub remedy: String,
}

/// Read `text`. `dialect`: None finds out. `known`: the app's present tables, to which the text may refer and to which
/// it may add columns; tables of the text replace those of the same name as a whole.
///
/// # Errors
/// All problems found, in the order of the text.
pub fn parse(text: &str, dialect: Option<Dialect>, known: &AppSpec) -> Result<ParsedSchema, Vec<Problem>> {
    let (dialect, statements) = statements::split(text, dialect).map_err(|problem| vec![problem])?;
    let mut report = Report::default();
    let drafts = reader::read(dialect, statements, known, &mut report);
    let resolved = resolve::resolve(dialect, drafts, known, &mut report);
    report.problems.sort_by_key(|problem| (problem.line, problem.column));
    report.problems.dedup();
    report.problems.truncate(MAX_PROBLEMS);
    if resolved.tables.is_empty() && report.problems.is_empty() {
        report.problem(
            At::START,
            "there is no CREATE TABLE statement in the text",
            "Paste the CREATE TABLE statements of your app's SQLite database.",
        );
    }
    if !report.problems.is_empty() {
        return Err(report.problems);
    }
    let (tables, mappings) = (resolved.tables, resolved.mappings);
    Ok(ParsedSchema { dialect, tables, mappings, notes: report.notes, warnings: report.warnings })
}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    line: u64,
    column: u64,
}

impl At {
    const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        Self { line: location.line.max(1), column: location.column.max(1) }
    }
}

impl From<Span> for At {
    fn from(span: Span) -> Self {
        span.start.into()
    }
}

/// What is said about a text while it is read.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<Problem>,
    notes: Vec<Remark>,
    warnings: Vec<Remark>,
}

impl Report {
    fn problem(&mut self, at: At, reason: impl Into<String>, remedy: impl Into<String>) {
        let At { line, column } = at;
        self.problems.push(Problem { line, column, reason: reason.into(), remedy: remedy.into() });
    }

    fn refuse(&mut self, at: At, refusal: Refusal) {
        self.problem(at, refusal.reason, refusal.remedy);
    }

    fn note(&mut self, at: At, text: impl Into<String>) {
        self.notes.push(Remark { line: at.line, column: at.column, text: text.into() });
    }

    fn warn(&mut self, at: At, text: impl Into<String>) {
        self.warnings.push(Remark { line: at.line, column: at.column, text: text.into() });
    }
}

/// A problem whose place the caller knows.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    reason: String,
    remedy: String,
}

impl Refusal {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}
