//! `syncline migrate`: bring the database to this version's schema.

use syncline::ops::config::Config;

use super::{Postgres, migrated};

pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let postgres = Postgres::open_beside_server(&config.database).await?;
    let outcome = migrated(&postgres.url, &config.database).await;
    if let Ok(databases) = &outcome {
        databases.close().await;
        tracing::info!("The database has this version's schema.");
    }
    postgres.close().await;
    outcome.map(drop)
}
