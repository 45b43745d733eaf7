//! What the program can be told to do, a file a command.

pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod provision;
pub(crate) mod serve;

use anyhow::Context;
use syncline::{
    control,
    ops::{
        config::DatabaseConfig,
        database::{self, Databases},
        embedded_postgres::{Durability, EmbeddedPostgres, EmbeddedSettings},
    },
};

/// Connections that the private PostgreSQL allows beyond the pools: for commands beside the server, and for people.
const SPARE_CONNECTIONS: u32 = 20;

/// The PostgreSQL that a command works on.
pub(crate) struct Postgres {
    url: String,
    /// Ours to stop, when this process started it.
    private: Option<EmbeddedPostgres>,
}

impl Postgres {
    /// The database of `DATABASE_URL`, or else the private one, which is started.
    async fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        if let Some(url) = &config.url {
            database::check(url.as_str()).await?;
            return Ok(Self { url: url.as_str().to_owned(), private: None });
        }
        let settings = EmbeddedSettings {
            data_dir: config.data_dir(),
            max_connections: config.platform_connections + config.app_connections + SPARE_CONNECTIONS,
            durability: Durability::Durable,
        };
        let private = EmbeddedPostgres::start(&settings).await?;
        Ok(Self { url: private.url(), private: Some(private) })
    }

    /// Like [`Postgres::open`], but when a server already runs the private one, work beside it.
    async fn open_beside_server(config: &DatabaseConfig) -> anyhow::Result<Self> {
        if config.url.is_none()
            && let Some(url) = EmbeddedPostgres::url_of_running(&config.data_dir())?
        {
            database::check(&url).await?;
            return Ok(Self { url, private: None });
        }
        Self::open(config).await
    }

    async fn close(self) {
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// Open the pools and bring the control plane's schema to this version.
async fn migrated(url: &str, config: &DatabaseConfig) -> anyhow::Result<Databases> {
    let databases =
        Databases::connect(url, config).await.context("the database's connections cannot be opened")?;
    control::MIGRATIONS
        .run(&databases.platform)
        .await
        .context("the database's schema cannot be brought to this version")?;
    Ok(databases)
}
