//! Random secrets that we hand out once and keep only as a hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::Chance;

/// The plain text of a secret. Exists while it is made and shown, or while a request that carries it is served.
#[derive(Clone)]
pub struct PlainToken(String);

/// SHA-256 of a secret's plain text: what the database keeps. Fast on purpose: the secrets have 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashedToken([u8; 32]);

impl PlainToken {
    /// Random characters after the prefix: 43 of 62, more than 256 bits.
    const RANDOM_CHARS: usize = 43;
    const ALPHABET: &'static [u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// A new secret that begins with `prefix`.
    pub fn generate(prefix: &str, chance: &Chance) -> Self {
        let mut text = String::with_capacity(prefix.len() + Self::RANDOM_CHARS);
        text.push_str(prefix);
        while text.len() < prefix.len() + Self::RANDOM_CHARS {
            // 248 = 4 · 62: bytes above would favour the first letters.
            let even = chance.bytes::<64>().into_iter().filter(|byte| *byte < 248);
            let missing = prefix.len() + Self::RANDOM_CHARS - text.len();
            text.extend(even.take(missing).map(|byte| char::from(Self::ALPHABET[usize::from(byte % 62)])));
        }
        Self(text)
    }

    /// A secret that somebody sent.
    pub fn from_request(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn hash(&self) -> HashedToken {
        HashedToken(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The plain text, to show or to send. Name every place that calls this.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first `chars` characters, by which people recognise the secret later.
    pub fn beginning(&self, chars: usize) -> String {
        self.0.chars().take(chars).collect()
    }
}

impl HashedToken {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether two secrets are the same, in time that does not depend on where they differ.
pub fn same_secret(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken")
    }
}

impl fmt::Debug for HashedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_random_and_does_not_show_itself() {
        let chance = Chance::seeded(1);
        let one = PlainToken::generate("sk_live_", &chance);
        let two = PlainToken::generate("sk_live_", &chance);
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), "sk_live_".len() + 43);
        assert!(one.expose()[8..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(format!("{one:?} {:?}", one.hash()), "PlainToken HashedToken");
        assert_eq!(one.hash(), PlainToken::from_request(one.expose()).hash());
    }
}
