//! The rows of a bundle in the form in which they would have been sent.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::sync::payload::{
    canonical,
    json::{Members, Value},
};

/// A row of a bundle as it is served.
#[derive(Debug, Deserialize)]
pub(super) struct ServedRow<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    key: Members<'a>,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl<'a> ServedRow<'a> {
    pub(super) fn parse(row: &'a str) -> Self {
        serde_json::from_str(row).expect("BUG: a stored row is no row")
    }

    /// The row in the form of the request hash. The payload is stored in it, because bundle hashes are taken over it too.
    pub(super) fn as_sent(&self, base_version: i64, ordinal: i32) -> String {
        let payload = self.payload.get();
        let mut out = String::with_capacity(payload.len() + 256);
        out.push_str("{\"base_row_version\":\"");
        out.push_str(&base_version.to_string());
        out.push_str("\",");
        out.push_str("\"key\":");
        self.write_key(&mut out);
        out.push_str(",\"op\":\"");
        out.push_str(&self.op);
        out.push_str("\",\"payload\":");
        out.push_str(payload);
        out.push_str(",\"row_ordinal\":\"");
        out.push_str(&ordinal.to_string());
        out.push('"');
        out.push_str(",\"schema\":");
        canonical::push_string(&mut out, &self.schema);
        out.push_str(",\"table\":");
        canonical::push_string(&mut out, &self.table);
        out.push('}');
        out
    }

    fn write_key(&self, out: &mut String) {
        out.push('{');
        if let Some((name, Value::Text(key))) = self.key.0.first() {
            canonical::push_string(out, name);
            out.push(':');
            canonical::push_string(out, key);
        }
        out.push('}');
    }
}
