//! Passwords: argon2id, off the async threads, a bounded number at a time.

use std::{fmt, sync::Arc};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use tokio::sync::Semaphore;

use crate::ids::Chance;

/// A password as typed. Never printed, never kept.
#[derive(Clone)]
pub struct Password(String);

/// An argon2id PHC string, as the database keeps it.
#[derive(Clone, sqlx::Type)]
#[sqlx(transparent)]
pub struct HashedPassword(String);

/// Why a text is not accepted as a new password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPassword {
    #[error("a password needs at least {} characters", Password::MIN_CHARS)]
    TooShort,
    #[error("a password may have at most {} bytes", Password::MAX_BYTES)]
    TooLong,
}

/// Hashing could not be done at all: out of memory, or a stored hash that we did not write.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a stored password hash cannot be used: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("the password hashing task ended early")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Password {
    pub const MIN_CHARS: usize = 8;
    /// Bounds the work of one sign-in.
    pub const MAX_BYTES: usize = 1_000;

    /// A new password: long enough, and bounded.
    pub fn new(text: &str) -> Result<Self, UnfitPassword> {
        if text.chars().count() < Self::MIN_CHARS {
            return Err(UnfitPassword::TooShort);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(UnfitPassword::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// A password that somebody claims to be theirs; None if it is too long to be any.
    pub fn claimed(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_BYTES).then(|| Self(text.to_owned()))
    }
}

/// Hashes and checks passwords. One a process: its semaphore bounds how many cores and how much memory (19 MiB each)
/// they may take.
#[derive(Debug, Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    chance: Chance,
    /// The hash of nobody's password, checked when there is no account, so that this takes as long.
    nobody: HashedPassword,
}

impl Passwords {
    /// At most `parallel` hashes at a time.
    pub fn new(parallel: usize, chance: Chance) -> Self {
        let nobody = hash_now(&chance.bytes::<32>(), &chance.bytes::<16>())
            .expect("BUG: argon2 refuses its own default parameters");
        Self { permits: Arc::new(Semaphore::new(parallel.max(1))), chance, nobody }
    }

    pub async fn hash(&self, password: Password) -> Result<HashedPassword, PasswordError> {
        let _permit = self.permits.acquire().await.expect("BUG: the semaphore is never closed");
        let salt = self.chance.bytes::<16>();
        let hashed = tokio::task::spawn_blocking(move || hash_now(password.0.as_bytes(), &salt)).await?;
        hashed.map_err(PasswordError::Hash)
    }

    /// Whether `password` is the one of `hash`. No hash (no such account): false, after the same work.
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<HashedPassword>,
    ) -> Result<bool, PasswordError> {
        let _permit = self.permits.acquire().await.expect("BUG: the semaphore is never closed");
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let verified = tokio::task::spawn_blocking(move || {
            let hash =
                PasswordHash::new(&hash.0).map_err(|_| argon2::password_hash::Error::EncodingInvalid)?;
            match Argon2::default().verify_password(password.0.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await?;
        Ok(verified.map_err(PasswordError::Hash)? && known)
    }
}

fn hash_now(password: &[u8], salt: &[u8]) -> Result<HashedPassword, argon2::password_hash::Error> {
    Ok(HashedPassword(Argon2::default().hash_password_with_salt(password, salt)?.to_string()))
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedPassword")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_and_another_is_not() {
        let passwords = Passwords::new(2, Chance::seeded(7));
        let right = Password::new("correct horse").unwrap();
        let hash = passwords.hash(right.clone()).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify(right.clone(), Some(hash.clone())).await.unwrap());
        let wrong = Password::claimed("correct house").unwrap();
        assert!(!passwords.verify(wrong, Some(hash)).await.unwrap());
        assert!(!passwords.verify(right, None).await.unwrap());
    }

    #[test]
    fn passwords_are_bounded_and_silent() {
        assert_eq!(Password::new("seven77").unwrap_err(), UnfitPassword::TooShort);
        assert_eq!(Password::new(&"x".repeat(1_001)).unwrap_err(), UnfitPassword::TooLong);
        assert!(Password::claimed(&"x".repeat(1_001)).is_none());
        assert_eq!(format!("{:?}", Password::new("correct horse").unwrap()), "Password");
    }
}
