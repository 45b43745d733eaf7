//! How a value stands in a field of our CSV files, so that it comes back as it was, and no spreadsheet runs it.
//!
//! An empty field is NULL. Texts that are empty, that a spreadsheet would take for a formula, or that begin with a
//! backslash get a backslash in front: what begins with one is a text that goes on behind it.

use std::borrow::Cow;

use crate::tables::spec::ColumnType;

/// Whether values of that type are texts that people write.
pub(super) fn is_free_text(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Text | ColumnType::Varchar { .. } | ColumnType::Json | ColumnType::Jsonb)
}

/// A text as a field.
pub(super) fn of_text(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        None | Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\\') => Cow::Owned(format!("\\{text}")),
        // Spreadsheets know these as well, written wide.
        Some('＝' | '＋' | '－' | '＠') => Cow::Owned(format!("\\{text}")),
        Some(_) => Cow::Borrowed(text),
    }
}

/// The text of a field; None: NULL.
pub(super) fn text_of(field: &str) -> Option<&str> {
    match field {
        "" => None,
        field => Some(field.strip_prefix('\\').unwrap_or(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_none_is_a_formula() {
        for text in ["", "a", "=1+1", "-1", "@x", "\\", "\\N", "\t=1", "\r", "＝1", "é", " =1"] {
            let field = of_text(text);
            assert_eq!(text_of(&field), Some(text));
            assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r', '＝']), "{field}");
        }
        assert_eq!(text_of(""), None);
    }
}
