//! DEFAULT clauses: literals, and the few functions that mean the same on a device and on the server.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, Time, format_description::well_known::Rfc3339,
    macros::format_description,
};

use super::{Dialect, Refusal};
use crate::tables::spec::{ColumnType, DefaultValue};

/// What becomes of a DEFAULT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Converted {
    Value(DefaultValue),
    /// DEFAULT NULL, which is no default.
    Null,
    /// An expression that only the device can evaluate. It always sends a value, so the server needs none.
    NotKept,
}

/// A default before it meets the column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    Null,
    Boolean(bool),
    /// Digits with an optional `-`, point and exponent.
    Number(String),
    Text(String),
    Hex(String),
    Function(DefaultValue),
}

pub(super) fn convert(dialect: Dialect, ty: ColumnType, expression: &Expr) -> Result<Converted, Refusal> {
    let Some(literal) = literal(dialect, expression) else { return Ok(Converted::NotKept) };
    let wrong = || {
        Refusal::new(
            format!("the default {expression} is no {ty}"),
            format!("Write a literal of type {ty}, or leave the default out: devices send every value."),
        )
    };
    let value = match literal {
        Literal::Null => return Ok(Converted::Null),
        Literal::Function(function) => match fits(&function, ty, dialect) {
            true => function,
            false => return Ok(Converted::NotKept),
        },
        literal => typed(literal, ty).ok_or_else(wrong)?,
    };
    Ok(Converted::Value(value))
}

/// A column whose value is given by the server has to get what the device would have given it.
fn fits(function: &DefaultValue, ty: ColumnType, dialect: Dialect) -> bool {
    // PostgreSQL would spell the time into a text in its own way.
    let is_text = ty == ColumnType::Text && dialect == Dialect::Sqlite;
    match function {
        DefaultValue::CurrentTimestamp => {
            is_text || matches!(ty, ColumnType::Timestamptz | ColumnType::Timestamp)
        }
        DefaultValue::CurrentIsoTimestamp => is_text,
        DefaultValue::CurrentDate => is_text || ty == ColumnType::Date,
        DefaultValue::CurrentTime => is_text || ty == ColumnType::Time,
        DefaultValue::UnixEpoch => ty == ColumnType::BigInt,
        DefaultValue::RandomUuid => ty == ColumnType::Uuid,
        _ => false,
    }
}

fn literal(dialect: Dialect, mut expression: &Expr) -> Option<Literal> {
    while let Expr::Nested(inner) | Expr::Cast { expr: inner, .. } = expression {
        expression = inner;
    }
    match expression {
        Expr::Value(value) => value_literal(&value.value),
        Expr::TypedString(typed) => value_literal(&typed.value.value),
        // SQLite takes "x" for a string where no column of that name can be meant.
        Expr::Identifier(name) if dialect == Dialect::Sqlite && name.quote_style == Some('"') => {
            Some(Literal::Text(name.value.clone()))
        }
        Expr::UnaryOp { op, expr } => match (op, literal(dialect, expr)?) {
            (UnaryOperator::Plus, number @ Literal::Number(_)) => Some(number),
            (UnaryOperator::Minus, Literal::Number(number)) => Some(Literal::Number(negated(&number))),
            _ => None,
        },
        Expr::Function(function) => function_literal(function).map(Literal::Function),
        _ => None,
    }
}

fn negated(number: &str) -> String {
    number.strip_prefix('-').map_or_else(|| format!("-{number}"), str::to_owned)
}

fn value_literal(value: &Value) -> Option<Literal> {
    match value {
        Value::Null => Some(Literal::Null),
        Value::Boolean(value) => Some(Literal::Boolean(*value)),
        Value::Number(number, _) => Some(Literal::Number(number.replace('_', ""))),
        Value::SingleQuotedString(text)
        | Value::DoubleQuotedString(text)
        | Value::EscapedStringLiteral(text) => Some(Literal::Text(text.clone())),
        Value::HexStringLiteral(hex) => Some(Literal::Hex(hex.to_ascii_lowercase())),
        _ => None,
    }
}

fn function_literal(function: &Function) -> Option<DefaultValue> {
    let name = function.name.to_string().to_ascii_lowercase();
    let arguments = string_arguments(&function.args)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Some(match (name.trim_start_matches("pg_catalog."), arguments.as_slice()) {
        ("current_timestamp" | "now" | "transaction_timestamp", [])
        | ("datetime", [] | ["now"])
        | ("strftime", ["%Y-%m-%d %H:%M:%S", "now"]) => DefaultValue::CurrentTimestamp,
        ("strftime", ["%Y-%m-%dT%H:%M:%fZ", "now"]) => DefaultValue::CurrentIsoTimestamp,
        ("current_date", []) | ("date", [] | ["now"]) | ("strftime", ["%Y-%m-%d", "now"]) => {
            DefaultValue::CurrentDate
        }
        ("current_time", []) | ("time", [] | ["now"]) | ("strftime", ["%H:%M:%S", "now"]) => {
            DefaultValue::CurrentTime
        }
        ("unixepoch", [] | ["now"]) | ("strftime", ["%s", "now"]) => DefaultValue::UnixEpoch,
        ("gen_random_uuid" | "uuid_generate_v4", []) => DefaultValue::RandomUuid,
        _ => return None,
    })
}

/// The arguments if all of them are strings.
fn string_arguments(arguments: &FunctionArguments) -> Option<Vec<String>> {
    match arguments {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
                    Value::SingleQuotedString(text) => Some(text.clone()),
                    _ => None,
                },
                _ => None,
            })
            .collect(),
    }
}

/// A constant as a value of the column's type; None if it is none.
fn typed(literal: Literal, ty: ColumnType) -> Option<DefaultValue> {
    match ty {
        ColumnType::SmallInt => integer(&literal, i64::from(i16::MIN)..=i64::from(i16::MAX)),
        ColumnType::Integer => integer(&literal, i64::from(i32::MIN)..=i64::from(i32::MAX)),
        ColumnType::BigInt => integer(&literal, i64::MIN..=i64::MAX),
        ColumnType::Real | ColumnType::Double => {
            let number: f64 = number(&literal)?.parse().ok()?;
            let largest = if ty == ColumnType::Real { f64::from(f32::MAX) } else { f64::MAX };
            let text = ryu_js::Buffer::new().format_finite(number).to_owned();
            (number.abs() <= largest).then_some(DefaultValue::Number(text))
        }
        ColumnType::Numeric { .. } => Some(DefaultValue::Number(number(&literal)?)),
        ColumnType::Boolean => boolean(&literal).map(DefaultValue::Boolean),
        ColumnType::Text => text(literal).map(DefaultValue::Text),
        ColumnType::Varchar { max } => text(literal)
            .filter(|text| text.chars().count() <= usize::try_from(max).unwrap_or(usize::MAX))
            .map(DefaultValue::Text),
        ColumnType::Json | ColumnType::Jsonb => text(literal)
            .filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
            .map(DefaultValue::Text),
        ColumnType::Uuid => {
            let uuid = text(literal).and_then(|text| uuid::Uuid::try_parse(&text).ok())?;
            Some(DefaultValue::Text(uuid.hyphenated().to_string()))
        }
        ColumnType::Bytea => bytes(&literal).map(DefaultValue::Bytes),
        ColumnType::Timestamptz | ColumnType::Timestamp | ColumnType::Date | ColumnType::Time => {
            text(literal).filter(|text| is_temporal(text, ty)).map(DefaultValue::Text)
        }
    }
}

/// The number in the grammar of JSON.
fn number(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Number(number) => json_number(number),
        Literal::Text(text) => json_number(text.trim()),
        Literal::Boolean(value) => Some(u8::from(*value).to_string()),
        _ => None,
    }
}

/// `007`, `.5`, `5.` and `0x1F`, which SQL takes, as JSON has them. None for what is no finite number.
pub(super) fn json_number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok().map(|value| format!("{sign}{value}"));
    }
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, format!("e{}", exponent.parse::<i16>().ok()?)),
        None => (digits, String::new()),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let sign = if is_zero { "" } else { sign };
    Some(format!("{sign}{whole}{point}{fraction}{exponent}"))
}

fn integer(literal: &Literal, range: std::ops::RangeInclusive<i64>) -> Option<DefaultValue> {
    let number = number(literal)?;
    let value = match number.parse::<i64>() {
        Ok(value) => value,
        Err(_) => {
            // 1e3 and 1.0 are whole numbers too; up to 2^53 none is lost on the way.
            let value: f64 = number.parse().ok()?;
            let is_whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
            is_whole.then_some(value as i64)?
        }
    };
    range.contains(&value).then(|| DefaultValue::Number(value.to_string()))
}

fn boolean(literal: &Literal) -> Option<bool> {
    match literal {
        Literal::Boolean(value) => Some(*value),
        Literal::Number(text) | Literal::Text(text) => match text.to_ascii_lowercase().as_str() {
            "0" | "false" | "f" => Some(false),
            "1" | "true" | "t" => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// A text column takes numbers and truth values too; SQLite stores them as their text.
fn text(literal: Literal) -> Option<String> {
    match literal {
        Literal::Text(text) | Literal::Number(text) => Some(text),
        Literal::Boolean(value) => Some(u8::from(value).to_string()),
        _ => None,
    }
}

/// Lowercase hex digits.
fn bytes(literal: &Literal) -> Option<String> {
    let hex = match literal {
        Literal::Hex(hex) => hex.clone(),
        Literal::Text(text) if text.starts_with("\\x") => text[2..].to_ascii_lowercase(),
        Literal::Text(text) if text.is_empty() => String::new(),
        _ => return None,
    };
    (hex.len() % 2 == 0 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

fn is_temporal(text: &str, ty: ColumnType) -> bool {
    let timestamp = text.replacen(' ', "T", 1);
    match ty {
        ColumnType::Timestamptz => OffsetDateTime::parse(&timestamp, &Rfc3339).is_ok(),
        ColumnType::Timestamp => PrimitiveDateTime::parse(
            &timestamp,
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]"),
        )
        .is_ok(),
        ColumnType::Date => Date::parse(text, format_description!("[year]-[month]-[day]")).is_ok(),
        _ => Time::parse(text, format_description!("[hour]:[minute]:[second][optional [.[subsecond]]]"))
            .is_ok(),
    }
}
