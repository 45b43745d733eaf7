//! Names that may stand in SQL text. [`Ident`] is the only way a table's or column's name gets there.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The hidden column of every business table: which scope a row belongs to. Never leaves the server.
pub const SCOPE_COLUMN: &str = "_sync_scope_id";

/// The name of a table, column or logical schema of an app.
///
/// 1 to 63 bytes (PostgreSQL would cut a longer one silently), no control characters, and none of the prefixes
/// that belong to the engine (`_sync_`) or to PostgreSQL (`pg_`). Any other text is fine: names are always quoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Ident(String);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdent {
    #[error("a name must not be empty")]
    Empty,
    #[error("a name must have at most 63 bytes, because PostgreSQL cuts longer ones; this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("a name must not contain control characters")]
    Control,
    #[error("names that begin with \"{prefix}\" are reserved")]
    Reserved { prefix: &'static str },
}

impl Ident {
    pub const MAX_BYTES: usize = 63;
    const RESERVED_PREFIXES: [&'static str; 2] = ["_sync_", "pg_"];

    pub fn parse(text: &str) -> Result<Self, InvalidIdent> {
        if text.is_empty() {
            return Err(InvalidIdent::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidIdent::TooLong { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidIdent::Control);
        }
        for prefix in Self::RESERVED_PREFIXES {
            // `get`, because a name may have a character that straddles the prefix's length.
            if text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
                return Err(InvalidIdent::Reserved { prefix });
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a quoted PostgreSQL identifier.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Ident {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Lets maps keyed by names be asked with plain text.
impl std::borrow::Borrow<str> for Ident {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Ident {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// `text` as an SQL string literal. For texts that cannot be bound: defaults, checks and names within generated
/// functions. The text must not contain NUL, which PostgreSQL has no way to hold.
pub(crate) fn quote_literal(text: &str) -> String {
    // Two forms, because only E'' reads a backslash the same whatever standard_conforming_strings says.
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_whatever_it_contains() {
        let hostile = Ident::parse("a\"; drop table x; --").unwrap();
        assert_eq!(hostile.quoted(), "\"a\"\"; drop table x; --\"");
    }

    #[test]
    fn the_engines_names_are_refused_in_any_case() {
        assert_eq!(Ident::parse("_SYNC_row"), Err(InvalidIdent::Reserved { prefix: "_sync_" }));
        assert_eq!(Ident::parse(SCOPE_COLUMN), Err(InvalidIdent::Reserved { prefix: "_sync_" }));
        assert_eq!(Ident::parse("pg_class"), Err(InvalidIdent::Reserved { prefix: "pg_" }));
        assert!(Ident::parse("_sync").is_ok());
        assert!(Ident::parse("pgé").is_ok());
    }

    #[test]
    fn empty_long_and_unprintable_names_are_refused() {
        assert_eq!(Ident::parse(""), Err(InvalidIdent::Empty));
        assert_eq!(Ident::parse(&"é".repeat(32)), Err(InvalidIdent::TooLong { bytes: 64 }));
        assert_eq!(Ident::parse("a\0b"), Err(InvalidIdent::Control));
        assert!(serde_json::from_str::<Ident>("\"pg_x\"").is_err());
    }

    #[test]
    fn a_literal_holds_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'b"), "E'a\\\\''b'");
    }
}
