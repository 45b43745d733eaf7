//! What a running server consists of: the state that every handler can take its part of, and its background tasks.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;

use crate::{
    auth::sealing::SecretKey,
    clock::Clock,
    control::{ControlPlane, apps::Retention, changes::Changed},
    directory::Directory,
    ids::Chance,
    jobs,
    ops::{config::Config, database::Databases, lifecycle::Lifecycle},
    simulator::Simulator,
    sync::{Engine, relay::Relay, retention::Keep},
};

/// The server's state. One a process, made by `main` or by a test; cheap to clone, as axum does for every request.
/// Handlers take the part they need with `State(…)`.
#[derive(Debug, Clone)]
pub struct Syncline(Arc<Parts>);

/// What the state consists of.
#[derive(Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub chance: Chance,
    pub databases: Databases,
    pub control: ControlPlane,
    pub directory: Directory,
    pub engine: Engine,
    pub simulator: Simulator,
    pub lifecycle: Lifecycle,
}

impl Syncline {
    pub fn new(
        config: Config,
        secret_key: SecretKey,
        clock: Clock,
        chance: Chance,
        databases: Databases,
    ) -> Self {
        let control = ControlPlane::new(&databases, secret_key, clock.clone(), chance.clone());
        Self(Arc::new(Parts {
            directory: Directory::new(control.clone(), databases.apps.clone()),
            engine: Engine::new(databases.apps.clone(), clock.clone(), config.limits.clone()),
            simulator: Simulator::default(),
            config: Arc::new(config),
            clock,
            chance,
            control,
            databases,
            lifecycle: Lifecycle::default(),
        }))
    }

    /// How much history stays of an app with these settings; None: all of it.
    pub fn history_kept(&self, retention: &Retention) -> Option<Keep> {
        let default = &self.config.retention;
        let max_age_days = retention.max_age_days.map(i64::from).or(default.max_age_days)?;
        Some(Keep {
            min_bundles: retention.min_bundles.unwrap_or(default.min_bundles),
            max_age: time::Duration::days(max_age_days),
        })
    }

    /// Start what runs beside requests. Every task ends by itself when the server drains.
    pub fn start_tasks(&self) {
        let (directory, stop) = (self.directory.clone(), self.lifecycle.closing());
        self.lifecycle.spawn(async move { directory.follow_changes(stop).await });

        let (server, stop) = (self.clone(), self.lifecycle.closing());
        self.lifecycle.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = server.recheck_streams() => {}
            }
        });

        let (platform, apps) = (self.databases.platform.clone(), self.databases.apps.clone());
        let (relay, stop) = (Relay::new(self.engine.hub().clone(), platform, apps), self.lifecycle.closing());
        self.lifecycle.spawn(relay.run(stop));

        jobs::start(self);
    }

    /// Have streams ask again whether they may go on whenever their app has changed.
    async fn recheck_streams(&self) {
        let mut listener = self.directory.listen();
        loop {
            match listener.changed().await {
                Changed::Apps(apps) => {
                    apps.into_iter().for_each(|app| self.engine.recheck_streams(Some(app)))
                }
                Changed::Everything => self.engine.recheck_streams(None),
            }
        }
    }

    /// Wait for the end of what runs beside requests, and close the pools. Call it when no request is open any more.
    pub async fn end(&self) {
        self.lifecycle.close();
        self.engine.finished().await;
        jobs::finish(self).await;
        self.lifecycle.finished().await;
        self.databases.close().await;
    }
}

impl Deref for Syncline {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Handlers may take `State(part)`.
macro_rules! part {
    ($($field:ident: $part:ty),* $(,)?) => {
        $(impl FromRef<Syncline> for $part {
            fn from_ref(state: &Syncline) -> Self {
                state.$field.clone()
            }
        })*
    };
}

part! {
    config: Arc<Config>,
    clock: Clock,
    chance: Chance,
    databases: Databases,
    control: ControlPlane,
    directory: Directory,
    engine: Engine,
    simulator: Simulator,
    lifecycle: Lifecycle,
}
