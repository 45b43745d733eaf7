//! The sync engine: what devices do with a scope, a verb a file (PROTOCOL.md).
//!
//! Every write path ends in `_sync_seal` inside PostgreSQL (`migrations/app`); the code here checks what devices send,
//! calls the engine's functions, applies rows, and tells watchers after the commit.

mod app_by_app;
mod apply;
pub mod bundle;
pub mod capabilities;
pub mod conflict;
pub mod connect;
pub mod device;
pub mod erase;
pub mod export;
mod fair_share;
pub mod gate;
pub mod history;
pub mod hub;
pub mod keys;
pub mod ledger_bounds;
mod live_rows;
pub mod overview;
pub mod payload;
pub mod pull;
pub mod push;
mod queue;
pub mod refusal;
pub mod rejected_write;
pub mod relay;
pub mod retention;
pub mod rollup;
pub mod room;
pub mod served;
pub mod server_write;
pub mod snapshot;
mod together;
pub mod watch;

use std::{ops::Deref, sync::Arc};

use tokio_util::task::TaskTracker;

use crate::{
    clock::Clock,
    ids::{AppId, BundleSeq, ScopeId, SourceId},
    ops::{
        config::LimitsConfig,
        database::{AppPool, in_schema},
        machine::cores,
    },
    tables::catalog::AppCatalog,
};

/// The use cases of the sync protocol. One a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Parts>);

/// What the engine consists of.
#[derive(Debug)]
pub struct Parts {
    apps: AppPool,
    clock: Clock,
    limits: LimitsConfig,
    /// Where commits of one scope wait for each other before they take a connection.
    queues: queue::ScopeQueues,
    /// Where requests of an app that asks for a lot wait, so that other apps' need not.
    shares: fair_share::FairShares,
    /// Where the steps of small pushes wait to be taken with others.
    groups: push::PushGroups,
    /// Where large chunks wait until there is room for them, before they are read.
    chunk_room: room::Room,
    /// And large commits, before their rows are.
    commit_room: room::Room,
    /// Where the reading back of what became of pushes waits to be taken with others.
    reads: bundle::ReadGroups,
    /// Commits under way. They run to their end even if their client goes away.
    tasks: TaskTracker,
    /// Where expired pushes are looked for.
    apps_with_pushes: push::AppsWithPushes,
    /// Who waits for the next bundle of a scope.
    hub: hub::Hub,
    watch_places: watch::Places,
    snapshots: snapshot::Capacity,
    apps_with_snapshots: snapshot::AppsWithSnapshots,
    facts: device::facts::Facts,
    /// What happens in each app, in numbers.
    meter: rollup::meter::Meter,
    apps_with_rollups: rollup::AppsWithRollups,
    apps_with_writes: rollup::AppsWithRollups,
    shared_figures: overview::SharedFigures,
    overview_places: overview::Places,
    apps_with_ledgers: ledger_bounds::AppsWithLedgers,
    exports: export::Places,
}

/// Who is speaking: an authenticated device of an end user. Every use case of the protocol takes it first.
#[derive(Debug, Clone)]
pub struct SyncCaller {
    /// The app in the schema version that the device was built for.
    pub app: Arc<AppCatalog>,
    pub scope: ScopeId,
    /// The end user whose token it is.
    pub user: String,
    /// The device, as its `Oversync-Source-ID` header names it.
    pub source: SourceId,
}

/// A bundle that has been committed: what watchers and the device facts are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEvent {
    pub app: AppId,
    pub scope: ScopeId,
    pub source: SourceId,
    pub source_bundle_id: i64,
    pub seq: BundleSeq,
}

impl SyncCaller {
    /// Requests that may go together.
    fn together(&self) -> together::Key {
        (self.app.app, self.app.schema_version)
    }
}

impl Engine {
    pub fn new(apps: AppPool, clock: Clock, limits: LimitsConfig) -> Self {
        Self(Arc::new(Parts {
            apps,
            clock,
            queues: queue::ScopeQueues::default(),
            shares: fair_share::FairShares::new(limits.crowded_requests_per_core, cores()),
            groups: push::PushGroups::default(),
            chunk_room: room::Room::new(limits.max_push_bytes_at_once),
            commit_room: room::Room::new(limits.max_push_bytes_at_once),
            reads: bundle::ReadGroups::new(1),
            tasks: TaskTracker::new(),
            apps_with_pushes: push::AppsWithPushes::default(),
            hub: hub::Hub::default(),
            watch_places: watch::Places::new(limits.max_watch_streams),
            facts: device::facts::Facts::default(),
            meter: rollup::meter::Meter::default(),
            apps_with_rollups: rollup::AppsWithRollups::default(),
            apps_with_writes: rollup::AppsWithRollups::default(),
            shared_figures: overview::SharedFigures::default(),
            overview_places: overview::Places::default(),
            apps_with_ledgers: ledger_bounds::AppsWithLedgers::default(),
            exports: export::Places::default(),
            apps_with_snapshots: snapshot::AppsWithSnapshots::default(),
            snapshots: snapshot::Capacity::new(&limits),
            limits,
        }))
    }

    /// Wait for commits and whatever else goes on without its request. Call it when no request is open any more.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The bounds on requests, pushes and pages; `sync/capabilities` tells them to clients.
    pub fn limits(&self) -> &LimitsConfig {
        &self.limits
    }

    /// Whether the database serves the app's schema within two seconds.
    pub async fn answers(&self, app: &AppCatalog) -> bool {
        const WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
        let question =
            sqlx::query(in_schema(&app.schema, "select max(version) from {schema}._sync_schema_version"));
        matches!(tokio::time::timeout(WITHIN, self.apps.rows(&app.schema, question)).await, Ok(Ok(_)))
    }

    /// Where whoever reads a large chunk waits until there is room for it.
    pub fn chunk_room(&self) -> &room::Room {
        &self.chunk_room
    }

    /// What has been noted of devices and not been written down yet.
    pub fn facts(&self) -> &device::facts::Facts {
        &self.facts
    }

    /// What has been counted and not been written down yet.
    pub fn meter(&self) -> &rollup::meter::Meter {
        &self.meter
    }

    /// Who waits for the next bundle of a scope.
    pub fn hub(&self) -> &hub::Hub {
        &self.hub
    }

    /// Something about an app (None: about all of them) is no longer as it was: its open streams ask again whether they
    /// may go on.
    pub fn recheck_streams(&self, app: Option<AppId>) {
        self.hub.recheck(app);
    }

    /// Tell everybody who waits for it that a bundle has been committed. Never waits and never fails: a hint that
    /// gets lost is made good by the next pull.
    pub(in crate::sync) fn committed(&self, event: CommitEvent) {
        tracing::debug!(app.id = %event.app, bundle.seq = event.seq.0, "a bundle was committed");
        self.hub.committed(event);
    }
}

impl Deref for Engine {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Bytes as lowercase hex: the form of hashes on the wire.
fn lowercase_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
