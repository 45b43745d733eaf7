//! Ids and sequence numbers, each with a type of its own.
//!
//! An id is a UUIDv7 that carries its kind as a prefix wherever people or JSON see it (`app_0192…`). Sequence
//! numbers are `i64` on the inside, because PostgreSQL's `bigint` is, and never negative.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The text was not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {expected}_…")]
pub struct InvalidId {
    pub expected: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id; ids made later sort later.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(InvalidId { expected: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A person who signs in to the dashboard.
    AccountId = "acc";
    /// An organisation.
    TenantId = "ten";
    /// What a tenant syncs; names its PostgreSQL schema and role.
    AppId = "app";
    /// An API key of an app.
    ApiKeyId = "key";
    /// An entry of the audit log.
    AuditId = "aud";
    /// An invitation to a tenant.
    InvitationId = "inv";
    /// Something that happened to an account's security.
    SecurityEventId = "sec";
    /// A row of an app's conflict ledger.
    ConflictId = "cfl";
    /// A row of an app's rejected-write inbox.
    RejectedWriteId = "rej";
}

impl AppId {
    /// The PostgreSQL schema that holds everything of the app.
    pub fn schema(self) -> SchemaName {
        SchemaName(self.to_string())
    }
}

/// The name of an app's PostgreSQL schema and of the role that owns it (they are the same).
///
/// Only an [`AppId`] makes one, so it is `app_` and 32 hex digits: safe in SQL text without quoting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaName(String);

impl SchemaName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a committed bundle within its scope: 1, 2, 3 … without a gap. 0 is "before the first".
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct BundleSeq(pub i64);

impl fmt::Display for BundleSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One replicated data set of an app; by default the end user's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct ScopeId(String);

/// A user of an app, as the app's own server or token names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct UserId(String);

/// The writer identity of one device installation (`Oversync-Source-ID`), or of a server writer (`server:…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct SourceId(String);

/// Why a text is no scope, user or source id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("it must have 1 to {max} characters")]
    Length { max: usize },
    #[error("it must not contain control characters")]
    Control,
    #[error("it must consist of printable ASCII characters without spaces")]
    NotPrintableAscii,
    #[error("ids that begin with \"server:\" are reserved for writes made by the server")]
    Reserved,
}

impl ScopeId {
    pub const MAX_CHARS: usize = 255;

    /// Any text of 1..=255 characters without control characters: it comes from a token that the tenant signed.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        check_free_text(text, Self::MAX_CHARS)?;
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserId {
    pub const MAX_CHARS: usize = ScopeId::MAX_CHARS;

    /// Any text of 1..=255 characters without control characters, like a scope's.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        check_free_text(text, Self::MAX_CHARS)?;
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope that is this user's alone: where nothing else is said, a user is their own scope.
    pub fn own_scope(&self) -> ScopeId {
        ScopeId(self.0.clone())
    }
}

fn check_free_text(text: &str, max: usize) -> Result<(), InvalidName> {
    if text.is_empty() || text.chars().count() > max {
        return Err(InvalidName::Length { max });
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidName::Control);
    }
    Ok(())
}

impl SourceId {
    pub const MAX_BYTES: usize = 256;
    /// Sources of the server's own writers begin with this, and no device's may.
    pub const SERVER_PREFIX: &'static str = "server:";

    /// A device's source id: 1..=256 printable ASCII characters `!`..`~` (PROTOCOL.md section 1).
    pub fn parse_device(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(InvalidName::Length { max: Self::MAX_BYTES });
        }
        if !text.bytes().all(|b| (b'!'..=b'~').contains(&b)) {
            return Err(InvalidName::NotPrintableAscii);
        }
        if text.starts_with(Self::SERVER_PREFIX) {
            return Err(InvalidName::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// The source of a server-side writer, for instance `server:dashboard` or `server:api:key_…`.
    pub fn server(writer: &str) -> Self {
        Self(format!("{}{writer}", Self::SERVER_PREFIX))
    }

    pub fn is_server(&self) -> bool {
        self.0.starts_with(Self::SERVER_PREFIX)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Random bytes, passed in: the machine's, or a repeatable stream for a test.
#[derive(Debug, Clone)]
pub struct Chance(ChanceSource);

#[derive(Debug, Clone)]
enum ChanceSource {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Chance {
    /// Cryptographically secure bytes, for secrets.
    pub fn system() -> Self {
        Self(ChanceSource::System)
    }

    /// The same bytes for the same seed. Only for tests.
    pub fn seeded(seed: u64) -> Self {
        Self(ChanceSource::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// `N` random bytes.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's randomness")]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            ChanceSource::System => rand::rng().fill_bytes(&mut bytes),
            ChanceSource::Seeded(rng) => {
                rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = AppId::new();
        assert_eq!(id.to_string().parse::<AppId>(), Ok(id));
        assert_eq!(id.to_string().parse::<ApiKeyId>(), Err(InvalidId { expected: "key" }));
        assert_eq!("app_'; drop schema".parse::<AppId>(), Err(InvalidId { expected: "app" }));
        assert_eq!("app_é0192".parse::<AppId>(), Err(InvalidId { expected: "app" }));
    }

    #[test]
    fn a_device_cannot_take_a_server_writers_name() {
        assert_eq!(SourceId::parse_device("server:dashboard"), Err(InvalidName::Reserved));
        assert_eq!(SourceId::parse_device("a b"), Err(InvalidName::NotPrintableAscii));
        assert!(SourceId::parse_device(&"x".repeat(256)).is_ok());
        assert!(SourceId::parse_device(&"x".repeat(257)).is_err());
    }
}
