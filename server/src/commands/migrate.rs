//! `syncline migrate`: bring the database to this version's schema, and every app's.

use anyhow::Context as _;
use syncline::{
    auth::sealing::SecretKey, clock::Clock, control::ControlPlane, ids::Chance, ops::config::Config,
};

use super::{Postgres, migrated};

pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let postgres = Postgres::open_beside_server(&config.database).await?;
    let outcome = migrated(&postgres.url, &config.database).await;
    let outcome = match outcome {
        Ok(databases) => {
            let chance = Chance::system();
            // Nothing is sealed here, so that no key has to be there.
            let no_key = SecretKey::generate(&chance);
            let control = ControlPlane::new(&databases, no_key, Clock::system(), chance);
            let apps = control.bring_all_up_to_date().await;
            databases.close().await;
            apps.map(|apps| tracing::info!(apps, "The database and its apps have this version's schema."))
                .context("the apps' schemas cannot be brought to this version")
        }
        Err(error) => Err(error),
    };
    postgres.close().await;
    outcome
}
