//! What a form remembers between one attempt and the next.
//!
//! A form's *input* (what `serde` reads from the request) and its *form* (what the template shows) are two types:
//! the second is made from the first and has nowhere to keep a password.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// The token that proves a form came from one of our pages; every form posts it as [`Csrf::FIELD`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Csrf(String);

impl Csrf {
    /// The name of the hidden field.
    pub const FIELD: &'static str = "csrf_token";

    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Csrf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Csrf")
    }
}

/// A field: what was typed, and the sentence that says what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    pub value: String,
    pub error: Option<String>,
}

impl Field {
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), error: None }
    }

    /// Put `sentence` at the field.
    pub fn reject(&mut self, sentence: impl Into<String>) {
        self.error = Some(sentence.into());
    }
}

impl From<&str> for Field {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

/// A field whose value is never shown again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretField {
    pub error: Option<String>,
}

impl SecretField {
    /// Put `sentence` at the field.
    pub fn reject(&mut self, sentence: impl Into<String>) {
        self.error = Some(sentence.into());
    }
}

/// A password or another secret as it was typed. `Debug` does not show it, and no form keeps it.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Typed(String);

impl Typed {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

/// A check box: ticked when the request names it at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticked(pub bool);

impl<'de> Deserialize<'de> for Ticked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|value| Self(!value.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_in_debug() {
        assert_eq!(format!("{:?} {:?}", Typed::new("hunter2"), Csrf::new("token")), "Typed Csrf");
    }
}
