//! Writing staged rows inside PostgreSQL: the function `_sync_apply` of an app, which the short way of a commit calls
//! (`migrations/app/0007_small_push.sql`). It knows all tables of the latest version.
//!
//! It writes only rows that name every column, so that no default and no partial update has to be thought of; anything
//! else makes it raise, and the commit takes the long way.

use std::fmt::Write as _;

use super::{
    ident::{Ident, SCOPE_COLUMN, quote_literal},
    spec::{AppSpec, ColumnSpec, ColumnType, KeyKind, TableSpec},
    triggers::dollar_quote,
};
use crate::ids::SchemaName;

/// The text `value` (an SQL expression that needs no parentheses, null for NULL) as a value of type `ty`, to be assigned to a column.
///
/// Bounds of `varchar(n)` and `numeric(p, s)` are left to the assignment, which refuses what an explicit cast would
/// cut silently.
pub(crate) fn cast(value: &str, ty: ColumnType) -> String {
    match ty {
        ColumnType::Text | ColumnType::Varchar { .. } => value.to_owned(),
        ColumnType::Numeric { .. } => format!("{value}::numeric"),
        ColumnType::Bytea => format!("decode({value}, 'base64')"),
        _ => format!("{value}::{}", ty.sql()),
    }
}

/// The statement that makes or replaces the function: run it whenever tables or columns change.
pub(super) fn apply_function(schema: &SchemaName, spec: &AppSpec) -> String {
    let mut branches = String::new();
    for (n, table) in spec.tables.iter().enumerate() {
        let begin = if n == 0 { "if" } else { "elsif" };
        let _ = write!(branches, "    {begin} p_table_no = {} then{}", table.table_no, branch(schema, table));
    }
    let body = if branches.is_empty() {
        "\nbegin\n    return false;\nend\n".to_owned()
    } else {
        format!(
            "
declare
    v_count bigint;
begin
{branches}    else
        return false;
    end if;
    get diagnostics v_count = row_count;
    if v_count <> cardinality(p_keys) then
        raise exception 'a row is gone or does not name every column' using errcode = 'no_data_found';
    end if;
    return true;
end
"
        )
    };
    let quote = dollar_quote(&body);
    format!(
        "create or replace function {schema}._sync_apply(\n    \
         p_table_no integer, p_op text, p_scopes text[], p_keys text[], p_rows json\n) returns boolean\n\
         language plpgsql as {quote}{body}{quote}"
    )
}

/// What is done to the rows of one table. `offset 0` has each payload taken out of its row once, not once a column.
/// Rows that exist are reached by their key alone, never by a join, whose plan could scan a table that has grown since.
fn branch(schema: &SchemaName, table: &TableSpec) -> String {
    let name = format!("{schema}.{}", table.name.quoted());
    let key = table.key.column.quoted();
    let key_type = match table.key.kind {
        KeyKind::Uuid => "uuid",
        KeyKind::Text => "text",
    };
    let columns = &table.columns;
    let names: String = columns.iter().map(|column| format!(", {}", column.name.quoted())).collect();
    let values: String = columns.iter().map(|column| format!(", {}", value(column))).collect();
    let is_key = |name: &Ident| *name == table.key.column;
    let mut sets: Vec<String> = columns
        .iter()
        .filter(|column| !is_key(&column.name))
        .map(|column| format!("{} = {}", column.name.quoted(), value(column)))
        .collect();
    if sets.is_empty() {
        sets.push(format!("{key} = t.{key}"));
    }
    format!(
        "
        if p_op = 'I' then
            insert into {name} ({SCOPE_COLUMN}{names})
            select p_scopes[r.n]{values}
            from (
                select e.n, e.value -> 'payload' as p
                from json_array_elements(p_rows) with ordinality as e (value, n)
                offset 0
            ) r
            where (select count(*) from json_object_keys(r.p)) = {count};
        elsif cardinality(p_keys) <> 1 then
            return false;
        elsif p_op = 'U' then
            update {name} as t
            set {sets}
            from (select p_rows -> 0 -> 'payload' as p offset 0) r
            where t.{SCOPE_COLUMN} = p_scopes[1] and t.{key} = p_keys[1]::{key_type}
                and (select count(*) from json_object_keys(r.p)) = {count};
        else
            delete from {name} as t
            where t.{SCOPE_COLUMN} = p_scopes[1] and t.{key} = p_keys[1]::{key_type};
        end if;
",
        count = columns.len(),
        sets = sets.join(", "),
    )
}

fn value(column: &ColumnSpec) -> String {
    cast(&format!("(r.p ->> {})", quote_literal(column.name.as_str())), column.ty)
}
