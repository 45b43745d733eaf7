//! Two-device simulations: that one is there, whose it is, and what it has shown so far.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{
    ControlPlane,
    apps::App,
    audit::{Action, Actor},
    constraint,
};
use crate::ids::{AppId, ScopeId};

/// How long a running simulation may be silent before it counts as lost with its node.
const SILENT_FOR: Duration = Duration::minutes(1);

/// A simulation of an app.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Simulation {
    pub scope_id: ScopeId,
    pub started_by: String,
    pub started_at: OffsetDateTime,
    /// The next step is to come.
    pub is_running: bool,
    /// As its teller wrote it.
    pub story: Value,
    /// When it is removed by itself.
    pub due_at: OffsetDateTime,
}

/// Why no simulation can begin.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("a simulation of the app is there already")]
    Taken,
    #[error("the simulation could not be written down")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// A simulation begins in `scope`: at `due_at` at the latest it is erased. One an app. `story` is what it shows until
    /// more is told.
    pub async fn book_simulation(
        &self,
        actor: &Actor,
        app: &App,
        (scope, due_at): (&ScopeId, OffsetDateTime),
        story: &Value,
    ) -> Result<(), BookError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "insert into platform.erasure (app_id, scope_id, kind, requested_by, requested_at, due_at)
             values ($1, $2, 'simulation', $3, $4, $5)",
        )
        .bind(app.app_id)
        .bind(scope)
        .bind(actor.label())
        .bind(now)
        .bind(due_at)
        .execute(&mut *tx)
        .await
        .map_err(|error| match constraint(&error) {
            Some("one_simulation_an_app") => BookError::Taken,
            _ => error.into(),
        })?;
        sqlx::query(
            "insert into platform.simulation (app_id, scope_id, started_by, started_at, state, story, told_at)
             values ($1, $2, $3, $4, 'running', $5, $4)
             on conflict (app_id) do update
             set scope_id = excluded.scope_id, started_by = excluded.started_by, started_at = excluded.started_at,
                 state = 'running', story = excluded.story, told_at = excluded.told_at",
        )
        .bind(app.app_id)
        .bind(scope)
        .bind(actor.label())
        .bind(now)
        .bind(story)
        .execute(&mut *tx)
        .await?;
        let detail = json!({ "user": scope.as_str() });
        self.record_about(&mut tx, actor, app, Action::SimulationRun, detail).await?;
        Ok(tx.commit().await?)
    }

    /// The simulation of the app that has not been removed yet.
    pub async fn simulation(&self, app: AppId) -> Result<Option<Simulation>, sqlx::Error> {
        sqlx::query_as(
            "select s.scope_id, s.started_by, s.started_at, s.state = 'running' and s.told_at > $2 as is_running,
                 s.story, e.due_at
             from platform.simulation s
             join platform.erasure e using (app_id, scope_id)
             where s.app_id = $1 and e.erased_at is null",
        )
        .bind(app)
        .bind(self.clock.now() - SILENT_FOR)
        .fetch_optional(&self.pool)
        .await
    }

    /// What the simulation in `scope` has shown so far. Nothing happens if it is gone.
    pub async fn tell_simulation(
        &self,
        app: AppId,
        scope: &ScopeId,
        story: &Value,
        is_running: bool,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update platform.simulation set story = $3, state = $4, told_at = $5 where app_id = $1 and scope_id = $2",
        )
        .bind(app)
        .bind(scope)
        .bind(story)
        .bind(if is_running { "running" } else { "done" })
        .bind(self.clock.now())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
