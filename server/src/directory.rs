//! From (tenant slug, app slug) to everything a request of a device needs, without asking the database each time.
//!
//! What is cached stays right like this. Every change of an app takes the next number (`control::changes`). An entry
//! remembers the number that was current *before* it was loaded. A poller asks for newer numbers a few times a second
//! and notes, per app, the number of its last change; an entry that is older than that is not used again. So a load
//! that overlaps a change is harmless, whichever of them ends first. When polling has failed for a second, nothing
//! that is cached is trusted, and each request loads for itself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::broadcast, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::end_user::EndUserAuth,
    control::{ControlPlane, apps::App, changes::Changed, slugs::Slug},
    ids::AppId,
    ops::database::AppPool,
    tables::{catalog::AppCatalog, engine_schema::MigrateError, ident::Ident},
};

/// How often a node asks for changes.
pub const POLL_EVERY: Duration = Duration::from_millis(400);
/// How long after the last answer a node still trusts what it has cached. With the poll's period below it, a change
/// is effective everywhere within a second.
const TRUST_FOR: Duration = Duration::from_millis(1_000);
/// Apps kept in memory; the least used go first.
const MAX_APPS: u64 = 10_000;
/// Changed apps that are remembered one by one before all entries are dropped at once.
const MAX_CHANGED: usize = 10_000;
/// Answers of the poller that may wait for a listener; one that is slower hears that everything changed.
const MAX_UNHEARD: usize = 64;

/// Everything a request to an app needs to know about it. Immutable; replaced when the app changes.
#[derive(Debug)]
pub struct LiveApp {
    pub app: App,
    pub tenant_slug: Slug,
    /// The latest published tables.
    pub catalog: Arc<AppCatalog>,
    pub auth: EndUserAuth,
}

/// The apps that this node knows. One a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: ControlPlane,
    apps: AppPool,
    entries: moka::future::Cache<Address, Entry>,
    freshness: Freshness,
    /// Tells who listens what has changed, after it is known here.
    news: broadcast::Sender<Changed>,
}

/// Hears of apps that have changed, once the directory knows of it.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Changed>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Address {
    tenant: Slug,
    app: Slug,
}

#[derive(Debug, Clone)]
struct Entry {
    live: Arc<LiveApp>,
    /// The number of the latest change before the entry was loaded.
    as_of: i64,
}

/// An app could not be looked up: the database could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the app could not be looked up")]
pub struct DirectoryError(#[source] Arc<sqlx::Error>);

impl DirectoryError {
    pub fn cause(&self) -> &sqlx::Error {
        &self.0
    }
}

/// Why a load ends without an entry to keep.
#[derive(Debug)]
enum NoEntry {
    /// There is no such app.
    Absent,
    /// Its tables are being published: what was loaded is right now, but perhaps not for a second.
    Unsettled(Arc<LiveApp>),
    Failed(Arc<sqlx::Error>),
}

impl From<sqlx::Error> for NoEntry {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl Directory {
    pub fn new(control: ControlPlane, apps: AppPool) -> Self {
        Self(Arc::new(Inner {
            control,
            apps,
            entries: moka::future::Cache::new(MAX_APPS),
            freshness: Freshness::default(),
            news: broadcast::Sender::new(MAX_UNHEARD),
        }))
    }

    /// Hear of changes from now on: what is long-lived and was allowed by what an app was like must ask again.
    pub fn listen(&self) -> Listener {
        Listener(self.0.news.subscribe())
    }

    /// The app at these slugs; None if there is none that is ready. Whoever asks for the same app at the same time
    /// waits for one load.
    pub async fn find(&self, tenant: &str, app: &str) -> Result<Option<Arc<LiveApp>>, DirectoryError> {
        let (Some(tenant), Some(app)) = (Slug::parse_in_url(tenant), Slug::parse_in_url(app)) else {
            return Ok(None);
        };
        let address = Address { tenant, app };
        if !self.0.freshness.trusted(Instant::now()) {
            return settle(self.load(&address).await.map_err(Arc::new));
        }
        loop {
            // An entry that waits here may have been loaded by somebody who began before the last change.
            let entry = match self.0.entries.try_get_with_by_ref(&address, self.load(&address)).await {
                Ok(entry) if !self.0.freshness.holds(entry.live.app.app_id, entry.as_of) => {
                    self.0.entries.invalidate(&address).await;
                    continue;
                }
                entry => entry,
            };
            return settle(entry);
        }
    }

    /// Ask for changes until `stop`. One task a process runs this.
    pub async fn follow_changes(&self, stop: CancellationToken) {
        let mut every = tokio::time::interval(POLL_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            let polled = tokio::time::timeout(TRUST_FOR, self.poll()).await;
            let failed = match polled {
                Ok(Ok(())) => false,
                Ok(Err(error)) => {
                    if !failing {
                        tracing::warn!(error.cause = %error, "changes of apps cannot be read; caches are not used");
                    }
                    true
                }
                Err(_) => true,
            };
            failing = failed;
        }
    }

    /// Ask for changes once, and forget what they concern.
    pub async fn poll(&self) -> Result<(), sqlx::Error> {
        // Trust counts from before the question: what changes after it may be missing in the answer.
        let asked = Instant::now();
        let changes = self.0.control.changes_since(self.0.freshness.known()).await?;
        self.0.freshness.learn(changes.number, &changes.what, asked);
        if !matches!(&changes.what, Changed::Apps(apps) if apps.is_empty()) {
            // Nobody listens: nobody has anything to ask again.
            let _ = self.0.news.send(changes.what);
        }
        Ok(())
    }

    /// Ask for changes right after making one here, so that the next page shows it. That it fails costs only that.
    pub async fn refresh(&self) {
        if let Err(error) = self.poll().await {
            tracing::debug!(error.cause = %error, "changes of apps cannot be read just now");
        }
    }

    async fn load(&self, address: &Address) -> Result<Entry, NoEntry> {
        let as_of = self.0.control.change_number().await?;
        let found = self.0.control.live_app(&address.tenant, &address.app).await?.ok_or(NoEntry::Absent)?;
        self.0.control.bring_up_to_date(&found).await.map_err(|error| match error {
            MigrateError::Database(error) => error,
            newer @ MigrateError::Newer { .. } => sqlx::Error::Configuration(newer.into()),
        })?;
        let catalog = Arc::new(load_catalog(&self.0.apps, &found.app).await?);
        let live = Arc::new(LiveApp {
            app: found.app,
            tenant_slug: address.tenant.clone(),
            catalog,
            auth: found.auth,
        });
        if found.publishing {
            return Err(NoEntry::Unsettled(live));
        }
        Ok(Entry { live, as_of })
    }
}

impl Listener {
    /// What has changed since the last answer. Waits for ever if the directory is gone.
    pub async fn changed(&mut self) -> Changed {
        match self.0.recv().await {
            Ok(changed) => changed,
            Err(broadcast::error::RecvError::Lagged(_)) => Changed::Everything,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn settle(loaded: Result<Entry, Arc<NoEntry>>) -> Result<Option<Arc<LiveApp>>, DirectoryError> {
    let no_entry = match loaded {
        Ok(entry) => return Ok(Some(entry.live)),
        Err(no_entry) => no_entry,
    };
    match &*no_entry {
        NoEntry::Absent => Ok(None),
        NoEntry::Unsettled(live) => Ok(Some(Arc::clone(live))),
        NoEntry::Failed(error) => Err(DirectoryError(Arc::clone(error))),
    }
}

/// The latest published tables of an app.
async fn load_catalog(apps: &AppPool, app: &App) -> Result<AppCatalog, sqlx::Error> {
    let logical_schema =
        Ident::parse(&app.logical_schema).map_err(|error| sqlx::Error::Decode(error.into()))?;
    AppCatalog::load(apps, app.app_id, app.profile, &logical_schema).await
}

/// What the poller has learnt.
#[derive(Debug)]
struct Freshness {
    /// The number of the latest change that has been learnt.
    known: AtomicI64,
    learnt: Mutex<Learnt>,
}

#[derive(Debug, Default)]
struct Learnt {
    /// The number of the last change of each app that has changed.
    changed: HashMap<AppId, i64>,
    /// Every entry from before this number is void.
    all_changed: i64,
    /// When the last answered question was asked; None before the first.
    asked: Option<Instant>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { known: AtomicI64::new(0), learnt: Mutex::default() }
    }
}

impl Freshness {
    fn known(&self) -> i64 {
        self.known.load(Ordering::Acquire)
    }

    fn trusted(&self, now: Instant) -> bool {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.asked.is_some_and(|asked| now.duration_since(asked) < TRUST_FOR)
    }

    /// Whether an entry of `app` from after change `as_of` is still right.
    fn holds(&self, app: AppId, as_of: i64) -> bool {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        as_of >= learnt.all_changed && learnt.changed.get(&app).is_none_or(|changed| as_of >= *changed)
    }

    fn learn(&self, number: i64, what: &Changed, asked: Instant) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Changed::Apps(apps) if learnt.changed.len() + apps.len() <= MAX_CHANGED => {
                for app in apps {
                    let changed = learnt.changed.entry(*app).or_default();
                    *changed = number.max(*changed);
                }
            }
            Changed::Apps(_) | Changed::Everything => {
                learnt.all_changed = number.max(learnt.all_changed);
                let all_changed = learnt.all_changed;
                learnt.changed.retain(|_, changed| *changed > all_changed);
            }
        }
        learnt.asked = learnt.asked.max(Some(asked));
        self.known.fetch_max(number, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_holds_until_its_app_changes() {
        let (app, other) = (AppId::new(), AppId::new());
        let freshness = Freshness::default();
        let now = Instant::now();
        assert!(!freshness.trusted(now));
        freshness.learn(5, &Changed::Everything, now);
        assert!(freshness.trusted(now) && freshness.holds(app, 5) && !freshness.holds(app, 4));
        freshness.learn(7, &Changed::Apps(vec![app]), now);
        assert!(!freshness.holds(app, 6), "loaded while the change was under way");
        assert!(freshness.holds(app, 7) && freshness.holds(other, 5));
        assert!(!freshness.trusted(now + TRUST_FOR));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let freshness = Freshness::default();
        let many = (0..=MAX_CHANGED).map(|_| AppId::new()).collect();
        freshness.learn(9, &Changed::Apps(many), Instant::now());
        assert!(freshness.learnt.lock().unwrap().changed.is_empty());
        assert!(!freshness.holds(AppId::new(), 8));
    }
}
