//! A CSV file read as rows of a table: every line, or what is wrong with it.

use std::collections::{BTreeMap, HashMap};

use syncline_web::pages::table_import::LineProblem;

use super::{
    csv_cell,
    export::{SCOPE_HEADER, VERSION_HEADER},
    typed,
};
use crate::{
    ids::ScopeId,
    tables::{
        catalog::CatalogTable,
        spec::{ColumnSpec, KeyKind},
    },
};

/// Lines of one file.
pub(super) const MAX_LINES: usize = 50_000;
/// Problems that are kept; more are counted.
const KEPT_PROBLEMS: usize = 100;

/// A line that is a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins in the file, from 1.
    pub(super) line: i64,
    pub(super) key: String,
    /// The version that the file has of it.
    pub(super) version: Option<i64>,
    /// Without the key.
    pub(super) values: Vec<(String, Option<String>)>,
}

/// What is wrong with a file.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) first: Vec<LineProblem>,
    pub(super) count: i64,
}

/// A file that has been read.
#[derive(Debug, Default)]
pub(super) struct ImportFile {
    pub(super) rows: BTreeMap<ScopeId, Vec<Line>>,
    pub(super) problems: Problems,
}

impl Problems {
    pub(super) fn add(&mut self, line: Option<i64>, sentence: impl Into<String>) {
        self.count += 1;
        if self.first.len() < KEPT_PROBLEMS {
            self.first.push(LineProblem { line, sentence: sentence.into() });
        }
    }
}

/// What the columns of a file are.
struct Header<'a> {
    key: KeyKind,
    columns: Vec<HeaderColumn<'a>>,
}

#[derive(Clone, Copy)]
enum HeaderColumn<'a> {
    Scope,
    Version,
    Key,
    Value(&'a ColumnSpec),
}

/// Read the file. `scope`: all rows go there, whatever the file says. `literal`: backslashes are nothing special.
pub(super) fn read(table: &CatalogTable, text: &str, scope: Option<&ScopeId>, literal: bool) -> ImportFile {
    let mut file = ImportFile::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records();
    let first = records.next();
    let names: Vec<String> = match first {
        Some(Ok(record)) => {
            record.iter().map(|name| csv_cell::text_of(name.trim()).unwrap_or("").to_owned()).collect()
        }
        _ => {
            file.problems.add(None, "The file is empty: its first line must name columns.");
            return file;
        }
    };
    let Some(header) = Header::read(table, &names, scope.is_some(), &mut file.problems) else { return file };
    let mut seen: HashMap<(ScopeId, String), i64> = HashMap::new();
    for (number, record) in records.enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map(|position| position.line() as i64);
                file.problems.add(line, "The line is not CSV in UTF-8.");
                continue;
            }
        };
        let line = record.position().map_or(0, |position| position.line() as i64);
        if number >= MAX_LINES {
            file.problems.add(Some(line), format!("A file has at most {MAX_LINES} lines. Split it."));
            break;
        }
        let Some((of, row)) = header.row(&record, line, scope, literal, &mut file.problems) else { continue };
        let before = *seen.entry((of.clone(), row.key.clone())).or_insert(line);
        if before != line {
            file.problems.add(Some(line), format!("Line {before} is the same row already."));
            continue;
        }
        file.rows.entry(of).or_default().push(row);
    }
    file
}

impl<'a> Header<'a> {
    fn read(
        table: &'a CatalogTable,
        names: &[String],
        has_scope: bool,
        problems: &mut Problems,
    ) -> Option<Self> {
        let before = problems.count;
        let mut columns = Vec::new();
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                problems.add(Some(1), format!("The column {name} is named twice."));
            }
            columns.push(match name.as_str() {
                SCOPE_HEADER => HeaderColumn::Scope,
                VERSION_HEADER => HeaderColumn::Version,
                name if name == table.key().column.as_str() => HeaderColumn::Key,
                name => match table.column(name) {
                    Some(column) => HeaderColumn::Value(column),
                    None => {
                        problems.add(Some(1), format!("The table has no column “{name}”."));
                        continue;
                    }
                },
            });
        }
        if !columns.iter().any(|column| matches!(column, HeaderColumn::Key)) {
            problems.add(Some(1), format!("The sync key {} is missing.", table.key().column));
        }
        if !has_scope && !columns.iter().any(|column| matches!(column, HeaderColumn::Scope)) {
            problems.add(
                Some(1),
                format!("Whose rows are they? Name the user, or add the column {SCOPE_HEADER}."),
            );
        }
        (problems.count == before).then_some(Self { key: table.key().kind, columns })
    }

    fn row(
        &self,
        record: &csv::StringRecord,
        line: i64,
        to: Option<&ScopeId>,
        literal: bool,
        problems: &mut Problems,
    ) -> Option<(ScopeId, Line)> {
        if record.len() != self.columns.len() {
            let (has, needs) = (record.len(), self.columns.len());
            problems.add(Some(line), format!("The line has {has} fields; the first line has {needs}."));
            return None;
        }
        let before = problems.count;
        let text = |field: &'_ str| -> Option<String> {
            if literal {
                Some(field.to_owned()).filter(|text| !text.is_empty())
            } else {
                csv_cell::text_of(field).map(str::to_owned)
            }
        };
        let mut row = Line { line, key: String::new(), version: None, values: Vec::new() };
        let mut scope = to.cloned();
        for (column, field) in self.columns.iter().zip(record) {
            match column {
                HeaderColumn::Scope if to.is_some() => {}
                HeaderColumn::Scope => match ScopeId::parse(&text(field).unwrap_or_default()) {
                    Ok(named) => scope = Some(named),
                    Err(invalid) => {
                        problems.add(Some(line), format!("{SCOPE_HEADER} is no user’s id: {invalid}."))
                    }
                },
                HeaderColumn::Version if field.is_empty() => {}
                HeaderColumn::Version => match field.trim().parse() {
                    Ok(version) => row.version = Some(version),
                    Err(_) => {
                        problems.add(Some(line), format!("{VERSION_HEADER} must be a whole number or empty."))
                    }
                },
                HeaderColumn::Key => match read_key(self.key, text(field)) {
                    Ok(key) => row.key = key,
                    Err(sentence) => problems.add(Some(line), sentence),
                },
                HeaderColumn::Value(spec) => match value(spec, field, text(field)) {
                    Ok(value) => row.values.push((spec.name.to_string(), value)),
                    Err(sentence) => problems.add(Some(line), format!("{}: {sentence}", spec.name)),
                },
            }
        }
        (problems.count == before).then_some(())?;
        Some((scope?, row))
    }
}

fn value(column: &ColumnSpec, field: &str, text: Option<String>) -> Result<Option<String>, String> {
    let is_text = csv_cell::is_free_text(column.ty);
    let given = if is_text { text } else { Some(field.to_owned()).filter(|field| !field.trim().is_empty()) };
    match given {
        Some(given) => typed::read(column.ty, &given).map(Some),
        None if column.nullable => Ok(None),
        // A text that cannot be NULL can only be empty.
        None if is_text => typed::read(column.ty, "").map(Some),
        None => Err("It must not be empty.".to_owned()),
    }
}

/// The key in the form that it is kept in.
fn read_key(kind: KeyKind, text: Option<String>) -> Result<String, &'static str> {
    match (kind, text) {
        (_, None) => Err("The key is empty."),
        (KeyKind::Text, Some(text)) => Ok(text),
        (KeyKind::Uuid, Some(text)) => uuid::Uuid::try_parse(text.trim())
            .map(|uuid| uuid.hyphenated().to_string())
            .map_err(|_| "The key must be a UUID."),
    }
}
