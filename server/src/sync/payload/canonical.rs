//! RFC 8785 text of rows that consist of strings: the input of request hashes, and the form pushes are staged in.

use crate::tables::{catalog::CatalogTable, ident::Ident};

/// Append `text` as a JSON string in its shortest form (RFC 8785, section 3.2.2.2).
pub(in crate::sync) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut copied = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        // Every byte that is escaped is a character of its own, so the cuts are between characters.
        out.push_str(&text[copied..i]);
        copied = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(HEX[usize::from(control >> 4)].into());
                out.push(HEX[usize::from(control & 15)].into());
            }
        }
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

/// The constant parts of a table's rows in canonical JSON.
#[derive(Debug)]
pub(in crate::sync) struct TableForm {
    /// `","key":{"id":`
    pub(in crate::sync) key_head: String,
    /// `","schema":"main","table":"notes"}`
    pub(in crate::sync) tail: String,
    /// Columns by the order of their names in canonical JSON: index into the catalog's columns, and `"name":`.
    pub(in crate::sync) members: Vec<(usize, String)>,
}

impl TableForm {
    pub(in crate::sync) fn new(logical_schema: &Ident, table: &CatalogTable) -> Self {
        let mut order: Vec<_> =
            table.columns().iter().map(|column| column.name.as_str()).enumerate().collect();
        order.sort_by(|(_, a), (_, b)| a.encode_utf16().cmp(b.encode_utf16()));
        let member = |name: &str| {
            let mut text = String::with_capacity(name.len() + 3);
            push_string(&mut text, name);
            text.push(':');
            text
        };
        let mut tail = String::from("\",\"schema\":");
        push_string(&mut tail, logical_schema.as_str());
        tail.push_str(",\"table\":");
        push_string(&mut tail, table.name().as_str());
        tail.push('}');
        Self {
            key_head: format!("\",\"key\":{{{}", member(table.key().column.as_str())),
            tail,
            members: order.into_iter().map(|(i, name)| (i, member(name))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_is_written_as_a_library_for_rfc_8785_writes_it(text: String) {
            let mut ours = String::new();
            push_string(&mut ours, &text);
            let theirs = serde_json_canonicalizer::to_string(&text).unwrap();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn control_characters_have_their_short_forms() {
        let all: String = (0..=0x20u8).map(char::from).chain("\"\\/\u{7f}\u{2028}é🔑".chars()).collect();
        let mut ours = String::new();
        push_string(&mut ours, &all);
        assert_eq!(ours, serde_json_canonicalizer::to_string(&all).unwrap());
    }
}
