//! Bringing the schemas of apps up to date when a newer server takes over.
//!
//! An app is brought up to date before it is served (`crate::directory`), so a new server answers at once whatever the
//! number of apps; a job goes through the others. Both may do it at the same time, on any number of nodes.

use std::future::ready;

use futures_util::{StreamExt, stream};

use super::{App, ServedApp, app_columns};
use crate::{
    control::ControlPlane,
    tables::engine_schema::{self, MigrateError},
};

/// Apps that are worked on at once.
const AT_ONCE: usize = 4;
/// Apps that are looked up at once.
const PAGE: i64 = 200;

impl ControlPlane {
    /// The app's schema has everything that this server knows.
    pub async fn bring_up_to_date(&self, served: &ServedApp) -> Result<(), MigrateError> {
        if served.engine_version >= engine_schema::known_version() {
            return Ok(());
        }
        self.upgrade(&served.app).await
    }

    /// Bring every app up to date that is not; answers how many there were. One that fails is told of and left out.
    pub async fn bring_all_up_to_date(&self) -> Result<usize, sqlx::Error> {
        let (mut after, mut upgraded) = (None, 0);
        loop {
            let apps: Vec<App> = sqlx::query_as(concat!(
                "select ",
                app_columns!(),
                " from platform.app a
                  where a.state = 'ready' and a.engine_version < $1 and ($2::uuid is null or a.app_id > $2)
                  order by a.app_id
                  limit $3"
            ))
            .bind(engine_schema::known_version())
            .bind(after)
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await?;
            let Some(last) = apps.last() else { return Ok(upgraded) };
            after = Some(last.app_id);
            let outcomes = stream::iter(apps).map(|app| async move { self.upgraded(&app).await });
            upgraded += outcomes.buffer_unordered(AT_ONCE).filter(|done| ready(*done)).count().await;
        }
    }

    /// Whether it could be done.
    async fn upgraded(&self, app: &App) -> bool {
        let outcome = self.upgrade(app).await;
        if let Err(error) = &outcome {
            tracing::error!(
                app.id = %app.app_id, error.cause = %error, "An app's schema could not be brought up to date."
            );
        }
        outcome.is_ok()
    }

    async fn upgrade(&self, app: &App) -> Result<(), MigrateError> {
        engine_schema::migrate(&self.apps, app.app_id, app.profile, self.clock.now()).await?;
        sqlx::query(
            "update platform.app set engine_version = greatest(engine_version, $2) where app_id = $1",
        )
        .bind(app.app_id)
        .bind(engine_schema::known_version())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
