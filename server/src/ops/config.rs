//! Configuration: defaults, then the file, then the environment. `deploy/config.example.toml` lists every key.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

/// Everything that can be set, a section a concern.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub limits: LimitsConfig,
    pub retention: RetentionConfig,
}

/// Where the server listens and what it is called from outside.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on (`SYNCLINE_LISTEN`).
    pub listen: SocketAddr,
    /// The URL under which browsers and devices reach the server, without a trailing slash
    /// (`SYNCLINE_PUBLIC_URL`). None: `http://` and the listen address. Cookies are `Secure` when it is https.
    pub public_url: Option<String>,
}

/// Which PostgreSQL, and how many connections to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`. None: the server starts and supervises a private PostgreSQL in the data folder.
    pub url: Option<String>,
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
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Bytes of one request body, after decompression.
    pub max_request_bytes: usize,
    pub max_rows_per_bundle: i64,
    /// Bytes of the staged rows of one push.
    pub max_bytes_per_bundle: i64,
    pub default_bundles_per_pull: i64,
    pub max_bundles_per_pull: i64,
    /// A pull page ends early at this many bytes of rows; it always holds at least one bundle.
    pub max_bytes_per_pull: i64,
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
}

/// How much history an app keeps unless its settings say otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Bundles kept per scope whatever their age.
    pub min_bundles: i64,
    /// Bundles older than this many days are pruned (beyond `min_bundles`). None: kept for ever.
    pub max_age_days: Option<i64>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), public_url: None }
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
}

impl Default for LimitsConfig {
    fn default() -> Self {
        const MIB: i64 = 1024 * 1024;
        Self {
            max_request_bytes: 32 * MIB as usize,
            max_rows_per_bundle: 50_000,
            max_bytes_per_bundle: 64 * MIB,
            default_bundles_per_pull: 1_000,
            max_bundles_per_pull: 5_000,
            max_bytes_per_pull: 8 * MIB,
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
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { min_bundles: 10_000, max_age_days: None }
    }
}
