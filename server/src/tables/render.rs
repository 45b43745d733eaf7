//! SQL statements that make the physical form of an app's tables.
//!
//! One statement a string, to be run in order, in one transaction, as the app's role, with `search_path` set to
//! `pg_catalog`. Names enter as [`Ident`]s only.

use std::fmt::Write as _;

use super::{
    apply_sql,
    check::CheckExpr,
    constraint,
    ident::{Ident, SCOPE_COLUMN, quote_literal},
    plan::Change,
    spec::{
        AppSpec, ColumnSpec, ColumnType, DefaultValue, ForeignKeyAction, ForeignKeySpec, TableSpec,
        WireProfile,
    },
    triggers,
};
use crate::ids::SchemaName;

/// The statements that turn the schema of the version before `next` into that of `next`.
pub fn statements(
    schema: &SchemaName,
    profile: WireProfile,
    changes: &[Change],
    next: &AppSpec,
) -> Vec<String> {
    let renderer = Renderer { schema, profile, next };
    let table =
        |name: &Ident| next.table(name.as_str()).expect("BUG: a change of a table that the next version has");
    let mut first = Vec::new();
    let mut recapture: Vec<&TableSpec> = Vec::new();
    // Foreign keys go last: tables may refer to each other in circles.
    let mut last = Vec::new();
    for change in changes {
        match change {
            Change::CreateTable { table: name } => {
                let table = table(name);
                first.push(renderer.create_table(table));
                first.extend(table.indexes.iter().map(|columns| renderer.create_index(table, columns)));
                first.push(triggers::capture_function(schema, profile, table));
                first.extend(triggers::triggers(schema, table));
                last.extend(table.foreign_keys.iter().flat_map(|key| renderer.add_foreign_key(table, key)));
            }
            Change::AddColumn { table: name, column } => {
                let table = table(name);
                let column = table.column(column.as_str()).expect("BUG: an added column that is not there");
                first.push(renderer.add_column(table, column));
                if !recapture.iter().any(|known| known.name == *name) {
                    recapture.push(table);
                }
            }
            Change::AddUnique { table: name, columns } => {
                first.push(renderer.add_unique(table(name), columns))
            }
            Change::AddIndex { table: name, columns } => {
                first.push(renderer.create_index(table(name), columns))
            }
            Change::AddCheck { table: name, check } => {
                let table = table(name);
                first.push(format!("{} add {}", renderer.alter(table), check_clause(table, check)));
            }
            Change::AddForeignKey { table: name, key } => {
                last.extend(renderer.add_foreign_key(table(name), key))
            }
        }
    }
    first.extend(recapture.into_iter().map(|table| triggers::capture_function(schema, profile, table)));
    first.push(apply_sql::apply_function(schema, next));
    first.extend(last);
    first
}

/// When PostgreSQL looks after a table by itself: late, as after `migrations/app/0018`, which tells why.
const QUIET: &str = "autovacuum_vacuum_threshold = 2000, autovacuum_analyze_threshold = 2000, \
    autovacuum_vacuum_insert_threshold = 5000";

struct Renderer<'a> {
    schema: &'a SchemaName,
    profile: WireProfile,
    next: &'a AppSpec,
}

impl Renderer<'_> {
    fn table(&self, name: &Ident) -> String {
        format!("{}.{}", self.schema, name.quoted())
    }

    fn alter(&self, table: &TableSpec) -> String {
        format!("alter table {}", self.table(&table.name))
    }

    fn create_table(&self, table: &TableSpec) -> String {
        let mut lines = vec![format!("{SCOPE_COLUMN} text collate \"C\" not null")];
        lines.extend(table.columns.iter().map(|column| column_clause(table, column)));
        let key = constraint::primary_key_name(table);
        lines.push(format!("constraint {} primary key {}", quoted(&key), scoped([&table.key.column])));
        lines.extend(table.uniques.iter().map(|columns| unique_clause(table, columns)));
        lines.extend(table.columns.iter().filter_map(|column| range_clause(table, column, self.profile)));
        lines.extend(table.checks.iter().map(|check| check_clause(table, check)));
        format!("create table {} (\n    {}\n) with ({QUIET})", self.table(&table.name), lines.join(",\n    "))
    }

    fn add_column(&self, table: &TableSpec, column: &ColumnSpec) -> String {
        let mut sql = format!("{} add column {}", self.alter(table), column_clause(table, column));
        if let Some(range) = range_clause(table, column, self.profile) {
            let _ = write!(sql, ", add {range}");
        }
        sql
    }

    fn add_unique(&self, table: &TableSpec, columns: &[Ident]) -> String {
        format!("{} add {}", self.alter(table), unique_clause(table, columns))
    }

    fn create_index(&self, table: &TableSpec, columns: &[Ident]) -> String {
        let name = constraint::index_name(table, columns);
        format!("create index {} on {} {}", quoted(&name), self.table(&table.name), scoped(columns))
    }

    /// The constraint, and the index that makes its actions and checks cheap unless another one serves.
    fn add_foreign_key(&self, table: &TableSpec, key: &ForeignKeySpec) -> Vec<String> {
        let parent =
            self.next.table(key.parent.as_str()).expect("BUG: a foreign key that leaves the set of tables");
        let column = key.column.quoted();
        let constraint = format!(
            "{} add constraint {} foreign key {} references {} {} on delete {} on update {} \
             deferrable initially deferred",
            self.alter(table),
            quoted(&constraint::foreign_key_name(table, key)),
            scoped([&key.column]),
            self.table(&parent.name),
            scoped([&parent.key.column]),
            on_delete(key.on_delete, &column),
            on_update(key.on_update),
        );
        let served = key.column == table.key.column
            || table.uniques.iter().chain(&table.indexes).any(|columns| columns.first() == Some(&key.column));
        let index = (!served).then(|| self.create_index(table, std::slice::from_ref(&key.column)));
        index.into_iter().chain([constraint]).collect()
    }
}

/// RESTRICT is written as NO ACTION: a push counts by what it leaves behind, and RESTRICT would refuse a parent whose
/// children go away later in the same push, because it cannot be deferred.
///
/// The column is named, because the scope column must never become null.
fn on_delete(action: ForeignKeyAction, column: &str) -> String {
    match action {
        ForeignKeyAction::Restrict | ForeignKeyAction::NoAction => "no action".to_owned(),
        ForeignKeyAction::Cascade => "cascade".to_owned(),
        ForeignKeyAction::SetNull => format!("set null ({column})"),
        ForeignKeyAction::SetDefault => format!("set default ({column})"),
    }
}

/// PostgreSQL cannot name a column here. Devices never change a key in place (they send a DELETE and an INSERT), so
/// only SQL on the server would notice that SET NULL and SET DEFAULT are missing: it is refused while children exist.
fn on_update(action: ForeignKeyAction) -> &'static str {
    match action {
        ForeignKeyAction::Cascade => "cascade",
        _ => "no action",
    }
}

/// `(_sync_scope_id, columns…)`: constraints and indexes of an app lead with the scope.
fn scoped<'a>(columns: impl IntoIterator<Item = &'a Ident>) -> String {
    let mut sql = format!("({SCOPE_COLUMN}");
    for column in columns {
        let _ = write!(sql, ", {}", column.quoted());
    }
    sql.push(')');
    sql
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn column_clause(table: &TableSpec, column: &ColumnSpec) -> String {
    let mut sql = format!("{} {}", column.name.quoted(), column.ty.sql());
    let is_key = |name: &Ident| *name == column.name;
    let names_a_row = is_key(&table.key.column) || table.foreign_keys.iter().any(|key| is_key(&key.column));
    if names_a_row && column.ty == ColumnType::Text {
        sql.push_str(" collate \"C\"");
    }
    if !column.nullable {
        sql.push_str(" not null");
    }
    if let Some(default) = &column.default {
        let _ = write!(sql, " default {}", default_sql(default, column.ty));
    }
    sql
}

fn unique_clause(table: &TableSpec, columns: &[Ident]) -> String {
    let name = constraint::unique_name(table, columns);
    format!("constraint {} unique {} deferrable initially deferred", quoted(&name), scoped(columns))
}

fn check_clause(table: &TableSpec, check: &CheckExpr) -> String {
    let sql = check.sql();
    format!("constraint {} check ({sql})", quoted(&constraint::check_name(table, &check.columns(), &sql)))
}

/// Values that PostgreSQL holds and the wire cannot carry must not get into a table, not even by plain SQL: a row that
/// cannot be rendered would stop every device of its scope.
fn range_clause(table: &TableSpec, column: &ColumnSpec, profile: WireProfile) -> Option<String> {
    let name = column.name.quoted();
    let range = match column.ty {
        ColumnType::Real | ColumnType::Double => format!("{name} > '-Infinity' and {name} < 'Infinity'"),
        // Clients of this profile hold a number as a binary64.
        ColumnType::Numeric { .. } if profile == WireProfile::Numbers => {
            format!("{name} = 0 or abs({name}) between 1e-300 and 1e300")
        }
        ColumnType::Numeric { .. } => format!("{name} > '-Infinity' and {name} < 'Infinity'"),
        // Two days within the years that four digits can tell, so that every time zone agrees.
        ColumnType::Timestamptz => format!("{name} >= '0001-01-02Z' and {name} < '9999-12-31Z'"),
        ColumnType::Timestamp | ColumnType::Date => {
            format!("{name} >= '0001-01-01' and {name} <= '9999-12-31'")
        }
        _ => return None,
    };
    Some(format!("constraint {} check ({range})", quoted(&constraint::range_name(table, &column.name))))
}

/// The default of a column as an SQL expression.
pub fn default_sql(default: &DefaultValue, ty: ColumnType) -> String {
    const UTC: &str = "transaction_timestamp() at time zone 'UTC'";
    let is_text = matches!(ty, ColumnType::Text | ColumnType::Varchar { .. });
    match default {
        DefaultValue::Boolean(value) => value.to_string(),
        DefaultValue::Number(number) => number.clone(),
        DefaultValue::Text(text) => quote_literal(text),
        DefaultValue::Bytes(hex) => quote_literal(&format!("\\x{hex}")),
        DefaultValue::CurrentTimestamp if is_text => format!("to_char({UTC}, 'YYYY-MM-DD HH24:MI:SS')"),
        DefaultValue::CurrentTimestamp if ty == ColumnType::Timestamptz => {
            "transaction_timestamp()".to_owned()
        }
        DefaultValue::CurrentTimestamp => format!("({UTC})"),
        DefaultValue::CurrentIsoTimestamp => format!("to_char({UTC}, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
        DefaultValue::CurrentDate if is_text => format!("to_char({UTC}, 'YYYY-MM-DD')"),
        DefaultValue::CurrentDate => format!("({UTC})::date"),
        DefaultValue::CurrentTime if is_text => format!("to_char({UTC}, 'HH24:MI:SS')"),
        DefaultValue::CurrentTime => format!("({UTC})::time"),
        DefaultValue::UnixEpoch => "floor(extract(epoch from transaction_timestamp()))::bigint".to_owned(),
        DefaultValue::RandomUuid => "gen_random_uuid()".to_owned(),
    }
}
