//! What a column may be sent: PROTOCOL.md section 6, checked before anything is stored.
//!
//! Whatever passes is a text that PostgreSQL's input function of the column's type takes, but for a few cases that
//! only it can judge (a number that rounding pushes out of range, a `jsonb` with an escape it cannot hold).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{json::Value, number, temporal};
use crate::{
    sync::keys::is_canonical_uuid,
    tables::spec::{ColumnType, WireProfile},
};

/// What is wrong with a value. Each is the end of a sentence that began with the column's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    #[error("must be a JSON {expected}")]
    JsonType { expected: &'static str },
    #[error("must be a whole number without sign +, leading zeros, fraction or exponent")]
    NotInteger,
    #[error("must be from {min} to {max}")]
    IntegerRange { min: i64, max: i64 },
    #[error("must be a finite number in its shortest form (RFC 8785), such as \"1.5\" or \"5e-324\"")]
    NotCanonicalFloat,
    #[error("is out of the range of {ty}")]
    FloatRange { ty: ColumnType },
    #[error("must be a decimal number without sign +, leading zeros or negative zero")]
    NotNumeric,
    #[error("must have at most {digits} digits before the decimal point")]
    NumericRange { digits: i64 },
    #[error("must have an exponent from -{max} to {max}", max = number::MAX_EXPONENT)]
    NumericExponent,
    #[error("must be \"0\" or \"1\"")]
    NotZeroOrOne,
    #[error("must be 0, 1, true or false")]
    NotBoolean,
    #[error("must not contain the character U+0000, which PostgreSQL text cannot hold")]
    Nul,
    #[error("must have at most {max} characters")]
    TooLong { max: u32 },
    #[error("must be valid JSON text")]
    NotJson,
    #[error("must be JSON text nested at most {max} deep", max = number::MAX_JSON_DEPTH)]
    JsonTooDeep,
    #[error("must be JSON text with exponents from -{max} to {max}", max = number::MAX_EXPONENT)]
    JsonExponent,
    #[error("must be {form}")]
    Time { form: &'static str },
    #[error("must be a UUID in lowercase with dashes")]
    NotUuid,
    #[error("must be standard base64 in canonical form, with padding")]
    NotBase64,
}

/// Check one value of a column of type `ty`; `scratch` is room that the caller lends.
pub(super) fn check(
    profile: WireProfile,
    ty: ColumnType,
    value: &Value<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    match (profile, value) {
        // Whether a column may be NULL is for PostgreSQL to say, with its defaults and triggers.
        (_, Value::Null) => Ok(()),
        (WireProfile::Strings, Value::Text(text)) => check_text(ty, text, scratch),
        (WireProfile::Strings, value) => check_unconverted(ty, value),
        (WireProfile::Numbers, Value::Number(text)) => match ty {
            ColumnType::Boolean if matches!(*text, "0" | "1") => Ok(()),
            ColumnType::Boolean => Err(InvalidValue::NotBoolean),
            // Any spelling of a number will do here: clients of this profile write what their language writes.
            _ if ty.is_float() => number::check_float_range(ty, text),
            _ if ty.is_number() => check_text(ty, text, scratch),
            _ => Err(InvalidValue::JsonType { expected: "string or null" }),
        },
        (WireProfile::Numbers, Value::Bool(_)) if ty == ColumnType::Boolean => Ok(()),
        (WireProfile::Numbers, _) if ty.is_number() => {
            Err(InvalidValue::JsonType { expected: "number or null" })
        }
        (WireProfile::Numbers, _) if ty == ColumnType::Boolean => Err(InvalidValue::NotBoolean),
        (WireProfile::Numbers, Value::Text(text)) => check_text(ty, text, scratch),
        (WireProfile::Numbers, _) => Err(InvalidValue::JsonType { expected: "string or null" }),
    }
}

/// Check what a client of profile `strings` sends as SQLite has it. It makes strings only of columns whose declared type
/// contains INT, REAL, FLOA or DOUB; in one that is declared BOOLEAN, NUMERIC, DECIMAL, DATE or TIMESTAMP, SQLite holds a
/// number, and that is what it sends. It hashes and sends it in the form of RFC 8785, so that is the only one taken: it is
/// kept as it is, for the hash, and stored as its text.
fn check_unconverted(ty: ColumnType, value: &Value<'_>) -> Result<(), InvalidValue> {
    match (ty, value) {
        (ColumnType::Boolean, Value::Bool(_)) | (ColumnType::Boolean, Value::Number("0" | "1")) => Ok(()),
        (ColumnType::Boolean, _) => Err(InvalidValue::NotBoolean),
        (ColumnType::Text, Value::Number(text)) => number::check_canonical_float(ColumnType::Double, text),
        (ColumnType::Numeric { precision, scale }, Value::Number(text)) => {
            number::check_canonical_float(ColumnType::Double, text)?;
            number::check_numeric(text, precision, scale)
        }
        _ => Err(InvalidValue::JsonType { expected: "string or null" }),
    }
}

/// Check a value in the form that it has in a JSON string of profile `strings`.
pub(super) fn check_text(ty: ColumnType, text: &str, scratch: &mut Vec<u8>) -> Result<(), InvalidValue> {
    match ty {
        ColumnType::SmallInt => number::check_integer(text, i16::MIN.into(), i16::MAX.into()),
        ColumnType::Integer => number::check_integer(text, i32::MIN.into(), i32::MAX.into()),
        ColumnType::BigInt => number::check_integer(text, i64::MIN, i64::MAX),
        ColumnType::Real | ColumnType::Double => number::check_canonical_float(ty, text),
        ColumnType::Numeric { precision, scale } => number::check_numeric(text, precision, scale),
        ColumnType::Boolean if matches!(text, "0" | "1") => Ok(()),
        ColumnType::Boolean => Err(InvalidValue::NotZeroOrOne),
        ColumnType::Text => check_no_nul(text),
        ColumnType::Varchar { max } => {
            check_no_nul(text)?;
            if text.len() > max as usize && text.chars().count() > max as usize {
                return Err(InvalidValue::TooLong { max });
            }
            Ok(())
        }
        ColumnType::Json => number::check_json(text, false),
        ColumnType::Jsonb => number::check_json(text, true),
        ColumnType::Timestamptz => temporal::check_timestamptz(text),
        ColumnType::Timestamp => temporal::check_timestamp(text),
        ColumnType::Date => temporal::check_date(text),
        ColumnType::Time => temporal::check_time(text),
        ColumnType::Uuid if is_canonical_uuid(text) => Ok(()),
        ColumnType::Uuid => Err(InvalidValue::NotUuid),
        ColumnType::Bytea => {
            scratch.clear();
            STANDARD.decode_vec(text, scratch).map_err(|_| InvalidValue::NotBase64)
        }
    }
}

/// Check a value that a person or program of the tenant's wrote: as [`check_text`], but a binary64 may have any of
/// the spellings of a JSON number.
pub(super) fn check_typed(ty: ColumnType, text: &str) -> Result<(), InvalidValue> {
    if ty.is_float() {
        number::check_numeric(text, None, 0)?;
        return number::check_float_range(ty, text);
    }
    check_text(ty, text, &mut Vec::new())
}

fn check_no_nul(text: &str) -> Result<(), InvalidValue> {
    if text.as_bytes().contains(&0) { Err(InvalidValue::Nul) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn text(ty: ColumnType, text: &str) -> Result<(), InvalidValue> {
        check(WireProfile::Strings, ty, &Value::Text(Cow::Borrowed(text)), &mut Vec::new())
    }

    fn numbers(ty: ColumnType, value: Value<'_>) -> Result<(), InvalidValue> {
        check(WireProfile::Numbers, ty, &value, &mut Vec::new())
    }

    #[test]
    fn in_profile_strings_values_are_strings_or_null() {
        for ty in [ColumnType::BigInt, ColumnType::Double, ColumnType::Timestamptz, ColumnType::Bytea] {
            for value in [Value::Number("1"), Value::Bool(true), Value::Composite] {
                let checked = check(WireProfile::Strings, ty, &value, &mut Vec::new());
                assert_eq!(checked, Err(InvalidValue::JsonType { expected: "string or null" }));
            }
            assert_eq!(check(WireProfile::Strings, ty, &Value::Null, &mut Vec::new()), Ok(()));
        }
    }

    #[test]
    fn in_profile_strings_a_number_is_taken_where_clients_send_what_sqlite_holds() {
        let strings = |ty, value: Value<'_>| check(WireProfile::Strings, ty, &value, &mut Vec::new());
        let numeric = ColumnType::Numeric { precision: Some(6), scale: 2 };
        for good in ["0", "12.5", "-3", "1e-7", "5e-324", "1e+21"] {
            assert_eq!(strings(ColumnType::Text, Value::Number(good)), Ok(()), "{good}");
            let any = ColumnType::Numeric { precision: None, scale: 0 };
            assert_eq!(strings(any, Value::Number(good)), Ok(()), "{good}");
        }
        for bad in ["12.50", "1e2", "-0", "1E+21", "9007199254740993", "1e999"] {
            let refused = Err(InvalidValue::NotCanonicalFloat);
            assert_eq!(strings(ColumnType::Text, Value::Number(bad)), refused, "{bad}");
            assert_eq!(strings(numeric, Value::Number(bad)), refused, "{bad}");
        }
        assert_eq!(strings(numeric, Value::Number("12345")), Err(InvalidValue::NumericRange { digits: 4 }));
        assert!(strings(numeric, Value::Bool(true)).is_err());
        assert!(strings(ColumnType::Text, Value::Bool(true)).is_err());
        for good in [Value::Number("0"), Value::Number("1"), Value::Bool(false), Value::Text("1".into())] {
            assert_eq!(strings(ColumnType::Boolean, good), Ok(()));
        }
        for bad in [Value::Number("2"), Value::Number("1.0"), Value::Composite] {
            assert_eq!(strings(ColumnType::Boolean, bad), Err(InvalidValue::NotBoolean));
        }
    }

    #[test]
    fn in_profile_numbers_numbers_are_numbers() {
        assert_eq!(numbers(ColumnType::BigInt, Value::Number("9007199254740993")), Ok(()));
        assert_eq!(numbers(ColumnType::Double, Value::Number("1.0e5")), Ok(()));
        assert_eq!(
            numbers(ColumnType::Real, Value::Number("1e300")),
            Err(InvalidValue::FloatRange { ty: ColumnType::Real })
        );
        assert_eq!(
            numbers(ColumnType::Integer, Value::Text("1".into())),
            Err(InvalidValue::JsonType { expected: "number or null" })
        );
        assert_eq!(numbers(ColumnType::Integer, Value::Number("1.0")), Err(InvalidValue::NotInteger));
        assert_eq!(numbers(ColumnType::Boolean, Value::Bool(true)), Ok(()));
        assert_eq!(numbers(ColumnType::Boolean, Value::Number("1")), Ok(()));
        assert_eq!(numbers(ColumnType::Boolean, Value::Number("2")), Err(InvalidValue::NotBoolean));
        assert_eq!(numbers(ColumnType::Boolean, Value::Text("1".into())), Err(InvalidValue::NotBoolean));
        assert_eq!(
            numbers(ColumnType::Text, Value::Number("1")),
            Err(InvalidValue::JsonType { expected: "string or null" })
        );
    }

    #[test]
    fn texts_are_bounded_in_characters_and_hold_no_nul() {
        assert_eq!(text(ColumnType::Text, "a\0"), Err(InvalidValue::Nul));
        assert_eq!(text(ColumnType::Varchar { max: 3 }, "éèà"), Ok(()));
        assert_eq!(text(ColumnType::Varchar { max: 3 }, "éèà "), Err(InvalidValue::TooLong { max: 3 }));
    }

    #[test]
    fn base64_has_one_spelling() {
        for good in ["", "AA==", "AAE=", "AAEC", "+/+/"] {
            assert_eq!(text(ColumnType::Bytea, good), Ok(()), "{good}");
        }
        for bad in ["AA", "AA=", "AB==", "AAF=", "A A=", "-_-_", "AAEC\n", "=", "A==="] {
            assert_eq!(text(ColumnType::Bytea, bad), Err(InvalidValue::NotBase64), "{bad}");
        }
    }

    #[test]
    fn booleans_and_uuids_have_one_spelling() {
        assert_eq!(text(ColumnType::Boolean, "1"), Ok(()));
        assert_eq!(text(ColumnType::Boolean, "true"), Err(InvalidValue::NotZeroOrOne));
        assert_eq!(text(ColumnType::Uuid, "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f"), Ok(()));
        assert_eq!(
            text(ColumnType::Uuid, "0192F0C1-5F7E-7CC3-98C4-DC0C0C07398F"),
            Err(InvalidValue::NotUuid)
        );
    }
}
