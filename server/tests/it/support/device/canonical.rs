//! The hashes of PROTOCOL.md section 3, computed from what a device sees on the wire, without the server's code.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::schema::Profile;

/// `canonical_request_hash` of the rows of a push, in upload order.
pub(crate) fn request_hash(profile: Profile, rows: &[Json]) -> String {
    hash(profile, rows, "base_row_version")
}

/// `bundle_hash` of the rows of a bundle, in the order they are served.
pub(crate) fn bundle_hash(profile: Profile, rows: &[Json]) -> String {
    hash(profile, rows, "row_version")
}

fn hash(profile: Profile, rows: &[Json], version: &str) -> String {
    let number = |n: i64| match profile {
        Profile::Strings => json!(n.to_string()),
        Profile::Numbers => json!(n),
    };
    let logical = rows.iter().enumerate().map(|(ordinal, row)| {
        json!({
            "key": row["key"],
            "op": row["op"],
            "payload": row["payload"],
            "row_ordinal": number(ordinal as i64),
            version: number(row[version].as_i64().expect("a row version is a number")),
            "schema": row["schema"],
            "table": row["table"],
        })
    });
    let logical = Json::Array(logical.collect());
    let canonical = match profile {
        Profile::Strings => serde_json_canonicalizer::to_string(&logical).expect("canonical JSON"),
        Profile::Numbers => {
            let mut text = String::new();
            go_json(&logical, &mut text);
            text
        }
    };
    Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Go's `json.Marshal` makes of a value that `json.Unmarshal` decoded into `any`: every number is a float64.
fn go_json(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&go_float(number.as_f64().expect("a finite number"))),
        Json::String(text) => go_string(text, out),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                go_json(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
            out.push('{');
            for (i, name) in names.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                go_string(name, out);
                out.push(':');
                go_json(&members[name], out);
            }
            out.push('}');
        }
    }
}

/// `encoding/json`'s floatEncoder: shortest digits, exponents below 1e-6 and from 1e21 on.
fn go_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        // Rust's Display never uses an exponent and prints the shortest digits that read back.
        return format!("{value}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{}", exponent.abs())
}

fn go_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[test]
fn the_check_values_of_the_protocol_come_out() {
    let row = |version: &str, payload: Json| {
        json!({
            "schema": "business", "table": "numeric_values", "key": {"id": "n-1"}, "op": "INSERT",
            version: i64::from(version == "row_version"), "payload": payload,
        })
    };
    let uploaded = row(
        "base_row_version",
        json!({
            "amount": "1234567890.123456789", "count": "2147483647", "enabled": "1", "id": "n-1",
            "large_count": "9007199254740993", "ratio": "1.2345678901234567", "score": "5e-324",
            "small_count": "-32768",
        }),
    );
    assert_eq!(
        request_hash(Profile::Strings, &[uploaded]),
        "ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a"
    );
    let stored = row(
        "row_version",
        json!({
            "amount": "1234567890.1234567890", "count": "2147483647", "enabled": true, "id": "n-1",
            "large_count": "9007199254740993", "ratio": "1.2345678806304932", "score": "5e-324",
            "small_count": "-32768",
        }),
    );
    assert_eq!(
        bundle_hash(Profile::Strings, &[stored]),
        "92fe0879f22de1e60f1bec5655f94cc641389e2ba5624666402a2a5cdd7150e3"
    );
}

#[test]
fn numbers_and_strings_are_written_as_go_writes_them() {
    let written = |value: Json| {
        let mut text = String::new();
        go_json(&value, &mut text);
        text
    };
    assert_eq!(written(json!(9_007_199_254_740_993_i64)), "9007199254740992");
    assert_eq!(
        written(json!([1e21, 1e-7, 5e-324, 1.5, 123456789012345680000.0])),
        "[1e+21,1e-7,5e-324,1.5,123456789012345680000]"
    );
    assert_eq!(
        written(json!("<a & b>\u{2028}\u{1}\n\u{7f}é")),
        "\"\\u003ca \\u0026 b\\u003e\\u2028\\u0001\\n\u{7f}é\""
    );
    assert_eq!(written(json!({"b": 1, "a": null})), "{\"a\":null,\"b\":1}");
}
