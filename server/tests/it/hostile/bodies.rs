//! Bad bodies, generated from a good one.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::Value as Json;

/// What a bad body is bad at, for the message of a test that fails.
pub(super) type Named = (String, Vec<u8>);

/// What can stand in the place of any value, as JSON text; not all of it is JSON.
const TOKENS: [&str; 34] = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "-0",
    "1e3",
    "1e400",
    "-1e400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1e-400",
    "01",
    "+1",
    "NaN",
    "Infinity",
    "\"\"",
    "\"0\"",
    "\"-0\"",
    "\"01\"",
    "\"1e0\"",
    "\"NaN\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\u{202e}\u{feff}\u{10ffff}\"",
    "\"'; drop schema public cascade; --\"",
    "\"99999999-9999-9999-9999-99999999999G\"",
    "[]",
    "{}",
    "[[[{\"a\":[]}]]]",
];

/// Every member of `good` in turn replaced, left out, repeated, and one more added.
pub(super) fn with_bad_members(good: &Json) -> Vec<Named> {
    let mut all = Vec::new();
    for path in paths(good) {
        let holed = text_with_hole(good, &path);
        for token in TOKENS {
            all.push((format!("{path} = {token}"), holed.replace(HOLE, token).into_bytes()));
        }
        let huge = "9".repeat(5_000);
        all.push((format!("{path} = 5000 digits"), holed.replace(HOLE, &huge).into_bytes()));
        all.push((
            format!("{path} = \"5000 digits\""),
            holed.replace(HOLE, &format!("\"{huge}\"")).into_bytes(),
        ));
        let long = format!("\"{}\"", "x".repeat(100_000));
        all.push((format!("{path} = a long text"), holed.replace(HOLE, &long).into_bytes()));
        let mut bytes = holed.replace(HOLE, "\"@\"").into_bytes();
        if let Some(at) = bytes.windows(3).position(|window| window == b"\"@\"") {
            bytes[at + 1] = 0xff;
        }
        all.push((format!("{path} = invalid UTF-8"), bytes));

        let (parent, name) = path.rsplit_once('/').unwrap_or(("", ""));
        let mut without = good.clone();
        if let Some(Json::Object(members)) = without.pointer_mut(parent)
            && let Some(value) = members.remove(name)
        {
            all.push((format!("{path} left out"), without.to_string().into_bytes()));
            let doubled = format!("{{\"{name}\":{value},\"{name}\":{value},");
            let text = text_with_hole(good, parent).replace(HOLE, &{
                let rest = without.pointer(parent).map(Json::to_string).unwrap_or_default();
                format!("{doubled}{}", &rest[1..]).replace(",}", "}")
            });
            all.push((format!("{path} twice"), text.into_bytes()));
            let mut with = good.clone();
            if let Some(Json::Object(members)) = with.pointer_mut(parent) {
                members.insert("no_such_member".to_owned(), Json::from(1));
                members.insert("_sync_scope_id".to_owned(), Json::from("somebody else"));
            }
            all.push((format!("{parent} with more members"), with.to_string().into_bytes()));
        }
    }
    all
}

/// Bodies that are wrong as a whole.
pub(super) fn malformed(good: &Json) -> Vec<Named> {
    let text = good.to_string();
    let mut all: Vec<Named> = Vec::new();
    for cut in [1, text.len() / 3, text.len() / 2, text.len().saturating_sub(1)] {
        all.push((format!("cut after {cut} bytes"), text.as_bytes()[..cut.min(text.len())].to_vec()));
    }
    for (name, body) in [
        ("nothing", String::new()),
        ("white space", " \n\t".to_owned()),
        ("null", "null".to_owned()),
        ("a number", "7".to_owned()),
        ("a text", "\"x\"".to_owned()),
        ("a list", format!("[{text}]")),
        ("twice", format!("{text}{text}")),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("a comment", format!("/* */{text}")),
        ("a trailing comma", text.replacen('}', ",}", 1)),
        ("single quotes", text.replace('"', "'")),
        ("a NUL at the end", format!("{text}\0")),
        ("a form", "a=1&b=2".to_owned()),
        ("lists 100,000 deep", "[".repeat(100_000)),
        ("closed lists 100,000 deep", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("objects 50,000 deep", "{\"a\":".repeat(50_000)),
        ("lists 126 deep", format!("{}{}", "[".repeat(126), "]".repeat(126))),
        ("a million members", format!("{{{}\"z\":1}}", "\"a\":1,".repeat(1_000_000))),
        ("UTF-16", text.chars().flat_map(|c| [c, '\0']).collect()),
    ] {
        all.push((name.to_owned(), body.into_bytes()));
    }
    all.push(("invalid UTF-8".to_owned(), [b"{\"", &[0xc3, 0x28, 0xff][..], b"\":1}"].concat()));
    all.push(("every byte".to_owned(), (0..=255).collect()));
    all
}

/// More than the server takes: 33 MiB as it is.
pub(super) fn too_large(good: &Json) -> Vec<Named> {
    const MORE_THAN_ALLOWED: usize = 33 * 1024 * 1024;
    let mut padded = good.to_string().into_bytes();
    padded.resize(MORE_THAN_ALLOWED, b' ');
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(MORE_THAN_ALLOWED));
    vec![("33 MiB, mostly spaces".to_owned(), padded), ("a text of 33 MiB".to_owned(), text.into_bytes())]
}

/// A gigabyte of spaces, packed into a megabyte.
pub(super) fn gzip_bomb() -> Vec<u8> {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    let spaces = vec![b' '; 1024 * 1024];
    for _ in 0..1024 {
        bomb.write_all(&spaces).unwrap();
    }
    bomb.finish().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const HOLE: &str = "\"@@hole@@\"";

fn text_with_hole(good: &Json, path: &str) -> String {
    let mut holed = good.clone();
    *holed.pointer_mut(path).expect("a path of the same value") = Json::from("@@hole@@");
    holed.to_string()
}

/// JSON pointers of everything inside `value`.
fn paths(value: &Json) -> Vec<String> {
    let children: Vec<(String, &Json)> = match value {
        Json::Object(members) => members.iter().map(|(name, child)| (format!("/{name}"), child)).collect(),
        Json::Array(items) => items.iter().enumerate().map(|(i, child)| (format!("/{i}"), child)).collect(),
        _ => Vec::new(),
    };
    children
        .into_iter()
        .flat_map(|(path, child)| {
            let below = paths(child).into_iter().map(|rest| format!("{path}{rest}")).collect::<Vec<_>>();
            std::iter::once(path.clone()).chain(below)
        })
        .collect()
}
