//! Values as people and spreadsheets write them, made into the text form of profile `strings` (PROTOCOL.md section 6).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{http::dashboard::sign_up::sentence, sync::payload, tables::spec::ColumnType};

/// The value that was typed for a column, or the sentence that says what is wrong with it.
pub(super) fn read(ty: ColumnType, typed: &str) -> Result<String, String> {
    let text = match ty {
        ColumnType::Text | ColumnType::Varchar { .. } | ColumnType::Json => typed.replace("\r\n", "\n"),
        ColumnType::Jsonb => typed.to_owned(),
        ColumnType::Boolean => boolean(typed.trim()),
        ColumnType::Bytea => bytes(typed.trim())?,
        ColumnType::Uuid => uuid_text(typed.trim()),
        ColumnType::Timestamptz => with_zone(typed.trim()),
        ColumnType::Timestamp => with_time(typed.trim()),
        _ => typed.trim().to_owned(),
    };
    payload::check_typed(ty, &text).map_err(|invalid| match ty {
        ColumnType::Boolean => "It must be true or false.".to_owned(),
        _ => sentence(&format!("it {invalid}")),
    })?;
    Ok(text)
}

/// What a person may type for a column of that type: a hint below its field.
pub(super) fn hint(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Timestamptz => "2024-05-06T07:08:09Z, or another zone’s +02:00",
        ColumnType::Timestamp => "2024-05-06T07:08:09",
        ColumnType::Date => "2024-05-06",
        ColumnType::Time => "07:08:09",
        ColumnType::Bytea => "base64, or hex digits after 0x",
        ColumnType::Json | ColumnType::Jsonb => "JSON text",
        _ => "",
    }
}

fn boolean(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" => "1".to_owned(),
        "false" | "f" | "no" => "0".to_owned(),
        _ => text.to_owned(),
    }
}

/// Base64 stays; `0x` and `\x` begin hex digits.
fn bytes(text: &str) -> Result<String, String> {
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("\\x")) else {
        return Ok(text.to_owned());
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? * 16 + digit(low)?),
        _ => None,
    });
    let decoded: Option<Vec<u8>> = pairs.collect();
    decoded
        .map(|bytes| STANDARD.encode(bytes))
        .ok_or_else(|| "After 0x there must be pairs of hex digits.".to_owned())
}

fn uuid_text(text: &str) -> String {
    uuid::Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |uuid| uuid.hyphenated().to_string())
}

/// A day alone is its beginning; a time that names no zone is UTC.
fn with_zone(text: &str) -> String {
    let text = with_time(text);
    let time = text.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
    let has_zone = time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
    if time.is_empty() || has_zone { text } else { format!("{text}Z") }
}

fn with_time(text: &str) -> String {
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match text.split_once(['T', ' ']) {
        None if is_day => format!("{text}T00:00:00"),
        // As browsers and people leave the seconds out.
        Some((_, time)) if time.len() == 5 => format!("{text}:00"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_typed_as_people_write_them() {
        let good = [
            (ColumnType::Boolean, "True", "1"),
            (ColumnType::Bytea, "0x00ff", "AP8="),
            (ColumnType::Bytea, "AP8=", "AP8="),
            (
                ColumnType::Uuid,
                "0192F0C1-5F7E-7CC3-98C4-DC0C0C07398F",
                "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f",
            ),
            (ColumnType::Timestamptz, "2024-05-06", "2024-05-06T00:00:00Z"),
            (ColumnType::Timestamptz, "2024-05-06 07:08", "2024-05-06 07:08:00Z"),
            (ColumnType::Timestamptz, "2024-05-06T07:08:09+02:00", "2024-05-06T07:08:09+02:00"),
            (ColumnType::Timestamp, "2024-05-06", "2024-05-06T00:00:00"),
            (ColumnType::BigInt, " 7 ", "7"),
            (ColumnType::Text, " 7\r\n", " 7\n"),
        ];
        for (ty, typed, value) in good {
            assert_eq!(read(ty, typed), Ok(value.to_owned()), "{typed}");
        }
        for (ty, typed) in [
            (ColumnType::Boolean, "2"),
            (ColumnType::Bytea, "0x0"),
            (ColumnType::Bytea, "0xé"),
            (ColumnType::Bytea, "?"),
            (ColumnType::BigInt, ""),
            (ColumnType::Double, "NaN"),
            (ColumnType::Jsonb, "{"),
            (ColumnType::Timestamptz, "yesterday"),
            (ColumnType::Text, "\0"),
        ] {
            assert!(read(ty, typed).is_err(), "{typed}");
        }
    }
}
