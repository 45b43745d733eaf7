//! From drafts to specs: every table has its sync key, every reference a target of the right type, and every
//! default and check a form that both databases share.

use std::collections::HashMap;

use super::{
    Dialect, MAX_CONSTRAINTS, MAX_INDEX_COLUMNS, Mapping, Refusal, Report, checks,
    defaults::{self, Converted},
    draft::{Columns, Draft, ForeignKeyDraft},
};
use crate::tables::{
    check::CheckExpr,
    ident::Ident,
    spec::{AppSpec, ColumnSpec, ColumnType, ForeignKeyAction, ForeignKeySpec, KeyKind, SyncKey, TableSpec},
};

/// The tables of the text, in its order.
pub(super) struct Resolved {
    pub(super) tables: Vec<TableSpec>,
    pub(super) mappings: Vec<Mapping>,
}

pub(super) fn resolve(
    dialect: Dialect,
    mut drafts: Vec<Draft>,
    known: &AppSpec,
    report: &mut Report,
) -> Resolved {
    let mut keys: HashMap<Ident, Option<SyncKey>> =
        known.tables.iter().map(|table| (table.name.clone(), Some(table.key.clone()))).collect();
    for draft in &mut drafts {
        let key = sync_key(dialect, draft, report);
        keys.insert(draft.name.clone(), key);
    }
    let mut resolved = Resolved { tables: Vec::new(), mappings: Vec::new() };
    for mut draft in drafts {
        let foreign_keys = foreign_keys(&mut draft, &keys, report);
        set_defaults(dialect, &mut draft, report);
        refuse_impossible_actions(&draft, &foreign_keys, report);
        let uniques = column_lists(&draft, &draft.uniques, "UNIQUE", report);
        let indexes = column_lists(&draft, &draft.indexes, "index", report);
        let checks = table_checks(dialect, &draft, report);
        let Some(Some(key)) = keys.get(&draft.name) else { continue };
        let name = draft.name.clone();
        resolved.mappings.extend(draft.columns.iter().filter_map(|column| {
            let (declared, ty) = (column.declared.clone()?, column.spec.ty);
            Some(Mapping { table: name.clone(), column: column.spec.name.clone(), declared, ty })
        }));
        // The key alone is unique already.
        let uniques = uniques.into_iter().filter(|columns| *columns != [key.column.clone()]).collect();
        resolved.tables.push(TableSpec {
            name,
            table_no: 0,
            key: key.clone(),
            columns: draft.columns.into_iter().map(|column| column.spec).collect(),
            uniques,
            indexes,
            foreign_keys,
            checks,
        });
    }
    resolved
}

/// Exactly one PRIMARY KEY on one column that holds a uuid or a text, which devices can make without asking.
fn sync_key(dialect: Dialect, draft: &mut Draft, report: &mut Report) -> Option<SyncKey> {
    let table = draft.name.clone();
    let advice = match dialect {
        Dialect::Sqlite => {
            "Give it one key column: id TEXT PRIMARY KEY NOT NULL (or BLOB, for binary UUIDs)."
        }
        Dialect::Postgresql => "Give it one key column: id uuid PRIMARY KEY (or text).",
    };
    let (column, at) = match draft.keys.as_slice() {
        [] => {
            report.problem(
                draft.at,
                format!("table {table} has no primary key, so devices cannot name its rows"),
                advice,
            );
            return None;
        }
        [Columns { names, at }] if names.len() == 1 => (names[0].clone(), *at),
        [Columns { names, at }] => {
            let reason =
                format!("the primary key of {table} has {} columns, and a sync key is one", names.len());
            report.problem(*at, reason, format!("{advice} Make the present columns UNIQUE together."));
            return None;
        }
        [_, second, ..] => {
            report.problem(
                second.at,
                format!("table {table} has two primary keys"),
                "Leave one of them out.",
            );
            return None;
        }
    };
    let Some(draft_column) = draft.columns.iter_mut().find(|known| known.spec.name == column) else {
        report.problem(
            at,
            format!("the primary key of {table} is {column}, and there is no such column"),
            "Add it.",
        );
        return None;
    };
    if draft_column.ignores_case {
        let reason = format!("the key of {table} ignores case, but the server tells \"a\" from \"A\"");
        report.problem(at, reason, "Leave COLLATE out of the key.");
        return None;
    }
    let (kind, ty) = match draft_column.spec.ty {
        ColumnType::Uuid => (KeyKind::Uuid, ColumnType::Uuid),
        ColumnType::Bytea if dialect == Dialect::Sqlite => (KeyKind::Uuid, ColumnType::Uuid),
        ColumnType::Text | ColumnType::Varchar { .. } => (KeyKind::Text, ColumnType::Text),
        ty if ty.is_integer() => {
            let reason = format!(
                "the key of {table} is an integer, and two devices that are offline would give the same one to \
                 different rows"
            );
            report.problem(at, reason, format!("{advice} Fill it with a UUID."));
            return None;
        }
        ty => {
            report.problem(at, format!("the key of {table} is {ty}; a sync key is a uuid or a text"), advice);
            return None;
        }
    };
    if draft_column.spec.nullable && draft_column.declared.is_some() && dialect == Dialect::Sqlite {
        let text =
            format!("{table}.{column} is NOT NULL on the server. SQLite lets a key be NULL: add NOT NULL.");
        report.note(at, text);
    }
    draft_column.spec.nullable = false;
    draft_column.spec.ty = ty;
    Some(SyncKey { column, kind })
}

fn foreign_keys(
    draft: &mut Draft,
    keys: &HashMap<Ident, Option<SyncKey>>,
    report: &mut Report,
) -> Vec<ForeignKeySpec> {
    let mut specs: Vec<ForeignKeySpec> = Vec::new();
    for key in std::mem::take(&mut draft.foreign_keys) {
        let at = key.at;
        match foreign_key(draft, key, keys) {
            Ok(Some(spec)) => {
                let twice =
                    specs.iter().find(|known| known.column == spec.column && known.parent == spec.parent);
                match twice {
                    None => specs.push(spec),
                    Some(known) if *known == spec => {}
                    Some(_) => report.problem(
                        at,
                        format!("{} refers to {} twice, with different actions", spec.column, spec.parent),
                        "Leave one of the two out.",
                    ),
                }
            }
            // The parent has a problem of its own, which is reported.
            Ok(None) => {}
            Err(refusal) => report.refuse(at, refusal),
        }
    }
    limit(draft, "foreign keys", specs.len(), report);
    for spec in &specs {
        if matches!(spec.on_update, ForeignKeyAction::SetNull | ForeignKeyAction::SetDefault) {
            report.warn(
                draft.at,
                format!(
                    "{}.{}: ON UPDATE {} works on devices only. Devices never change a key in place, and SQL on the \
                     server may not while rows refer to it.",
                    draft.name,
                    spec.column,
                    spec.on_update.sql().to_ascii_uppercase()
                ),
            );
        }
    }
    specs
}

fn foreign_key(
    draft: &mut Draft,
    key: ForeignKeyDraft,
    keys: &HashMap<Ident, Option<SyncKey>>,
) -> Result<Option<ForeignKeySpec>, Refusal> {
    let table = draft.name.clone();
    let Some(column) = draft.columns.iter_mut().find(|column| column.spec.name == key.column) else {
        return Err(Refusal::new(
            format!("{table} has a foreign key on {}, and there is no such column", key.column),
            "Correct the name.",
        ));
    };
    let Some(parent_key) = keys.get(&key.parent) else {
        return Err(Refusal::new(
            format!("{table}.{} refers to {}, which is not among the tables", key.column, key.parent),
            format!("Add the CREATE TABLE statement of {}, or leave the reference out.", key.parent),
        ));
    };
    let Some(parent_key) = parent_key else { return Ok(None) };
    if key.parent_column.as_ref().is_some_and(|named| *named != parent_key.column) {
        return Err(Refusal::new(
            format!("{table}.{} does not refer to the key of {}", key.column, key.parent),
            format!("Refer to {}({}).", key.parent, parent_key.column),
        ));
    }
    column.spec.ty = match (parent_key.kind, column.spec.ty) {
        // In SQLite a binary UUID is a BLOB, in the parent and here.
        (KeyKind::Uuid, ColumnType::Uuid | ColumnType::Bytea) => ColumnType::Uuid,
        (KeyKind::Text, ColumnType::Text | ColumnType::Varchar { .. }) => ColumnType::Text,
        (kind, ty) => {
            let kind = if kind == KeyKind::Uuid { "a uuid" } else { "a text" };
            return Err(Refusal::new(
                format!("{table}.{} is {ty}, but the key of {} is {kind}", key.column, key.parent),
                "Give both the same type.",
            ));
        }
    };
    let (column, parent) = (key.column, key.parent);
    Ok(Some(ForeignKeySpec { column, parent, on_delete: key.on_delete, on_update: key.on_update }))
}

fn refuse_impossible_actions(draft: &Draft, keys: &[ForeignKeySpec], report: &mut Report) {
    for key in keys {
        let Some(column) = draft.column(&key.column) else { continue };
        let ColumnSpec { nullable, default, .. } = &column.spec;
        let what = match key.on_delete {
            ForeignKeyAction::SetNull if !nullable => "SET NULL",
            ForeignKeyAction::SetDefault if !nullable && default.is_none() => "SET DEFAULT",
            _ => continue,
        };
        report.problem(
            column.at,
            format!("{}.{} is NOT NULL, so ON DELETE {what} can never work", draft.name, key.column),
            "Let it be NULL, or choose CASCADE or NO ACTION.",
        );
    }
}

fn set_defaults(dialect: Dialect, draft: &mut Draft, report: &mut Report) {
    let table = &draft.name;
    for column in &mut draft.columns {
        let Some(expression) = column.default.take() else { continue };
        let name = &column.spec.name;
        match defaults::convert(dialect, column.spec.ty, &expression) {
            Ok(Converted::Value(value)) => column.spec.default = Some(value),
            Ok(Converted::Null) => column.spec.default = None,
            Ok(Converted::NotKept) => report.warn(
                column.at,
                format!(
                    "{table}.{name}: the default is left to devices, which send every value. A row written on the \
                     server has to give one."
                ),
            ),
            Err(Refusal { reason, remedy }) => report.problem(column.at, format!("{table}.{name}: {reason}"), remedy),
        }
    }
}

/// The lists whose columns exist and can be indexed, each once.
fn column_lists(draft: &Draft, lists: &[Columns], what: &str, report: &mut Report) -> Vec<Vec<Ident>> {
    let mut kept: Vec<Vec<Ident>> = Vec::new();
    for Columns { names, at } in lists {
        match usable(draft, names, what) {
            Ok(()) if kept.contains(names) => {}
            Ok(()) => kept.push(names.clone()),
            Err(refusal) if what == "UNIQUE" => report.refuse(*at, refusal),
            Err(Refusal { reason, .. }) => {
                report.note(*at, format!("Only devices have the index: {reason}."))
            }
        }
    }
    limit(draft, what, kept.len(), report);
    kept
}

fn usable(draft: &Draft, names: &[Ident], what: &str) -> Result<(), Refusal> {
    let table = &draft.name;
    if names.len() > MAX_INDEX_COLUMNS {
        let reason = format!("{what} of {table} has more than {MAX_INDEX_COLUMNS} columns");
        return Err(Refusal::new(reason, "Use fewer."));
    }
    for (i, name) in names.iter().enumerate() {
        let Some(column) = draft.column(name) else {
            let reason = format!("{what} of {table} names {name}, and there is no such column");
            return Err(Refusal::new(reason, "Correct the name."));
        };
        if names[..i].contains(name) {
            return Err(Refusal::new(format!("{what} of {table} names {name} twice"), "Name it once."));
        }
        if column.spec.ty == ColumnType::Json {
            let reason = format!("{what} of {table} is on {name}, and PostgreSQL cannot compare json");
            return Err(Refusal::new(reason, "Make it jsonb or text."));
        }
        if column.ignores_case && what == "UNIQUE" {
            return Err(Refusal::new(
                format!(
                    "UNIQUE of {table} is on {name}, which ignores case on devices; the server tells \"a\" from \"A\" \
                     and would let in rows that devices refuse"
                ),
                "Leave COLLATE out, or UNIQUE.",
            ));
        }
    }
    Ok(())
}

fn table_checks(dialect: Dialect, draft: &Draft, report: &mut Report) -> Vec<CheckExpr> {
    let mut kept = draft.known_checks.clone();
    for (condition, at) in &draft.checks {
        match checks::translate(dialect, &draft.columns, condition) {
            Ok(check) if kept.contains(&check) => {}
            Ok(check) => kept.push(check),
            Err(refusal) => report.refuse(*at, refusal),
        }
    }
    limit(draft, "CHECK", kept.len(), report);
    kept
}

fn limit(draft: &Draft, what: &str, count: usize, report: &mut Report) {
    if count > MAX_CONSTRAINTS {
        let reason = format!("{} has {count} of {what}, more than {MAX_CONSTRAINTS}", draft.name);
        report.problem(draft.at, reason, "Use fewer.");
    }
}
