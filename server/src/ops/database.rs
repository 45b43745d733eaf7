//! Connections to PostgreSQL: one pool for the control plane, one for the apps' schemas ([`AppPool`]).

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use super::app_pool::{AppPool, AppTx};
use crate::{ids::SchemaName, ops::config::DatabaseConfig};

/// Connections as the login role itself, for making and dropping apps: seldom needed.
const OWNER_CONNECTIONS: u32 = 4;

/// The oldest PostgreSQL whose SQL is ours: 15 has `on delete set null (column)`.
pub const MINIMUM_MAJOR: u32 = 15;

/// Both pools. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Databases {
    /// Schema `platform`: accounts, tenants, apps, keys, sessions, audit.
    pub platform: PgPool,
    /// The apps' schemas.
    pub apps: AppPool,
}

impl Databases {
    /// Open both pools on the database at `url`.
    pub async fn connect(url: &str, config: &DatabaseConfig) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("syncline")
            // Compiling a plan pays only for queries far bigger than ours, and misjudged ones would wait for it.
            .options([("jit", "off")])
            .extra_float_digits(1)
            // One text a statement and app: bounded, or thousands of apps would fill the server's memory.
            .statement_cache_capacity(512);
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.acquire_timeout())
                .max_lifetime(Duration::from_secs(30 * 60))
        };
        let platform = pool(config.platform_connections).connect_with(options.clone()).await?;
        let owner = pool(OWNER_CONNECTIONS).connect_lazy_with(options.clone());
        let apps = AppPool::new(options.clone(), config.app_connections, config.acquire_timeout(), owner);
        Ok(Self { platform, apps })
    }

    pub async fn close(&self) {
        self.apps.close().await;
        self.platform.close().await;
    }
}

/// SQL text of an app's schema: `{schema}` in `sql` becomes the app's schema name.
///
/// The text is written in our sources and a [`SchemaName`] is hex digits, so the result is safe; values are always
/// bound.
pub fn in_schema(schema: &SchemaName, sql: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("{schema}", schema.as_str()))
}
