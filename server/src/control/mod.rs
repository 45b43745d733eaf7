//! The control plane: who owns what. Accounts, tenants, members, apps, keys, sessions and the audit log, all in
//! schema `platform`.

pub mod changes;

use sqlx::{PgPool, migrate::Migrator};

use crate::{
    clock::Clock,
    ids::Chance,
    ops::database::{AppPool, Databases},
};

/// The migrations of schema `platform`.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/platform");

/// The use cases of the control plane. One a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    pool: PgPool,
    apps: AppPool,
    clock: Clock,
    chance: Chance,
}

impl ControlPlane {
    pub fn new(databases: &Databases, clock: Clock, chance: Chance) -> Self {
        Self { pool: databases.platform.clone(), apps: databases.apps.clone(), clock, chance }
    }

    /// Bring schema `platform` to the newest version. Safe to call from several nodes at once.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        MIGRATIONS.run(&self.pool).await
    }
}
