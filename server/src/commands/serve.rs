//! `syncline serve`: the server, from its first breath to its last.

use std::{io, time::Duration};

use anyhow::{Context, anyhow, bail};
use syncline::{
    app::Syncline,
    auth::sealing::SecretKey,
    clock::Clock,
    http,
    ids::Chance,
    ops::{config::Config, embedded_postgres::PostgresState, lifecycle::Lifecycle, metrics},
};
use tokio::{net::TcpListener, sync::watch};

use super::{Postgres, migrated};

/// How long tasks and database connections may take to end when nothing is served any more.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Serve until told to stop. An error means that the server could not start, or that its database is lost.
pub(crate) async fn run(mut config: Config) -> anyhow::Result<()> {
    // First, because it is what fails most often and costs nothing.
    let listener = bind(&config).await?;
    config.http.listen = listener.local_addr().context("the listening address cannot be read")?;
    let postgres = Postgres::open(&config.database).await?;
    let outcome = serve(config, listener, &postgres).await;
    postgres.close().await;
    tracing::info!("Stopped.");
    outcome
}

async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.http.listen;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "port {} of {} is taken by another program: stop it, or set SYNCLINE_LISTEN to another address",
            address.port(),
            address.ip()
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

async fn serve(config: Config, listener: TcpListener, postgres: &Postgres) -> anyhow::Result<()> {
    metrics::recorder();
    let databases = migrated(&postgres.url, &config.database).await?;
    let base_url = config.http.base_url();
    let address = config.http.listen;
    let chance = Chance::system();
    let secret_key = SecretKey::of(&config, &chance)?;
    let state = Syncline::new(config, secret_key, Clock::system(), chance, databases);
    let sealed = state.control.seal_stored_secrets().await?;
    if sealed > 0 {
        tracing::info!(secrets = sealed, "Secrets were sealed.");
    }
    state.lifecycle.follow_signals().context("signals cannot be received")?;
    state.start_tasks();
    if let Some(private) = &postgres.private {
        state.lifecycle.spawn(close_when_lost(private.state(), state.lifecycle.clone()));
    }
    tracing::info!(http.address = %address, "Syncline is ready at {base_url}");

    http::serve(listener, state.clone()).await;
    if tokio::time::timeout(END_PATIENCE, state.end()).await.is_err() {
        tracing::warn!("Tasks or database connections have not ended and are cut.");
    }
    match postgres.private.as_ref().map(|private| private.state().borrow().clone()) {
        Some(PostgresState::Failed(said)) => bail!("the private PostgreSQL cannot be kept running: {said}"),
        _ => Ok(()),
    }
}

/// Without its database the server is of no use: end, so that whoever supervises us can start us again.
async fn close_when_lost(mut state: watch::Receiver<PostgresState>, lifecycle: Lifecycle) {
    let closing = lifecycle.closing();
    tokio::select! {
        () = closing.cancelled() => {}
        _ = state.wait_for(|state| matches!(state, PostgresState::Failed(_))) => lifecycle.close(),
    }
}
