//! What names a row on the wire: its operation and its key.

use crate::tables::spec::KeyKind;

/// What a row of a push or bundle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowOp {
    Insert,
    Update,
    Delete,
}

impl RowOp {
    /// The operation of that name on the wire; no other spelling counts.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "INSERT" => Some(Self::Insert),
            "UPDATE" => Some(Self::Update),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// As it is kept in staged pushes and effects.
    pub(in crate::sync) const fn letter(self) -> &'static str {
        match self {
            Self::Insert => "I",
            Self::Update => "U",
            Self::Delete => "D",
        }
    }
}

/// From the engine's own tables, whose constraints admit nothing else.
impl TryFrom<String> for RowOp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or(text)
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("the key must be a UUID in lowercase with dashes, such as 0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f")]
    NotUuid,
    #[error("the key must have at most {MAX_KEY_BYTES} bytes")]
    TooLong,
    #[error("the key must not contain the character U+0000, which PostgreSQL cannot hold")]
    Nul,
}

/// Bytes of a text key: it stands in index entries, which PostgreSQL limits, beside the scope's id.
pub const MAX_KEY_BYTES: usize = 1024;

/// Check the text of a sync key.
pub(in crate::sync) fn check_key(kind: KeyKind, key: &str) -> Result<(), InvalidKey> {
    match kind {
        KeyKind::Uuid if !is_canonical_uuid(key) => Err(InvalidKey::NotUuid),
        KeyKind::Uuid => Ok(()),
        KeyKind::Text if key.len() > MAX_KEY_BYTES => Err(InvalidKey::TooLong),
        KeyKind::Text if key.contains('\0') => Err(InvalidKey::Nul),
        KeyKind::Text => Ok(()),
    }
}

/// Whether `text` is a UUID as PostgreSQL prints it: lowercase hex digits in groups of 8-4-4-4-12.
pub fn is_canonical_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_of_a_uuid_is_a_uuid_key() {
        let check = |key| check_key(KeyKind::Uuid, key);
        assert_eq!(check("0192f0c1-5f7e-7cc3-98c4-dc0c0c07398f"), Ok(()));
        for bad in [
            "",
            "0192F0C1-5f7e-7cc3-98c4-dc0c0c07398f",
            "0192f0c15f7e7cc398c4dc0c0c07398f",
            "{0192f0c1-5f7e-7cc3-98c4-dc0c0c07398}",
            "0192f0c1-5f7e-7cc3-98c4-dc0c0c07398g",
            "0192f0c1-5f7e-7cc3-98c4-dc0c0c0739é",
        ] {
            assert_eq!(check(bad), Err(InvalidKey::NotUuid), "{bad}");
        }
    }

    #[test]
    fn a_text_key_is_any_text_that_postgresql_can_index() {
        let check = |key: &str| check_key(KeyKind::Text, key);
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("naïve ключ 🔑"), Ok(()));
        assert_eq!(check(&"x".repeat(MAX_KEY_BYTES + 1)), Err(InvalidKey::TooLong));
        assert_eq!(check("a\0b"), Err(InvalidKey::Nul));
    }
}
