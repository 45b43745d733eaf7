//! An app's tables as pages show them.

use syncline_web::pages::tables::{ColumnShape, ForeignKey, TableShape};

use crate::tables::{
    ddl::Mapping,
    ident::Ident,
    plan::Change,
    spec::{ColumnSpec, DefaultValue, ForeignKeyAction, TableSpec},
};

/// What a table is made of.
pub(super) fn table(spec: &TableSpec) -> TableShape {
    let list = |columns: &[Ident]| columns.iter().map(Ident::as_str).collect::<Vec<_>>().join(", ");
    let uniques = spec.uniques.iter().map(|columns| format!("UNIQUE ({})", list(columns)));
    let checks = spec.checks.iter().map(|check| format!("CHECK ({})", check.sql()));
    let indexes = spec.indexes.iter().map(|columns| format!("INDEX ({})", list(columns)));
    TableShape {
        name: spec.name.to_string(),
        is_new: false,
        columns: spec.columns.iter().map(|column| column_of(spec, column)).collect(),
        rules: uniques.chain(checks).chain(indexes).collect(),
    }
}

fn column_of(table: &TableSpec, column: &ColumnSpec) -> ColumnShape {
    let reference = table.foreign_keys.iter().find(|key| key.column == column.name).map(|key| ForeignKey {
        table: key.parent.to_string(),
        on_delete: (key.on_delete != ForeignKeyAction::NoAction).then(|| key.on_delete.sql().to_owned()),
    });
    ColumnShape {
        name: column.name.to_string(),
        declared: None,
        ty: column.ty.sql(),
        is_key: table.key.column == column.name,
        is_new: false,
        nullable: column.nullable,
        default: column.default.as_ref().map(default_text),
        reference,
    }
}

/// The same, with what each column was declared as and what of it is new.
pub(super) fn submitted_table(spec: &TableSpec, mappings: &[Mapping], changes: &[Change]) -> TableShape {
    let mut shape = table(spec);
    shape.is_new =
        changes.iter().any(|change| matches!(change, Change::CreateTable { table } if *table == spec.name));
    for column in &mut shape.columns {
        column.declared = mappings
            .iter()
            .find(|mapping| mapping.table == spec.name && mapping.column.as_str() == column.name)
            .map(|mapping| mapping.declared.clone());
        column.is_new = changes.iter().any(|change| {
            matches!(change, Change::AddColumn { table, column: added }
                if *table == spec.name && added.as_str() == column.name)
        });
    }
    shape
}

/// What a step of a plan does, without its full stop.
pub(super) fn change(change: &Change) -> String {
    let list = |columns: &[Ident]| columns.iter().map(Ident::as_str).collect::<Vec<_>>().join(", ");
    match change {
        Change::CreateTable { table } => format!("Adds table {table}"),
        Change::AddColumn { table, column } => format!("Adds column {column} to {table}"),
        Change::AddForeignKey { table, key } => {
            format!("Adds a foreign key from {table}.{} to {}", key.column, key.parent)
        }
        Change::AddUnique { table, columns } => format!("Makes {} unique in {table}", list(columns)),
        Change::AddIndex { table, columns } => format!("Adds an index on {table} ({})", list(columns)),
        Change::AddCheck { table, check } => format!("Checks {check} in {table}"),
    }
}

pub(super) fn default_text(default: &DefaultValue) -> String {
    match default {
        DefaultValue::Boolean(value) => value.to_string(),
        DefaultValue::Number(text) => text.clone(),
        DefaultValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
        DefaultValue::Bytes(hex) => format!("x'{hex}'"),
        DefaultValue::CurrentTimestamp => "the time".to_owned(),
        DefaultValue::CurrentIsoTimestamp => "the time, ISO 8601".to_owned(),
        DefaultValue::CurrentDate => "the date".to_owned(),
        DefaultValue::CurrentTime => "the time of day".to_owned(),
        DefaultValue::UnixEpoch => "seconds since 1970".to_owned(),
        DefaultValue::RandomUuid => "a random UUID".to_owned(),
    }
}
