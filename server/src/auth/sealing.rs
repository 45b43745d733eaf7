//! Secrets that the database keeps and the server must read again: sealed with a key that is not in the database, so
//! that whoever reads the database, or a backup of it, cannot use them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};

use crate::ids::Chance;

/// Seals and opens. Every node of a deployment has the same; it lives as long as what is sealed with it.
#[derive(Clone)]
pub struct SecretKey {
    bytes: [u8; Self::BYTES],
    name: KeyName,
}

/// By which sealed secrets tell with which key they can be opened. It says nothing about the key.
pub type KeyName = [u8; 4];

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 random bytes in base64 or in hex digits, as `openssl rand -base64 32` makes them")]
pub struct NoSecretKey;

/// Why a sealed secret is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    #[error("it was sealed with another key than this server's (SYNCLINE_SECRET_KEY)")]
    AnotherKey,
    #[error("it is not what was sealed")]
    Damaged,
}

impl SecretKey {
    const BYTES: usize = 32;
    /// The form of what is sealed, in its first byte: then the key's name, a random nonce, and the secret with its tag.
    const FORM: u8 = 1;
    const NONCE: usize = 24;
    /// Bytes before the nonce, and in all around the secret.
    const HEAD: usize = 1 + 4;
    pub const OVERHEAD: usize = Self::HEAD + Self::NONCE + 16;

    pub fn generate(chance: &Chance) -> Self {
        Self::new(chance.bytes())
    }

    fn new(bytes: [u8; Self::BYTES]) -> Self {
        let hash =
            Sha256::new().chain_update(b"name of a syncline secret key\0").chain_update(bytes).finalize();
        Self { bytes, name: [hash[0], hash[1], hash[2], hash[3]] }
    }

    /// The key that somebody has written down.
    pub fn parse(text: &str) -> Result<Self, NoSecretKey> {
        let text = text.trim();
        let bytes = if text.len() == 2 * Self::BYTES { of_hex(text) } else { STANDARD.decode(text).ok() };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self::new).ok_or(NoSecretKey)
    }

    /// As it is written down. Name every place that calls this.
    pub fn expose(&self) -> String {
        STANDARD.encode(self.bytes)
    }

    pub fn name(&self) -> KeyName {
        self.name
    }

    /// Seal `secret` for `place`, for instance the account it is of: it can be opened for that place alone.
    pub fn seal(&self, secret: &[u8], place: &str, chance: &Chance) -> Vec<u8> {
        let nonce: [u8; Self::NONCE] = chance.bytes();
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let sealed = self.cipher().encrypt(&nonce.into(), payload).expect("BUG: a secret is not that long");
        [&[Self::FORM], &self.name[..], &nonce[..], &sealed[..]].concat()
    }

    /// What was sealed for `place`.
    pub fn open(&self, sealed: &[u8], place: &str) -> Result<Vec<u8>, CannotOpen> {
        let (head, rest) = sealed.split_at_checked(Self::HEAD).ok_or(CannotOpen::Damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<{ Self::NONCE }>().ok_or(CannotOpen::Damaged)?;
        if head[0] != Self::FORM {
            return Err(CannotOpen::Damaged);
        }
        if head[1..] != self.name {
            return Err(CannotOpen::AnotherKey);
        }
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.cipher().decrypt(&(*nonce).into(), payload).map_err(|_| CannotOpen::Damaged)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.bytes.into())
    }
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_for_the_same_place_alone() {
        let chance = Chance::seeded(1);
        let (key, other) = (SecretKey::generate(&chance), SecretKey::generate(&chance));
        let sealed = key.seal(b"a secret", "account 1", &chance);
        assert_eq!(sealed.len(), 8 + SecretKey::OVERHEAD);
        assert!(!sealed.windows(8).any(|bytes| bytes == b"a secret"));
        assert_eq!(key.open(&sealed, "account 1").unwrap(), b"a secret");
        assert_ne!(key.seal(b"a secret", "account 1", &chance), sealed, "no two are alike");

        assert_eq!(key.open(&sealed, "account 2"), Err(CannotOpen::Damaged));
        assert_eq!(other.open(&sealed, "account 1"), Err(CannotOpen::AnotherKey));
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(key.open(&changed, "account 1").is_err(), "byte {place}");
            assert!(key.open(&sealed[..place], "account 1").is_err(), "{place} bytes");
        }
    }

    #[test]
    fn a_key_is_written_in_base64_or_hex() {
        let key = SecretKey::new(std::array::from_fn(|place| u8::try_from(place * 7).unwrap()));
        let hex: String = key.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        for text in [key.expose(), hex, format!("{}\n", key.expose())] {
            assert_eq!(SecretKey::parse(&text).unwrap().bytes, key.bytes);
        }
        for text in ["", "short", &"g".repeat(64), &"é".repeat(32), &STANDARD.encode([0; 31])] {
            assert_eq!(SecretKey::parse(text).unwrap_err(), NoSecretKey, "{text}");
        }
        assert_eq!(format!("{key:?}"), "SecretKey");
    }
}
