//! SQL expressions that render a row as the canonical JSON text of PROTOCOL.md, sections 3 and 6.
//!
//! Used by capture, snapshots, the server's row of a conflict, and row browsing, so that a row looks the same wherever
//! it is served. The text is canonical where it is made: members sorted, shortest escapes, one form for every number;
//! hashes are taken over it as it is.
//!
//! The expressions call functions of `pg_catalog` by their bare names and depend on no setting but
//! `extra_float_digits` being above 0, which every connection and every capture function sees to.

use std::cmp::Ordering;

use super::{
    ident::{Ident, SCOPE_COLUMN, quote_literal},
    spec::{ColumnSpec, ColumnType, SyncKey, WireProfile},
};
use crate::ids::SchemaName;

/// Where the columns of a row come from, and how its values are written.
#[derive(Debug, Clone, Copy)]
pub struct RowSource<'a> {
    pub schema: &'a SchemaName,
    /// The alias of the table in the query; written as it is, so it is ours and never a tenant's.
    pub alias: &'static str,
    pub profile: WireProfile,
}

/// Which of the two forms of a row is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As served.
    Sent,
    /// As it enters the bundle hash. Differs from `Sent` in profile `numbers` only, whose clients decode every number
    /// to a binary64 and write it again with Go's escapes before they hash.
    Hashed,
}

/// The JSON object of a row with exactly `columns`, as served. Null never, if the row satisfies its constraints.
pub fn payload_expression(row: RowSource<'_>, columns: &[ColumnSpec]) -> String {
    object_expression(row, columns, Form::Sent)
}

/// The same object as it enters the bundle hash; `None` where that is the served text (profile `strings`).
pub fn hash_payload_expression(row: RowSource<'_>, columns: &[ColumnSpec]) -> Option<String> {
    match row.profile {
        WireProfile::Strings => None,
        WireProfile::Numbers => Some(object_expression(row, columns, Form::Hashed)),
    }
}

/// The sync key of a row as text: what the engine's own tables hold.
pub fn key_expression(alias: &str, key: &SyncKey) -> String {
    format!("{alias}.{}::text", key.column.quoted())
}

/// What stands before the key of every served row of a table: `{"schema":"main","table":"notes","key":{"id":`.
pub fn row_head(logical_schema: &Ident, table: &Ident, key: &Ident) -> String {
    let name = |name: &Ident| hash_string(WireProfile::Strings, name.as_str());
    format!("{{\"schema\":{},\"table\":{},\"key\":{{{}:", name(logical_schema), name(table), name(key))
}

/// The scope of a row.
pub fn scope_expression(alias: &str) -> String {
    format!("{alias}.{SCOPE_COLUMN}")
}

/// `text` as a JSON string of the form that enters the profile's hashes, made here and not in PostgreSQL: for names.
pub fn hash_string(profile: WireProfile, text: &str) -> String {
    let json = serde_json::to_string(text).expect("BUG: a string is always JSON");
    match profile {
        WireProfile::Strings => json,
        WireProfile::Numbers => {
            GO_ESCAPES.iter().fold(json, |json, (plain, escaped)| json.replace(plain, escaped))
        }
    }
}

/// The expression that makes the JSON string of hash inputs from the text expression `text`.
pub fn hash_string_expression(profile: WireProfile, text: &str) -> String {
    let json = format!("to_json({text})::text");
    match profile {
        WireProfile::Strings => json,
        WireProfile::Numbers => GO_ESCAPES.iter().fold(json, |inner, (plain, escaped)| {
            // The two separators are named by number: most editors show them as nothing.
            let plain = match *plain {
                "\u{2028}" => "chr(8232)".to_owned(),
                "\u{2029}" => "chr(8233)".to_owned(),
                plain => format!("'{plain}'"),
            };
            format!("replace({inner}, {plain}, {})", quote_literal(escaped))
        }),
    }
}

/// What Go's encoding/json escapes beyond RFC 8785.
const GO_ESCAPES: [(&str, &str); 5] =
    [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")];

fn object_expression(row: RowSource<'_>, columns: &[ColumnSpec], form: Form) -> String {
    let mut sorted: Vec<&ColumnSpec> = columns.iter().collect();
    sorted.sort_by(|a, b| member_order(row.profile, &a.name, &b.name));

    let mut pieces: Vec<String> = Vec::new();
    // Text that is the same for every row: joined, so that there is one literal between two values.
    let mut constant = String::from("{");
    for (i, column) in sorted.iter().enumerate() {
        if i > 0 {
            constant.push(',');
        }
        constant.push_str(&member_name(row.profile, &column.name, form));
        constant.push(':');
        let quote = if is_quoted(row.profile, column.ty) { "\"" } else { "" };
        let value = value_expression(row, column, form);
        if column.nullable {
            let value = match quote {
                "" => value,
                quote => format!("'{quote}' || {value} || '{quote}'"),
            };
            pieces.extend([quote_literal(&constant), format!("coalesce({value}, 'null')")]);
            constant.clear();
        } else {
            constant.push_str(quote);
            pieces.extend([quote_literal(&constant), value]);
            constant = quote.to_owned();
        }
    }
    constant.push('}');
    pieces.push(quote_literal(&constant));
    concatenated(&pieces)
}

/// All pieces, joined in halves: one after the other, each step would copy all that came before.
fn concatenated(pieces: &[String]) -> String {
    match pieces {
        [piece] => piece.clone(),
        [left, right] => format!("{left} || {right}"),
        _ => {
            let (left, right) = pieces.split_at(pieces.len() / 2);
            format!("({}) || ({})", concatenated(left), concatenated(right))
        }
    }
}

/// RFC 8785 sorts members by UTF-16 code units, Go by bytes. They differ only beyond U+FFFF.
fn member_order(profile: WireProfile, a: &Ident, b: &Ident) -> Ordering {
    match profile {
        WireProfile::Strings => a.as_str().encode_utf16().cmp(b.as_str().encode_utf16()),
        WireProfile::Numbers => a.as_str().cmp(b.as_str()),
    }
}

fn member_name(profile: WireProfile, name: &Ident, form: Form) -> String {
    match form {
        Form::Sent => hash_string(WireProfile::Strings, name.as_str()),
        Form::Hashed => hash_string(profile, name.as_str()),
    }
}

/// Whether quotes go around what [`value_expression`] gives. Texts bring their own, from `to_json`.
fn is_quoted(profile: WireProfile, ty: ColumnType) -> bool {
    match ty {
        _ if ty.is_number() => profile == WireProfile::Strings,
        ColumnType::Boolean
        | ColumnType::Text
        | ColumnType::Varchar { .. }
        | ColumnType::Json
        | ColumnType::Jsonb
        | ColumnType::Timestamp => false,
        _ => true,
    }
}

/// The text of one value; null for NULL.
fn value_expression(row: RowSource<'_>, column: &ColumnSpec, form: Form) -> String {
    let value = format!("{}.{}", row.alias, column.name.quoted());
    let hashed_as_binary64 = form == Form::Hashed && row.profile == WireProfile::Numbers;
    match column.ty {
        // Up to 2^53 a binary64 holds every integer, and its text is the integer's.
        ColumnType::BigInt if hashed_as_binary64 => format!(
            "case when {value} between -9007199254740992 and 9007199254740992 then {value}::text \
             else {schema}._sync_float_text({value}::float8) end",
            schema = row.schema
        ),
        ColumnType::Numeric { .. } if hashed_as_binary64 => {
            float_expression(row.schema, &format!("{value}::float8"))
        }
        ColumnType::Real => float_expression(row.schema, &format!("{value}::float8")),
        ColumnType::Double => float_expression(row.schema, &value),
        ColumnType::Text | ColumnType::Varchar { .. } => string_expression(row.profile, form, &value),
        ColumnType::Json | ColumnType::Jsonb => {
            string_expression(row.profile, form, &format!("{value}::text"))
        }
        // Not a cast, which would follow `datestyle`; to_json is ISO 8601 always.
        ColumnType::Timestamp => format!("to_json({value})::text"),
        ColumnType::Date => format!("to_char({value}, 'YYYY-MM-DD')"),
        ColumnType::Timestamptz => format!(
            "to_char({value} at time zone 'UTC', case when date_trunc('second', {value}) = {value} \
             then 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"' else 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"' end)"
        ),
        ColumnType::Bytea => format!("replace(encode({value}, 'base64'), E'\\n', '')"),
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Numeric { .. }
        | ColumnType::Boolean
        | ColumnType::Uuid
        | ColumnType::Time => format!("{value}::text"),
    }
}

/// PostgreSQL's own text is the wire's form within these bounds and much faster than a function call.
fn float_expression(schema: &SchemaName, value: &str) -> String {
    format!(
        "case when {value} = 0 then '0' when abs({value}) >= 1e-4 and abs({value}) < 1e15 then {value}::text \
         else {schema}._sync_float_text({value}) end"
    )
}

fn string_expression(profile: WireProfile, form: Form, value: &str) -> String {
    match form {
        Form::Sent => hash_string_expression(WireProfile::Strings, value),
        Form::Hashed => hash_string_expression(profile, value),
    }
}
