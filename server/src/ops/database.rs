//! Connections to PostgreSQL: one pool for the control plane, one for the apps' schemas.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{ids::SchemaName, ops::config::DatabaseConfig};

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
            .statement_cache_capacity(256);
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.acquire_timeout())
                .max_lifetime(Duration::from_secs(30 * 60))
                .connect_with(options.clone())
        };
        Ok(Self {
            platform: pool(config.platform_connections).await?,
            apps: AppPool { pool: pool(config.app_connections).await? },
        })
    }

    pub async fn close(&self) {
        self.apps.pool.close().await;
        self.platform.close().await;
    }
}

/// Connections to the apps' schemas. A transaction takes the role of exactly one app: the role is the wall, so a
/// bug in one app's SQL cannot read another's rows.
#[derive(Debug, Clone)]
pub struct AppPool {
    pool: PgPool,
}

/// A transaction that acts as one app's role. Rolled back when dropped.
pub type AppTx = Transaction<'static, Postgres>;

impl AppPool {
    /// Begin a READ COMMITTED transaction as the app's role, in one round trip.
    pub async fn begin(&self, schema: &SchemaName) -> Result<AppTx, sqlx::Error> {
        self.pool.begin_with(AssertSqlSafe(format!("begin; set local role {schema}"))).await
    }

    /// Begin a REPEATABLE READ, read-only-by-intent transaction as the app's role, in one round trip.
    pub async fn begin_snapshot(&self, schema: &SchemaName) -> Result<AppTx, sqlx::Error> {
        self.pool
            .begin_with(AssertSqlSafe(format!(
                "begin isolation level repeatable read; set local role {schema}"
            )))
            .await
    }

    /// The pool as the login role that may create and drop apps' schemas and roles.
    pub fn as_owner(&self) -> &PgPool {
        &self.pool
    }
}

/// SQL text of an app's schema: `{schema}` in `sql` becomes the app's schema name.
///
/// The text is written in our sources and a [`SchemaName`] is hex digits, so the result is safe; values are always
/// bound.
pub fn in_schema(schema: &SchemaName, sql: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("{schema}", schema.as_str()))
}
