//! The rows of a bundle in the spelling of the device that sent them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    sync::payload::{
        canonical,
        json::{Members, Value},
    },
    tables::{catalog::AppCatalog, spec::ColumnType},
};

/// How a device may have spelled what PostgreSQL spells in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync::bundle) enum Spelling {
    /// As they are stored.
    Stored,
    /// Booleans as `"0"` and `"1"`.
    Strings,
    /// And decimal numbers without zeros at their end.
    ShortStrings,
    /// Both as the JSON numbers that SQLite holds.
    Numbers,
}

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
    pub(super) row_version: i64,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl<'a> ServedRow<'a> {
    pub(super) fn parse(row: &'a str) -> Self {
        serde_json::from_str(row).expect("BUG: a stored row is no row")
    }

    /// The row in the form of the request hash or of the bundle hash, which differ in the version.
    pub(super) fn write(&self, payload: &str, version_name: &str, version: i64, ordinal: i32) -> String {
        let mut out = String::with_capacity(payload.len() + 256);
        out.push('{');
        let version = format!("\"{version_name}\":\"{version}\"");
        if version_name < "key" {
            out.push_str(&version);
            out.push(',');
        }
        out.push_str("\"key\":");
        self.write_key(&mut out);
        out.push_str(",\"op\":\"");
        out.push_str(&self.op);
        out.push_str("\",\"payload\":");
        out.push_str(payload);
        out.push_str(",\"row_ordinal\":\"");
        out.push_str(&ordinal.to_string());
        out.push('"');
        if version_name > "key" {
            out.push(',');
            out.push_str(&version);
        }
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

impl Spelling {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Strings => "strings",
            Self::ShortStrings => "short_strings",
            Self::Numbers => "numbers",
        }
    }

    /// Append a served row in this spelling.
    pub(in crate::sync::bundle) fn rewrite(self, app: &AppCatalog, row: &str, out: &mut String) {
        let served = ServedRow::parse(row);
        let payload = self.payload(app, &served);
        // The payload is the row's last member.
        out.push_str(&row[..row.len() - 1 - served.payload.get().len()]);
        out.push_str(&payload);
        out.push('}');
    }

    /// The row's payload in canonical JSON. It is stored in it, because bundle hashes are taken over it too.
    pub(super) fn payload<'r>(self, app: &AppCatalog, row: &ServedRow<'r>) -> Cow<'r, str> {
        let stored = row.payload.get();
        let table = app.table(&row.table).filter(|_| self != Self::Stored && stored != "null");
        let Some(table) = table else { return Cow::Borrowed(stored) };
        let members: Members<'_> = serde_json::from_str(stored).expect("BUG: a stored row is no object");
        let mut out = String::with_capacity(stored.len());
        for (name, value) in &members.0 {
            out.push(if out.is_empty() { '{' } else { ',' });
            canonical::push_string(&mut out, name);
            out.push(':');
            match table.column(name).map(|column| column.ty) {
                Some(ColumnType::Boolean) => self.push_boolean(&mut out, value),
                Some(ColumnType::Numeric { .. }) => self.push_numeric(&mut out, value),
                _ => push_stored(&mut out, value),
            }
        }
        out.push('}');
        Cow::Owned(out)
    }

    fn push_boolean(self, out: &mut String, value: &Value<'_>) {
        match (self, value) {
            (Self::Numbers, Value::Bool(value)) => out.push(if *value { '1' } else { '0' }),
            (_, Value::Bool(value)) => out.push_str(if *value { "\"1\"" } else { "\"0\"" }),
            _ => push_stored(out, value),
        }
    }

    fn push_numeric(self, out: &mut String, value: &Value<'_>) {
        let Value::Text(text) = value else { return push_stored(out, value) };
        let short = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => text,
        };
        match (self, text.parse::<f64>()) {
            (Self::Numbers, Ok(number)) if number.is_finite() => {
                out.push_str(ryu_js::Buffer::new().format_finite(number));
            }
            (Self::ShortStrings, _) => canonical::push_string(out, short),
            _ => push_stored(out, value),
        }
    }
}

fn push_stored(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null | Value::Composite => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(text) => out.push_str(text),
        Value::Text(text) => canonical::push_string(out, text),
    }
}
