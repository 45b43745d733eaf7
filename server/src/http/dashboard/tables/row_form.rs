//! The form of a row: made of a row, and read back into what is to be written.

use syncline_web::{
    forms::Field,
    pages::table_rows::{ColumnField, Control, RowForm},
};

use super::{Cells, cells, key_kind, rows::RowInput, typed};
use crate::{
    http::{dashboard::shapes, dashboard::sign_up::sentence, error::ApiError},
    ids::ScopeId,
    sync::{history::Cell, keys::RowOp, server_write::ServerRow},
    tables::{
        catalog::CatalogTable,
        inspect::BrowsedRow,
        spec::{ColumnSpec, ColumnType, KeyKind},
    },
};

/// What is to be written, and the fields that say so again.
pub(super) struct Change {
    pub(super) scope: ScopeId,
    pub(super) row: ServerRow,
    pub(super) fields: Vec<(String, String)>,
}

/// The form of a row that is there.
pub(super) fn of_row(table: &CatalogTable, row: &BrowsedRow) -> Result<RowForm, ApiError> {
    let Some(payload) = &row.payload else { return Ok(RowForm::default()) };
    let cells = cells(payload)?;
    let columns = others(table).map(|column| {
        let (state, value) = match cells.get(column.name.as_str()) {
            None | Some(Cell::Null) => ("null", String::new()),
            Some(cell) => ("value", cell.clone().into_text()),
        };
        ColumnField { default: None, ..field(table, column, state, value) }
    });
    Ok(RowForm { columns: columns.collect(), ..RowForm::default() })
}

/// The form of a row to be.
pub(super) fn empty(table: &CatalogTable, scope: &str) -> RowForm {
    let columns = others(table).map(|column| {
        let state = match (&column.default, column.nullable) {
            (Some(_), _) => "default",
            (None, true) => "null",
            (None, false) => "value",
        };
        field(table, column, state, String::new())
    });
    RowForm { scope: Field::new(scope), columns: columns.collect(), ..head(table) }
}

fn head(table: &CatalogTable) -> RowForm {
    let key_type = match table.key().kind {
        KeyKind::Uuid => "A UUID that no other row of the user has. Empty: a random one.",
        KeyKind::Text => "A text that no other row of the user has.",
    };
    RowForm {
        key_column: format!("{} ({})", table.key().column, key_kind(table)),
        key_type: key_type.to_owned(),
        ..RowForm::default()
    }
}

/// All columns but the sync key.
fn others(table: &CatalogTable) -> impl Iterator<Item = &ColumnSpec> {
    table.columns().iter().filter(|column| column.name != table.key().column)
}

fn field(table: &CatalogTable, column: &ColumnSpec, state: &str, value: String) -> ColumnField {
    let reference = table.spec.foreign_keys.iter().find(|key| key.column == column.name);
    ColumnField {
        name: column.name.to_string(),
        ty: column.ty.sql(),
        control: match column.ty {
            ColumnType::Boolean => Control::Boolean,
            ColumnType::Text | ColumnType::Json | ColumnType::Jsonb | ColumnType::Bytea => Control::Area,
            _ => Control::Line,
        },
        nullable: column.nullable,
        default: column.default.as_ref().map(shapes::default_text),
        reference: reference.map(|key| key.parent.to_string()),
        state: state.to_owned(),
        value,
        hint: typed::hint(column.ty).to_owned(),
        error: None,
    }
}

/// The value that was typed: None where the form leaves the column alone; Some(None) for NULL.
pub(super) fn typed_value(input: &RowInput, column: &ColumnSpec) -> Option<Option<String>> {
    let name = column.name.as_str();
    match input.states.get(name).map(String::as_str) {
        Some("null") => Some(None),
        Some("default") => None,
        _ => input.values.get(name).map(|typed| Some(typed.clone())),
    }
}

/// What the form says, compared with the row as it is; or the form with what is wrong in it.
pub(super) fn read(
    table: &CatalogTable,
    input: &RowInput,
    op: RowOp,
    now: Option<&BrowsedRow>,
) -> Result<Change, Box<RowForm>> {
    let mut form = RowForm { scope: Field::new(&input.scope), key: Field::new(&input.key), ..head(table) };
    let scope = ScopeId::parse(&input.scope)
        .map_err(|invalid| form.scope.reject(format!("This is no user’s id: {invalid}.")));
    let key = read_key(table, &input.key).map_err(|sentence| form.key.reject(sentence));
    let mut values = Vec::new();
    let mut is_right = true;
    if op != RowOp::Delete {
        for column in others(table) {
            let mut shown = shown_field(table, input, column, op);
            match read_column(input, column) {
                Ok(Some(value)) => values.push((column.name.to_string(), value)),
                Ok(None) => {}
                Err(sentence) => {
                    shown.error = Some(sentence);
                    is_right = false;
                }
            }
            form.columns.push(shown);
        }
    }
    let (Ok(scope), Ok(key), true) = (scope, key, is_right) else { return Err(Box::new(form)) };
    if let Some(now) = now.filter(|_| op == RowOp::Update) {
        let now = cells_of(now);
        values.retain(|(name, value)| differs(table, now.as_ref(), name, value.as_deref()));
        if values.is_empty() {
            form.error = Some("Nothing is changed yet: the row is like this already.".to_owned());
            return Err(Box::new(form));
        }
    }
    let fields = fields(op, &scope, &key, &input.base, &values);
    let base_row_version = if op == RowOp::Insert { None } else { input.base.parse().ok() };
    let row = ServerRow { table: table.name().to_string(), key, op, values, base_row_version };
    Ok(Change::new(scope, row, fields))
}

fn shown_field(table: &CatalogTable, input: &RowInput, column: &ColumnSpec, op: RowOp) -> ColumnField {
    let name = column.name.as_str();
    let state = input.states.get(name).map_or("value", String::as_str);
    let shown = field(table, column, state, input.values.get(name).cloned().unwrap_or_default());
    ColumnField { default: shown.default.filter(|_| op == RowOp::Insert), ..shown }
}

fn read_column(input: &RowInput, column: &ColumnSpec) -> Result<Option<Option<String>>, String> {
    let typed = input.values.get(column.name.as_str()).map_or("", String::as_str);
    match input.states.get(column.name.as_str()).map(String::as_str) {
        Some("null" | "default") if !typed.is_empty() => Err(
            "A value is typed, but something else is chosen beside it: choose “value”, or empty the field."
                .to_owned(),
        ),
        Some("null") if !column.nullable => Err("This column cannot be NULL.".to_owned()),
        _ => match typed_value(input, column) {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(typed)) => typed::read(column.ty, &typed).map(|value| Some(Some(value))),
        },
    }
}

/// A key as it was typed. Text is taken as it is, blanks included.
pub(super) fn read_key(table: &CatalogTable, typed: &str) -> Result<String, String> {
    match table.key().kind {
        KeyKind::Text => Ok(typed.to_owned()),
        KeyKind::Uuid if typed.trim().is_empty() => Ok(uuid::Uuid::now_v7().to_string()),
        KeyKind::Uuid => uuid::Uuid::try_parse(typed.trim())
            .map(|uuid| uuid.hyphenated().to_string())
            .map_err(|_| sentence(&"it must be a UUID such as 0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f")),
    }
}

/// The values of the row, unless it is too large to be looked into.
pub(super) fn cells_of(row: &BrowsedRow) -> Option<Cells> {
    row.payload.as_deref().and_then(|payload| cells(payload).ok())
}

/// Whether the row has another value there. Where that is uncertain, it has.
pub(super) fn differs(table: &CatalogTable, now: Option<&Cells>, name: &str, value: Option<&str>) -> bool {
    let Some(cells) = now else { return true };
    let Some(column) = table.column(name) else { return true };
    match (cells.get(name), value) {
        (None | Some(Cell::Null), value) => value.is_some(),
        (Some(_), None) => true,
        // What is on the wire may be spelt in another way than what is checked and written.
        (Some(cell), Some(value)) => {
            let now = cell.clone().into_text();
            now != value && typed::read(column.ty, &now).as_deref() != Ok(value)
        }
    }
}

fn fields(
    op: RowOp,
    scope: &ScopeId,
    key: &str,
    base: &str,
    values: &[(String, Option<String>)],
) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> =
        [("op", op.as_str()), ("scope", scope.as_str()), ("key", key), ("base", base)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    for (name, value) in values {
        match value {
            None => fields.push((format!("state.{name}"), "null".to_owned())),
            Some(value) => fields.push((format!("value.{name}"), value.clone())),
        }
    }
    fields
}
