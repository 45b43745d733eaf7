//! The two-device simulator: two virtual devices sync an app's own tables, over HTTP and with the real protocol, and fall
//! into a conflict that somebody can look at.
//!
//! They work in a scope of their own, which is written down to be erased before anything is in it: by the person who has
//! seen enough, by the next simulation, or by the job after a quarter of an hour, whatever becomes of this process.

mod device;
pub mod plan;
mod run;
pub mod story;
mod values;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::Client;
use time::Duration as Span;
use tokio::sync::Semaphore;

use self::{
    device::Place,
    plan::NoPlan,
    run::{Run, Telling},
    story::Story,
};
use crate::{
    app::Syncline,
    control::{
        apps::App,
        audit::Actor,
        erasures::{Erasure, ErasureKind},
        simulations::{BookError, Simulation},
    },
    directory::LiveApp,
    erasure::{self, ErasureError},
    ids::UserId,
};

/// How long a simulation stays to be looked at.
const STAYS_FOR: Span = Span::minutes(15);
/// Simulations of one node at a time.
const AT_ONCE: usize = 3;
/// From the first step to the last.
const MAX_RUN: Duration = Duration::from_secs(60);
/// How long a form waits for the removal of the previous one.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(8);

/// What begins simulations. One a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Simulator {
    places: Arc<Semaphore>,
    client: Client,
}

/// Why none begins.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    NoPlan(#[from] NoPlan),
    /// It goes on; look at it.
    #[error("A simulation of this app is running.")]
    Running,
    #[error("The previous simulation is still being removed. Try again in a moment.")]
    StillRemoving,
    #[error("This server runs as many simulations as it may just now. Try again in a minute.")]
    TooMany,
    #[error(transparent)]
    Removal(#[from] ErasureError),
    #[error("the simulation could not be written down")]
    Database(#[from] sqlx::Error),
}

impl Default for Simulator {
    fn default() -> Self {
        let client = Client::builder().no_proxy().connect_timeout(Duration::from_secs(3)).build();
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            client: client.expect("BUG: a client without TLS needs nothing that could be missing"),
        }
    }
}

/// Begin a simulation of the app; what was there of an earlier one is removed first. It goes on by itself.
pub async fn start(server: &Syncline, live: &Arc<LiveApp>, actor: &Actor) -> Result<(), StartError> {
    let plan = plan::make(&live.catalog)?;
    if let Some(previous) = server.control.simulation(live.app.app_id).await? {
        if previous.is_running {
            return Err(StartError::Running);
        }
        if !remove(server, &live.app, previous).await? {
            return Err(StartError::StillRemoving);
        }
    }
    let place = Arc::clone(&server.simulator.places).try_acquire_owned().map_err(|_| StartError::TooMany)?;
    let short_id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect();
    let user = UserId::parse(&format!("simulator:{short_id}")).expect("BUG: a name of plain letters");
    let scope = user.own_scope();
    let due_at = server.clock.now() + STAYS_FOR;
    let story = Story::about(&plan).as_json();
    match server.control.book_simulation(actor, &live.app, (&scope, due_at), &story).await {
        Ok(()) => {}
        Err(BookError::Taken) => return Err(StartError::Running),
        Err(BookError::Database(error)) => return Err(error.into()),
    }
    let token = server.control.mint_token(&live.auth, &user, &scope, STAYS_FOR);
    let place_to_go = Place {
        base_url: format!(
            "http://{}/t/{}/{}",
            own_address(server.config.http.listen),
            live.tenant_slug,
            live.app.slug
        ),
        token: token.access_token,
        client: server.simulator.client.clone(),
    };
    let telling = Telling {
        control: server.control.clone(),
        engine: server.engine.clone(),
        catalog: Arc::clone(&live.catalog),
        scope,
    };
    let run = Run::new(plan, place_to_go, &short_id, telling);
    let closing = server.lifecycle.closing();
    server.lifecycle.spawn(async move {
        let _place = place;
        tokio::select! {
            () = closing.cancelled() => {}
            () = run.play(MAX_RUN) => {}
        }
    });
    Ok(())
}

/// Remove a simulation, up to its last trace. False: it takes longer, and goes on.
pub async fn remove(server: &Syncline, app: &App, simulation: Simulation) -> Result<bool, ErasureError> {
    let erasure = Erasure {
        scope_id: simulation.scope_id,
        kind: ErasureKind::Simulation,
        requested_by: simulation.started_by,
        due_at: simulation.due_at,
        erased_at: None,
    };
    erasure::run_now(server, app, erasure, REMOVAL_PATIENCE).await
}

/// Where this server reaches itself: whatever proxies stand before it, they are not in the way.
fn own_address(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
