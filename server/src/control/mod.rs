//! The control plane: who owns what. Accounts, tenants, members, apps, keys, sessions and the audit log, all in
//! schema `platform`.
//!
//! Every use case is a method of [`ControlPlane`] in the file of its noun. It owns its transaction, writes the audit
//! entry inside it, and returns a typed outcome. Whoever calls has checked who is asking (`http/extract`); the queries
//! name the tenant or app all the same, so that a wrong id finds nothing.

pub mod accounts;
pub mod api_keys;
pub mod apps;
pub mod audit;
pub mod changes;
pub mod end_user_auth;
pub mod end_user_revocation;
pub mod erasures;
pub mod invitations;
pub mod members;
pub mod provision;
pub mod roles;
pub mod sealed_secrets;
pub mod second_factor;
pub mod security_events;
pub mod sessions;
pub mod simulations;
pub mod slugs;
pub mod tenants;
pub mod throttle;

use std::sync::Arc;

use sqlx::{PgPool, migrate::Migrator};
use time::OffsetDateTime;

use self::{api_keys::KeyUses, sessions::SessionUses, throttle::SignInThrottle};
use crate::{
    auth::{password::Passwords, sealing::SecretKey},
    clock::Clock,
    ids::Chance,
    ops::{
        database::{AppPool, Databases},
        machine::cores,
    },
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
    secret_key: SecretKey,
    passwords: Passwords,
    throttle: Arc<SignInThrottle>,
    key_uses: Arc<KeyUses>,
    session_uses: Arc<SessionUses>,
}

impl ControlPlane {
    pub fn new(databases: &Databases, secret_key: SecretKey, clock: Clock, chance: Chance) -> Self {
        Self {
            pool: databases.platform.clone(),
            apps: databases.apps.clone(),
            // One core is left for everything else.
            passwords: Passwords::new(cores().saturating_sub(1), chance.clone()),
            throttle: Arc::new(SignInThrottle::new(&clock)),
            key_uses: Arc::default(),
            session_uses: Arc::default(),
            secret_key,
            clock,
            chance,
        }
    }

    /// Bring schema `platform` to the newest version. Safe to call from several nodes at once.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        MIGRATIONS.run(&self.pool).await
    }

    /// Where random secrets come from.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// Forget who has tried to sign in and has waited long enough. Call it every minute or so.
    pub fn forget_old_attempts(&self) {
        self.throttle.forget_old();
    }

    /// Now, by the control plane's clock.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

/// The name of the constraint that refused a statement, if one did. Names are given in migrations/platform.
fn constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(error) => error.constraint(),
        _ => None,
    }
}
