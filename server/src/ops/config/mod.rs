//! Configuration: defaults, then the file, then the environment. `deploy/config.example.toml` lists every key.

mod load;
mod validate;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

pub use self::load::{ConfigError, Loaded};

/// Everything that can be set, a section a concern.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub limits: LimitsConfig,
    pub retention: RetentionConfig,
    pub secrets: SecretsConfig,
    pub telemetry: TelemetryConfig,
}

/// Where the server listens and what it is called from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on (`SYNCLINE_LISTEN`).
    pub listen: SocketAddr,
    /// The URL under which browsers and devices reach the server, without a trailing slash
    /// (`SYNCLINE_PUBLIC_URL`). None: `http://` and the listen address; see [`HttpConfig::base_url`].
    pub public_url: Option<String>,
    /// The server is reached through a proxy that sets `X-Forwarded-For`: its last entry is the client's address.
    /// Without such a proxy clients could claim any address, so the header is not looked at.
    pub behind_proxy: bool,
    /// How long open requests may take to finish when the server is told to stop.
    pub shutdown_seconds: u64,
}

/// Which PostgreSQL, and how many connections to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`. None: the server starts and supervises a private PostgreSQL in the data folder.
    pub url: Option<DatabaseUrl>,
    /// Folder of the private PostgreSQL (`SYNCLINE_DATA_DIR`). None: `/var/lib/syncline` for root, else `./data`.
    pub data_dir: Option<PathBuf>,
    /// Connections for the control plane: accounts, sessions, keys.
    pub platform_connections: u32,
    /// Connections for the apps' schemas: everything devices do.
    pub app_connections: u32,
    /// How long a request may wait for a connection before it is answered 503.
    pub acquire_timeout_seconds: u64,
}

/// Bounds on what one request, push, page or snapshot may hold. Told to clients by `sync/capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Bytes of one request body, after decompression.
    pub max_request_bytes: usize,
    pub max_rows_per_bundle: i64,
    /// Bytes of the staged rows of one push, and, with what stands around them, of one chunk's request body: clients
    /// put 1,000 rows into a chunk whatever their bytes.
    pub max_bytes_per_bundle: i64,
    /// Bytes of large chunks that one node works on at once, and of large commits; more of them wait. No app has more than
    /// half, and what is larger counts as half. A commit takes up to five times its bytes of the server's memory and nine
    /// times of PostgreSQL's.
    pub max_push_bytes_at_once: i64,
    pub default_bundles_per_pull: i64,
    pub max_bundles_per_pull: i64,
    /// A pull page ends early at this many bytes of rows; it always holds at least one bundle.
    pub max_bytes_per_pull: i64,
    /// A device that would be sent a bundle of more bytes is told `history_pruned` instead, upon which it rebuilds from a
    /// snapshot: clients read at most 64 MiB of an answer.
    pub max_bytes_per_pulled_bundle: i64,
    pub default_rows_per_push_chunk: i64,
    pub max_rows_per_push_chunk: i64,
    pub push_session_ttl_seconds: i64,
    pub default_rows_per_committed_bundle_chunk: i64,
    pub max_rows_per_committed_bundle_chunk: i64,
    pub default_rows_per_snapshot_chunk: i64,
    pub max_rows_per_snapshot_chunk: i64,
    pub default_bytes_per_snapshot_chunk: i64,
    pub max_bytes_per_snapshot_chunk: i64,
    pub max_bytes_per_snapshot_row: i64,
    pub max_rows_per_snapshot_session: i64,
    pub max_bytes_per_snapshot_session: i64,
    pub snapshot_session_ttl_seconds: i64,
    /// Snapshot builds at once on one node; one more is answered 429 with Retry-After.
    pub max_concurrent_snapshot_builds: i64,
    pub max_concurrent_snapshot_chunk_requests: i64,
    pub initialization_lease_ttl_seconds: i64,
    /// Open `watch` streams on one node; one more is answered 503.
    pub max_watch_streams: usize,
    /// A comment is sent on an open `watch` stream this often, so that nobody in between takes it for dead.
    pub watch_heartbeat_seconds: u64,
    /// Requests, for each core, that are worked on at once of apps that ask for a lot while other apps are at work too.
    pub crowded_requests_per_core: usize,
}

impl LimitsConfig {
    /// Bytes of a chunk's request body: its rows, and what stands around and between them.
    pub fn max_bytes_per_push_chunk(&self) -> usize {
        const ENVELOPE: usize = 1024 * 1024;
        usize::try_from(self.max_bytes_per_bundle).unwrap_or(0) + ENVELOPE
    }
}

/// A `postgres://…` URL. It may hold a password, so it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

/// The key with which secrets are sealed that the database keeps: those of authenticator apps, and the apps' own JWT
/// secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsConfig {
    /// 32 random bytes in base64 or hex (`SYNCLINE_SECRET_KEY`). The same on every node, and kept as long as the
    /// database.
    pub key: Option<SecretText>,
    /// The file that holds it (`SYNCLINE_SECRET_KEY_FILE`). None, and no `key`: `secret.key` in the data folder, made
    /// by the first start.
    pub key_file: Option<PathBuf>,
}

/// A secret in the configuration, not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

/// What the server writes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Which events are logged: `warn`, `info`, `debug`, or per module, as in `info,syncline::sync=debug`.
    pub log: String,
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// How much history an app keeps unless its settings say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Bundles kept per scope whatever their age.
    pub min_bundles: i64,
    /// Bundles older than this many days are pruned (beyond `min_bundles`). None: kept for ever.
    pub max_age_days: Option<i64>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            behind_proxy: false,
            shutdown_seconds: 20,
        }
    }
}

impl HttpConfig {
    /// The URL under which browsers and devices reach the server, without a trailing slash.
    pub fn base_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: None,
            data_dir: None,
            platform_connections: 8,
            app_connections: 24,
            acquire_timeout_seconds: 10,
        }
    }
}

impl DatabaseConfig {
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_secs(self.acquire_timeout_seconds)
    }

    /// The folder of the private PostgreSQL.
    pub fn data_dir(&self) -> PathBuf {
        let default = if Uid::effective().is_root() { "/var/lib/syncline" } else { "data" };
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(default))
    }
}

impl DatabaseUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl")
    }
}

impl SecretText {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info,sqlx=warn".to_owned(), format: LogFormat::Auto }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        const MIB: i64 = 1024 * 1024;
        Self {
            max_request_bytes: 32 * MIB as usize,
            max_rows_per_bundle: 1_000_000,
            max_bytes_per_bundle: 128 * MIB,
            max_push_bytes_at_once: 128 * MIB,
            default_bundles_per_pull: 1_000,
            max_bundles_per_pull: 5_000,
            max_bytes_per_pull: 8 * MIB,
            max_bytes_per_pulled_bundle: 63 * MIB,
            default_rows_per_push_chunk: 1_000,
            max_rows_per_push_chunk: 5_000,
            push_session_ttl_seconds: 15 * 60,
            default_rows_per_committed_bundle_chunk: 1_000,
            max_rows_per_committed_bundle_chunk: 5_000,
            default_rows_per_snapshot_chunk: 1_000,
            max_rows_per_snapshot_chunk: 5_000,
            default_bytes_per_snapshot_chunk: 4 * MIB,
            max_bytes_per_snapshot_chunk: 16 * MIB,
            max_bytes_per_snapshot_row: 4 * MIB,
            max_rows_per_snapshot_session: 5_000_000,
            max_bytes_per_snapshot_session: 4 * 1024 * MIB,
            snapshot_session_ttl_seconds: 15 * 60,
            max_concurrent_snapshot_builds: 4,
            max_concurrent_snapshot_chunk_requests: 64,
            initialization_lease_ttl_seconds: 15 * 60,
            max_watch_streams: 50_000,
            watch_heartbeat_seconds: 25,
            crowded_requests_per_core: 2,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { min_bundles: 10_000, max_age_days: None }
    }
}
