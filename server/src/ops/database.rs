//! Connections to PostgreSQL: one pool for the control plane, one for the apps' schemas ([`AppPool`]).

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgPool,
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
    /// Open both pools on the database at `url`; [`check`] says more when that cannot be.
    pub async fn connect(url: &str, config: &DatabaseConfig) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("syncline")
            // Compiling a plan pays only for queries far bigger than ours, and misjudged ones would wait for it.
            .options([("jit", "off")])
            .extra_float_digits(1)
            .statement_cache_capacity(512);
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.acquire_timeout())
                .max_lifetime(Duration::from_secs(30 * 60))
        };
        let platform = pool(config.platform_connections).connect_with(options.clone()).await?;
        let owner = pool(OWNER_CONNECTIONS).connect_lazy_with(options.clone());
        // The engine's functions rely on it: a function that pins it for itself takes longer to call.
        let options = options
            .options([("search_path", "pg_catalog")])
            // One text a statement and app, so bounded, or thousands of apps would fill the server's memory; and enough for the
            // hundred or two that a connection serves again and again.
            .statement_cache_capacity(2_048);
        let apps = AppPool::new(options, config.app_connections, config.acquire_timeout(), owner);
        Ok(Self { platform, apps })
    }

    pub async fn close(&self) {
        self.apps.close().await;
        self.platform.close().await;
    }
}

/// Why a database cannot be the server's. One line, without the password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("DATABASE_URL is not valid: {0}")]
    InvalidUrl(#[source] sqlx::Error),
    #[error("the database {address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("the database {address} is PostgreSQL {found}; version {MINIMUM_MAJOR} or newer is needed")]
    TooOld { address: String, found: u32 },
    #[error("the role {role:?} may not {lacks} in the database {address}: {remedy}")]
    NotAllowed { address: String, role: String, lacks: &'static str, remedy: String },
}

/// Make sure that the database at `url` answers, is new enough, and lets its role do what the server does.
pub async fn check(url: &str) -> Result<(), DatabaseError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let options = PgConnectOptions::from_str(url).map_err(DatabaseError::InvalidUrl)?;
    let address = address(&options);
    let unreachable = |reason: String| {
        let reason = reason.lines().collect::<Vec<_>>().join(" ");
        DatabaseError::Unreachable { address: address.clone(), reason }
    };
    let asked = async {
        let mut connection = options.connect().await?;
        let facts: (i32, String, bool, bool) = sqlx::query_as(
            "select current_setting('server_version_num')::int, current_user::text,
                    rolsuper or rolcreaterole,
                    has_database_privilege(current_database(), 'create')
               from pg_roles where rolname = current_user",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(facts)
    };
    let (version, role, may_create_roles, may_create_schemas) = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| unreachable(format!("no answer within {} seconds", PATIENCE.as_secs())))?
        .map_err(|error| unreachable(error.to_string()))?;
    let found = version.unsigned_abs() / 10_000;
    if found < MINIMUM_MAJOR {
        return Err(DatabaseError::TooOld { address, found });
    }
    if !may_create_roles {
        let remedy = format!("alter role {role:?} createrole");
        return Err(DatabaseError::NotAllowed { address, role, lacks: "create roles", remedy });
    }
    if !may_create_schemas {
        let database = options.get_database().unwrap_or_default();
        let remedy = format!("grant create on database {database:?} to {role:?}");
        return Err(DatabaseError::NotAllowed { address, role, lacks: "create schemas", remedy });
    }
    Ok(())
}

/// `host:port/database`, for people; never the password.
fn address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{} in {}", database, socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// SQL text of an app's schema: `{schema}` in `sql` becomes the app's schema name.
///
/// The text is written in our sources and a [`SchemaName`] is hex digits, so the result is safe; values are always
/// bound.
pub fn in_schema(schema: &SchemaName, sql: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("{schema}", schema.as_str()))
}
