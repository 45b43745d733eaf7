//! Values of an app's rows, and the tone in which a fact is told.

use askama::{Template, filters::HtmlSafe};

use crate::filters;

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    /// As it reads on the wire.
    Text(String),
    /// The beginning of a value that is too long to show whole, and the size of the whole in bytes.
    Long {
        beginning: String,
        bytes: i64,
    },
    /// The size of a binary value in bytes.
    Binary {
        bytes: i64,
    },
}

impl Value {
    /// Characters of a value that a page shows.
    pub const SHOWN_CHARS: usize = 400;

    /// A text, cut when it is long.
    pub fn text(text: &str) -> Self {
        match text.char_indices().nth(Self::SHOWN_CHARS) {
            None => Self::Text(text.to_owned()),
            Some((end, _)) => Self::Long {
                beginning: text[..end].to_owned(),
                bytes: i64::try_from(text.len()).unwrap_or(i64::MAX),
            },
        }
    }

    /// The value as HTML, escaped.
    pub(crate) fn html(&self) -> impl HtmlSafe + '_ {
        ValueView { value: self }
    }
}

/// A value as a piece of a page.
#[derive(Debug, Template)]
#[template(path = "components/_value.html")]
struct ValueView<'a> {
    value: &'a Value,
}

// Its template escapes what it shows.
impl HtmlSafe for ValueView<'_> {}

/// How good a fact is, which decides its colour; the words beside it say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Info,
    Warn,
    Bad,
}

impl Tone {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let Value::Long { beginning, bytes } = Value::text(&"ä".repeat(500)) else { panic!("it is long") };
        assert_eq!((beginning.chars().count(), bytes), (400, 1000));
        assert_eq!(Value::text("short"), Value::Text("short".to_owned()));
    }
}
