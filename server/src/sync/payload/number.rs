//! Numbers in their text form, and JSON texts, which may hold numbers.

use serde::de::IgnoredAny;

use super::value::InvalidValue;
use crate::tables::spec::ColumnType;

/// Exponents beyond blow a few characters up to kilobytes of digits. Past any binary64's.
pub(super) const MAX_EXPONENT: i64 = 400;

/// PostgreSQL parses JSON by recursion on its stack.
pub(super) const MAX_JSON_DEPTH: usize = 128;

/// `-?(0|[1-9]\d*)`, not `-0`, within the bounds.
pub(super) fn check_integer(text: &str, min: i64, max: i64) -> Result<(), InvalidValue> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let well_formed = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (!digits.starts_with('0') || text == "0");
    if !well_formed {
        return Err(InvalidValue::NotInteger);
    }
    match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        _ => Err(InvalidValue::IntegerRange { min, max }),
    }
}

/// A finite binary64 in the form of RFC 8785, in range of `ty`.
pub(super) fn check_canonical_float(ty: ColumnType, text: &str) -> Result<(), InvalidValue> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.ok_or(InvalidValue::NotCanonicalFloat)?;
    if ryu_js::Buffer::new().format_finite(number) != text {
        return Err(InvalidValue::NotCanonicalFloat);
    }
    check_float_range(ty, text)
}

/// Whether PostgreSQL's `ty` can hold a number that is written as JSON writes it: it refuses overflow and underflow.
pub(super) fn check_float_range(ty: ColumnType, text: &str) -> Result<(), InvalidValue> {
    let out_of_range = || InvalidValue::FloatRange { ty };
    let number: f64 = text.parse().map_err(|_| InvalidValue::NotCanonicalFloat)?;
    let is_zero = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        mantissa.bytes().all(|b| !matches!(b, b'1'..=b'9'))
    };
    if number.is_infinite() || (number == 0.0 && !is_zero(text)) {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "whether it is lost is the question")]
    let single = number as f32;
    if ty == ColumnType::Real && (single.is_infinite() || (single == 0.0 && number != 0.0)) {
        return Err(out_of_range());
    }
    Ok(())
}

/// A number in the grammar of JSON, not negative zero, that fits `numeric(precision, scale)`.
pub(super) fn check_numeric(text: &str, precision: Option<u16>, scale: u16) -> Result<(), InvalidValue> {
    let parts = Decimal::parse(text).ok_or(InvalidValue::NotNumeric)?;
    let significant = parts.integer.bytes().chain(parts.fraction.bytes()).position(|b| b != b'0');
    let Some(leading_zeros) = significant else {
        return if parts.negative { Err(InvalidValue::NotNumeric) } else { check_exponent(parts.exponent) };
    };
    check_exponent(parts.exponent)?;
    let Some(precision) = precision else { return Ok(()) };
    // Places before the decimal point, counted from the first digit that is not zero.
    let places = parts.integer.len() as i64 - leading_zeros as i64 + parts.exponent;
    let digits = i64::from(precision) - i64::from(scale);
    if places > digits { Err(InvalidValue::NumericRange { digits }) } else { Ok(()) }
}

fn check_exponent(exponent: i64) -> Result<(), InvalidValue> {
    if exponent.abs() > MAX_EXPONENT { Err(InvalidValue::NumericExponent) } else { Ok(()) }
}

/// The parts of a JSON number.
struct Decimal<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?`; an exponent too large to count is the largest there is.
    fn parse(text: &'a str) -> Option<Self> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if !is_digits(digits) {
                    return None;
                }
                (mantissa, exponent.parse().unwrap_or(i64::from(i32::MAX)))
            }
            None => (rest, 0),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((_, fraction)) if !is_digits(fraction) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let well_formed = is_digits(integer) && (integer == "0" || !integer.starts_with('0'));
        well_formed.then_some(Self { negative, integer, fraction, exponent })
    }
}

/// JSON text that PostgreSQL can parse and print within reason. `decoded`: its strings are, so that they hold no U+0000
/// even if it is escaped.
pub(super) fn check_json(text: &str, decoded: bool) -> Result<(), InvalidValue> {
    if text.as_bytes().contains(&0) {
        return Err(InvalidValue::Nul);
    }
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err(InvalidValue::NotJson);
    }
    // From here on the text is known to be JSON: what stands outside of strings is brackets, numbers and names.
    let (mut depth, mut in_string, mut bytes) = (0, false, text.bytes().enumerate());
    while let Some((i, byte)) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                if decoded && text[i..].starts_with("\\u0000") {
                    return Err(InvalidValue::Nul);
                }
                bytes.next();
            }
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b'0'..=b'9' => {
                if let Some(exponent) = exponent_after(&text[i + 1..]) {
                    check_exponent(exponent).map_err(|_| InvalidValue::JsonExponent)?;
                }
            }
            _ => {}
        }
        if depth > MAX_JSON_DEPTH {
            return Err(InvalidValue::JsonTooDeep);
        }
    }
    Ok(())
}

/// The exponent that follows directly on a digit.
fn exponent_after(text: &str) -> Option<i64> {
    let rest = text.strip_prefix(['e', 'E'])?;
    let end = rest
        .bytes()
        .enumerate()
        .find(|(i, b)| !(b.is_ascii_digit() || (*i == 0 && matches!(b, b'+' | b'-'))))
        .map_or(rest.len(), |(i, _)| i);
    Some(rest[..end].parse().unwrap_or(i64::from(i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_spelling_and_a_range() {
        let check = |text: &str| check_integer(text, i64::from(i16::MIN), i64::from(i16::MAX));
        for good in ["0", "1", "-1", "32767", "-32768"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "-", "+1", "01", "-0", "00", "1.0", "1e3", " 1", "1 ", "0x1", "١", "--1"] {
            assert_eq!(check(bad), Err(InvalidValue::NotInteger), "{bad}");
        }
        for bad in ["32768", "-32769", "99999999999999999999999999"] {
            assert!(matches!(check(bad), Err(InvalidValue::IntegerRange { .. })), "{bad}");
        }
    }

    #[test]
    fn a_float_is_in_the_form_of_rfc_8785() {
        let double = |text: &str| check_canonical_float(ColumnType::Double, text);
        for good in ["0", "1", "-1.5", "5e-324", "1.7976931348623157e+308", "1e+21", "100000000000000000000"]
        {
            assert_eq!(double(good), Ok(()), "{good}");
        }
        for bad in
            ["", "-0", "1.0", "1e0", "1E5", "1e21", "NaN", "Infinity", "inf", "+1", ".5", "5.", "1e999"]
        {
            assert_eq!(double(bad), Err(InvalidValue::NotCanonicalFloat), "{bad}");
        }
        let real = |text: &str| check_canonical_float(ColumnType::Real, text);
        assert_eq!(real("1.2345678901234567"), Ok(()));
        for bad in ["1e+39", "5e-324"] {
            assert_eq!(real(bad), Err(InvalidValue::FloatRange { ty: ColumnType::Real }), "{bad}");
        }
    }

    #[test]
    fn a_number_too_small_for_a_float_is_out_of_range_but_zero_is_not() {
        let check = |text: &str| check_float_range(ColumnType::Double, text);
        assert_eq!(check("0.000e5"), Ok(()));
        assert_eq!(check("-0"), Ok(()));
        assert!(check("1e-400").is_err());
        assert!(check("1e400").is_err());
    }

    #[test]
    fn a_numeric_follows_the_grammar_of_json_and_fits() {
        let any = |text: &str| check_numeric(text, None, 0);
        for good in ["0", "0.00", "12.30", "-1.5", "1e3", "1E+3", "1e-3", "123456789012345678901234567890"] {
            assert_eq!(any(good), Ok(()), "{good}");
        }
        for bad in
            ["", "+1", "01", "-0", "-0.00", "-0e5", ".5", "5.", "1e", "1e+", "NaN", "1_0", "0x1", "1.2.3"]
        {
            assert_eq!(any(bad), Err(InvalidValue::NotNumeric), "{bad}");
        }
        for bad in ["1e401", "1e-401", "1e99999999999999999999", "0e-9999"] {
            assert_eq!(any(bad), Err(InvalidValue::NumericExponent), "{bad}");
        }
        let fits = |text: &str| check_numeric(text, Some(8), 4);
        for good in ["1234.5678", "9999.99999", "0.00001", "0.12e4", "120000e-2", "-1234"] {
            assert_eq!(fits(good), Ok(()), "{good}");
        }
        for bad in ["12345", "1e4", "0.12e6", "-12345.6"] {
            assert_eq!(fits(bad), Err(InvalidValue::NumericRange { digits: 4 }), "{bad}");
        }
    }

    #[test]
    fn json_text_is_checked_for_what_postgresql_cannot_hold() {
        let check_json = |text: &str| check_json(text, true);
        for good in ["null", "{\"a\":[1,2.5e3,\"x\\\"[[[1e999\"]}", " [] ", "\"1e999\""] {
            assert_eq!(check_json(good), Ok(()), "{good}");
        }
        assert_eq!(super::check_json("[\"\\u0000\"]", false), Ok(()));
        assert_eq!(super::check_json("[\"\\\\u0000\"]", true), Ok(()));
        assert_eq!(check_json("[\"\\u0000\"]"), Err(InvalidValue::Nul));
        assert_eq!(check_json("{a:1}"), Err(InvalidValue::NotJson));
        assert_eq!(check_json(""), Err(InvalidValue::NotJson));
        assert_eq!(check_json("[1e99999]"), Err(InvalidValue::JsonExponent));
        assert_eq!(check_json("{\"a\":-1.5E+131071}"), Err(InvalidValue::JsonExponent));
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check_json(&deep(MAX_JSON_DEPTH)), Ok(()));
        assert_eq!(check_json(&deep(MAX_JSON_DEPTH + 1)), Err(InvalidValue::JsonTooDeep));
        assert_eq!(check_json(&deep(100_000)), Err(InvalidValue::JsonTooDeep));
    }
}
