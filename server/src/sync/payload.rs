//! Rows as devices send them: parsed from the bytes of a chunk, checked against the catalog, and turned into the
//! canonical JSON that is staged, hashed and applied.

pub(in crate::sync) mod canonical;
pub(in crate::sync) mod json;
mod number;
mod temporal;
mod value;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde::de::DeserializeSeed;

pub use self::value::InvalidValue;
use self::{
    canonical::TableForm,
    json::{JsonRow, Members, Payload, Value},
};
use super::{
    keys::{self, InvalidKey, RowOp},
    server_write::ServerRow,
};
use crate::tables::{
    catalog::{AppCatalog, CatalogTable},
    ident::SCOPE_COLUMN,
    spec::ColumnType,
};

/// Bounds on what a chunk may hold.
#[derive(Debug, Clone, Copy)]
pub struct ChunkLimits {
    pub max_rows: i64,
    /// Bytes of one row as a snapshot has it: no device could read a larger one.
    pub max_row_bytes: i64,
}

/// The rows of a chunk that passed every check, as `_sync_push_stage` takes them: one entry a row in each list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CheckedChunk {
    pub start_row_ordinal: i64,
    pub table_nos: Vec<i32>,
    pub keys: Vec<String>,
    /// `I`, `U` or `D`.
    pub ops: Vec<&'static str>,
    pub base_versions: Vec<i64>,
    /// The rows in canonical JSON, joined by commas: together with those of the other chunks and between brackets
    /// this is what the request hash is taken over.
    pub rows: String,
}

impl CheckedChunk {
    /// The place in the push, and in the chunk, of its row number `place`.
    fn ordinal(&self, place: usize) -> Place {
        Place { ordinal: self.start_row_ordinal.saturating_add(place as i64), place }
    }

    /// The refusal of a row that the push has already.
    pub(in crate::sync) fn duplicate(&self, app: &AppCatalog, table_no: i32, key: &str) -> InvalidRow {
        let mut rows = self.table_nos.iter().zip(&self.keys);
        let place = rows.rposition(|(no, of_row)| *no == table_no && of_row == key).unwrap_or_default();
        let table = app.table_no(table_no).map(|table| table.name().as_str());
        invalid_row(self.ordinal(place), table, None, InvalidRowReason::DuplicateRow)
    }
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
struct Place {
    ordinal: i64,
    place: usize,
}

/// Why a chunk is refused. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChunk {
    #[error("The body is not valid UTF-8.")]
    NotUtf8,
    /// No JSON, or not a chunk; with line and column.
    #[error("The body is not a chunk: {0}.")]
    NotAChunk(String),
    #[error("start_row_ordinal must be a whole number from 0.")]
    Start,
    #[error("A chunk must have at least one row.")]
    Empty,
    #[error("A chunk must have at most {max} rows.")]
    TooManyRows { max: i64 },
    #[error(transparent)]
    Row(Box<InvalidRow>),
}

/// A row that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct InvalidRow {
    /// Place in the push, from 0.
    pub ordinal: i64,
    /// Place in the chunk, from 0.
    pub place: usize,
    /// As the device named it, cut to a bound.
    pub table: Option<String>,
    pub column: Option<String>,
    pub reason: InvalidRowReason,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRowReason {
    #[error("there is no schema \"{given}\"; this app's is \"{expected}\"")]
    UnknownSchema { given: String, expected: String },
    #[error("there is no such table")]
    UnknownTable,
    #[error("the table has no such column")]
    UnknownColumn,
    #[error("names that begin with _sync_ belong to the server")]
    ReservedColumn,
    #[error("the column is named twice")]
    RepeatedColumn,
    #[error("op must be INSERT, UPDATE or DELETE")]
    UnknownOp,
    #[error("the key must be an object with the key column and nothing else")]
    KeyShape,
    #[error("the key must be a JSON string")]
    KeyNotString,
    #[error("{0}")]
    Key(#[from] InvalidKey),
    #[error("the payload's key differs from the row's key")]
    KeyDisagrees,
    #[error("base_row_version must be a whole number from 0")]
    BaseRowVersion,
    #[error("{} needs a payload", .0.as_str())]
    PayloadMissing(RowOp),
    #[error("a DELETE must have no payload")]
    PayloadOfDelete,
    #[error("the same row is in this push already")]
    DuplicateRow,
    #[error("the value {0}")]
    Value(#[from] InvalidValue),
    #[error("the row has {bytes} bytes, and devices can read rows of at most {max}")]
    TooLarge { bytes: i64, max: i64 },
}

impl InvalidRow {
    fn sentence(&self) -> String {
        let mut place = format!("Row {}", self.ordinal);
        if let Some(table) = &self.table {
            place.push_str(&format!(", table \"{table}\""));
        }
        if let Some(column) = &self.column {
            place.push_str(&format!(", column \"{column}\""));
        }
        format!("{place}: {}.", self.reason)
    }
}

impl From<InvalidRow> for InvalidChunk {
    fn from(row: InvalidRow) -> Self {
        Self::Row(Box::new(row))
    }
}

/// Parse the body of a chunk and check every row of it.
///
/// # Errors
/// The first thing that is wrong, in the order of the body.
pub fn check_chunk(app: &AppCatalog, limits: ChunkLimits, body: &[u8]) -> Result<CheckedChunk, InvalidChunk> {
    let ChunkLimits { max_rows, max_row_bytes } = limits;
    let text = std::str::from_utf8(body).map_err(|_| InvalidChunk::NotUtf8)?;
    // Both closures below need them, one after the other.
    let refused = std::cell::RefCell::new(None);
    let checker = std::cell::RefCell::new(RowChecker::new(app, max_row_bytes, text.len()));

    let mut start = |value: Value<'_>| match whole_number(&value) {
        Some(start) => {
            checker.borrow_mut().chunk.start_row_ordinal = start;
            true
        }
        None => {
            *refused.borrow_mut() = Some(InvalidChunk::Start);
            false
        }
    };
    let mut each = |row: JsonRow<'_>| {
        let mut checker = checker.borrow_mut();
        let checked = if checker.chunk.keys.len() as i64 >= max_rows {
            Err(InvalidChunk::TooManyRows { max: max_rows })
        } else {
            checker.row(&row).map_err(InvalidChunk::from)
        };
        checked.map_err(|error| *refused.borrow_mut() = Some(error)).is_ok()
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = json::ChunkBody { start: &mut start, each: &mut each }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (parsed, refused.into_inner()) {
        (_, Some(refused)) => Err(refused),
        (Err(error), None) => Err(InvalidChunk::NotAChunk(brief(&error))),
        (Ok(()), None) => checker.into_inner().finish(),
    }
}

/// An error's text, cut if it quotes a long input.
fn brief(error: &serde_json::Error) -> String {
    const KEEP: usize = 200;
    let text = error.to_string();
    if text.chars().count() <= 2 * KEEP {
        return text;
    }
    let head: String = text.chars().take(KEEP).collect();
    format!("{head} … at line {} column {}", error.line(), error.column())
}

/// A number of the protocol's own (an ordinal, a version): digits, from 0 to what a `bigint` holds.
fn whole_number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(text) => text.parse().ok().filter(|number| *number >= 0 && !text.starts_with('-')),
        _ => None,
    }
}

/// Checks row after row and writes what has passed.
pub(in crate::sync) struct RowChecker<'c> {
    app: &'c AppCatalog,
    forms: HashMap<i32, TableForm>,
    max_row_bytes: i64,
    chunk: CheckedChunk,
    /// Room for one row's values by the number of their column; and for decoded bytes.
    scratch: Vec<u8>,
}

impl<'c> RowChecker<'c> {
    fn new(app: &'c AppCatalog, max_row_bytes: i64, body_bytes: usize) -> Self {
        let chunk = CheckedChunk { rows: String::with_capacity(body_bytes), ..CheckedChunk::default() };
        Self { app, forms: HashMap::new(), max_row_bytes, chunk, scratch: Vec::new() }
    }

    fn row(&mut self, row: &JsonRow<'_>) -> Result<(), InvalidRow> {
        let ordinal = self.chunk.ordinal(self.chunk.keys.len());
        let refuse = |table: Option<&str>, reason| invalid_row(ordinal, table, None, reason);

        if row.schema != self.app.logical_schema.as_str() {
            let (given, expected) = (cut(&row.schema), self.app.logical_schema.to_string());
            return Err(refuse(None, InvalidRowReason::UnknownSchema { given, expected }));
        }
        let app = self.app;
        let table =
            app.table(&row.table).ok_or_else(|| refuse(Some(&row.table), InvalidRowReason::UnknownTable))?;
        let refuse = |reason| invalid_row(ordinal, Some(table.name().as_str()), None, reason);
        let op = RowOp::parse(&row.op).ok_or_else(|| refuse(InvalidRowReason::UnknownOp))?;
        let key = check_key(table, &row.key).map_err(refuse)?;
        let base_version =
            whole_number(&row.base_row_version).ok_or_else(|| refuse(InvalidRowReason::BaseRowVersion))?;
        let values = match (&row.payload, op) {
            (Payload::Row(_), RowOp::Delete) => return Err(refuse(InvalidRowReason::PayloadOfDelete)),
            (Payload::None, RowOp::Delete) => None,
            (Payload::None, _) => return Err(refuse(InvalidRowReason::PayloadMissing(op))),
            (Payload::Row(members), _) => Some(self.check_payload(table, key, members, ordinal)?),
        };

        let begins = self.chunk.rows.len();
        self.write(table, op, key, base_version, values.as_deref(), ordinal.ordinal);
        let bytes = as_in_snapshot(&self.chunk.rows[begins..], op, ordinal.ordinal);
        if bytes > self.max_row_bytes {
            return Err(refuse(InvalidRowReason::TooLarge { bytes, max: self.max_row_bytes }));
        }
        self.chunk.table_nos.push(table.table_no());
        self.chunk.keys.push(key.to_owned());
        self.chunk.ops.push(op.letter());
        self.chunk.base_versions.push(base_version);
        Ok(())
    }

    /// The values by their column's place in the catalog.
    fn check_payload<'v, 'a>(
        &mut self,
        table: &CatalogTable,
        key: &str,
        members: &'v Members<'a>,
        ordinal: Place,
    ) -> Result<Vec<Option<&'v Value<'a>>>, InvalidRow> {
        let columns = table.columns();
        let mut values: Vec<Option<&Value<'a>>> = vec![None; columns.len()];
        let refuse =
            |name: &str, reason| invalid_row(ordinal, Some(table.name().as_str()), Some(name), reason);
        let mut expected = 0;
        for (name, value) in &members.0 {
            // Clients send the columns of every row in the same order, mostly that of the table.
            let is_it = |i: &usize| columns[*i].name.as_str() == name;
            let found = (expected..columns.len()).chain(0..expected).find(is_it);
            let Some(i) = found else {
                return Err(if name.eq_ignore_ascii_case(SCOPE_COLUMN) {
                    invalid_row(ordinal, Some(table.name().as_str()), None, InvalidRowReason::ReservedColumn)
                } else {
                    refuse(name, InvalidRowReason::UnknownColumn)
                });
            };
            expected = i + 1;
            if values[i].replace(value).is_some() {
                return Err(refuse(name, InvalidRowReason::RepeatedColumn));
            }
            value::check(self.app.profile, columns[i].ty, value, &mut self.scratch)
                .map_err(|reason| refuse(name, reason.into()))?;
            let is_key = columns[i].name == table.key().column;
            if is_key && !matches!(value, Value::Text(text) if text == key) {
                return Err(refuse(name, InvalidRowReason::KeyDisagrees));
            }
        }
        Ok(values)
    }

    /// Append the row to the staged text: members sorted, as the request hash wants them.
    fn write(
        &mut self,
        table: &CatalogTable,
        op: RowOp,
        key: &str,
        base_version: i64,
        values: Option<&[Option<&Value<'_>>]>,
        ordinal: i64,
    ) {
        let logical_schema = &self.app.logical_schema;
        let form =
            self.forms.entry(table.table_no()).or_insert_with(|| TableForm::new(logical_schema, table));
        let out = &mut self.chunk.rows;
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str("{\"base_row_version\":\"");
        out.push_str(&base_version.to_string());
        out.push_str(&form.key_head);
        canonical::push_string(out, key);
        out.push_str("},\"op\":\"");
        out.push_str(op.as_str());
        out.push_str("\",\"payload\":");
        match values {
            None => out.push_str("null"),
            Some(values) => {
                out.push('{');
                let present = form.members.iter().filter_map(|(i, name)| Some((name, values[*i]?)));
                for (n, (name, value)) in present.enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    push_value(out, value);
                }
                out.push('}');
            }
        }
        out.push_str(",\"row_ordinal\":\"");
        out.push_str(&ordinal.to_string());
        out.push_str(&form.tail);
    }

    fn finish(self) -> Result<CheckedChunk, InvalidChunk> {
        let chunk = self.chunk;
        if chunk.keys.is_empty() {
            return Err(InvalidChunk::Empty);
        }
        let mut seen = HashSet::with_capacity(chunk.keys.len());
        for (table_no, key) in chunk.table_nos.iter().zip(&chunk.keys) {
            if !seen.insert((table_no, key)) {
                return Err(chunk.duplicate(self.app, *table_no, key).into());
            }
        }
        Ok(chunk)
    }
}

/// About the bytes that a staged row will have in a snapshot, which names neither operation nor ordinal. Exact but for the
/// digits of its version and for values that PostgreSQL spells otherwise; the database checks what it has stored
/// (`migrations/app/0019_existing_clients.sql`).
fn as_in_snapshot(staged: &str, op: RowOp, ordinal: i64) -> i64 {
    let staged = staged.strip_prefix(',').unwrap_or(staged);
    // `"base_row_version":"…"` against `"row_version":…`.
    let left_out = "base_\"\"".len()
        + "\"op\":\"\",".len()
        + op.as_str().len()
        + "\"row_ordinal\":\"\",".len()
        + ordinal.to_string().len();
    (staged.len() - left_out) as i64
}

/// Check a value that a person typed: as those of a [`ServerRow`] are checked.
pub fn check_typed(ty: ColumnType, text: &str) -> Result<(), InvalidValue> {
    value::check_typed(ty, text)
}

/// Check a row of the server's own; `is_new`: it is not in the same write already.
pub(in crate::sync) fn check_server_row(
    app: &AppCatalog,
    place: usize,
    row: &ServerRow,
    is_new: bool,
) -> Result<(), InvalidRow> {
    let place = Place { ordinal: place as i64, place };
    let named = Some(row.table.as_str());
    let table = app
        .table(&row.table)
        .ok_or_else(|| invalid_row(place, named, None, InvalidRowReason::UnknownTable))?;
    let refuse = |reason| Err(invalid_row(place, named, None, reason));
    if let Err(reason) = keys::check_key(table.key().kind, &row.key) {
        return refuse(reason.into());
    }
    if !is_new {
        return refuse(InvalidRowReason::DuplicateRow);
    }
    if row.op == RowOp::Delete && !row.values.is_empty() {
        return refuse(InvalidRowReason::PayloadOfDelete);
    }
    let mut seen = HashSet::with_capacity(row.values.len());
    for (name, value) in &row.values {
        let refuse = |reason| Err(invalid_row(place, named, Some(name), reason));
        if name.eq_ignore_ascii_case(SCOPE_COLUMN) {
            return Err(invalid_row(place, named, None, InvalidRowReason::ReservedColumn));
        }
        let Some(column) = table.column(name) else { return refuse(InvalidRowReason::UnknownColumn) };
        if !seen.insert(name) {
            return refuse(InvalidRowReason::RepeatedColumn);
        }
        if column.name == table.key().column && value.as_ref() != Some(&row.key) {
            return refuse(InvalidRowReason::KeyDisagrees);
        }
        if let Some(Err(reason)) = value.as_deref().map(|text| value::check_typed(column.ty, text)) {
            return refuse(reason.into());
        }
    }
    Ok(())
}

fn invalid_row(
    place: Place,
    table: Option<&str>,
    column: Option<&str>,
    reason: InvalidRowReason,
) -> InvalidRow {
    InvalidRow {
        ordinal: place.ordinal,
        place: place.place,
        table: table.map(cut),
        column: column.map(cut),
        reason,
    }
}

/// As much of a name that a device sent as anybody wants to read.
fn cut(name: &str) -> String {
    name.chars().take(80).collect()
}

/// The text of the key column, which must be the only member.
fn check_key<'v>(table: &CatalogTable, key: &'v Members<'_>) -> Result<&'v str, InvalidRowReason> {
    match key.0.as_slice() {
        [(name, Value::Text(text))] if name == table.key().column.as_str() => {
            keys::check_key(table.key().kind, text)?;
            Ok(text)
        }
        [(name, _)] if name == table.key().column.as_str() => Err(InvalidRowReason::KeyNotString),
        _ => Err(InvalidRowReason::KeyShape),
    }
}

fn push_value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(text) => out.push_str(text),
        Value::Text(text) => canonical::push_string(out, text),
        Value::Composite => unreachable!("BUG: no column takes an object or array"),
    }
}

/// An object as JSON text.
pub(in crate::sync) fn members_text(members: &Members<'_>) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in members.0.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        canonical::push_string(&mut out, name);
        out.push(':');
        push_value(&mut out, value);
    }
    out.push('}');
    out
}

impl<'a> Value<'a> {
    /// The value as PostgreSQL's input functions take it; None for NULL.
    pub(in crate::sync) fn into_sql_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Null | Self::Composite => None,
            Self::Bool(value) => Some(Cow::Borrowed(if value { "1" } else { "0" })),
            Self::Number(text) => Some(Cow::Borrowed(text)),
            Self::Text(text) => Some(text),
        }
    }
}

#[cfg(test)]
mod tests;
