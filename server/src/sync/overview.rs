//! How an app is doing right now: what its first page shows, and who may watch it change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::FromRow;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Engine,
    conflict::ledger::{Conflict, ConflictFilter},
    device::{list::Device, search::DeviceFilter},
    history::AppCounts,
    rejected_write::inbox::{RejectedWrite, RejectedWriteFilter, RejectedWriteState},
    rollup::Step,
};
use crate::{
    ids::{AccountId, AppId},
    ops::database::in_schema,
    tables::catalog::AppCatalog,
};

/// Entries of each short list.
const FEW: i64 = 3;
/// Whoever watches an app sees what the database said at most so long ago; all watchers on a node share the answer.
const SHARED_FOR: Duration = Duration::from_millis(900);
/// Apps that are watched at once on a node.
const SHARED_APPS: u64 = 1_000;
/// Streams of one node, and of one account on it: a person has a few windows, a script has many.
const MAX_STREAMS: usize = 1_000;
const MAX_STREAMS_OF_ACCOUNT: usize = 16;

/// What an app's first page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFigures {
    pub counts: AppCounts,
    pub last_hour: LastHour,
    /// Devices with something the matter, those refused last first.
    pub trouble: Vec<Device>,
    /// The latest.
    pub conflicts: Vec<Conflict>,
    /// The latest of those that are open.
    pub rejections: Vec<RejectedWrite>,
    /// The device that called last, as long as nothing has been committed: whom the quick start waits for.
    pub newcomer: Option<Device>,
}

/// What happened within the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct LastHour {
    pub commits: i64,
    pub rows_pushed: i64,
    pub pulls: i64,
    pub rows_served: i64,
}

/// The figures of apps that are being watched. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::sync) struct SharedFigures(moka::future::Cache<AppId, Arc<AppFigures>>);

impl Default for SharedFigures {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(SHARED_APPS).time_to_live(SHARED_FOR).build())
    }
}

/// Places for streams of figures on this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Places {
    all: Arc<Semaphore>,
    by_account: Arc<Mutex<HashMap<AccountId, usize>>>,
}

/// A place for one stream. Given up when dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    account: AccountId,
    _one_of_all: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_STREAMS)), by_account: Arc::default() }
    }
}

impl Places {
    fn take(&self, account: AccountId) -> Option<Place> {
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut by_account = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_account.entry(account).or_default();
        if *own >= MAX_STREAMS_OF_ACCOUNT {
            return None;
        }
        *own += 1;
        Some(Place { places: self.clone(), account, _one_of_all: one_of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_account = self.places.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_account.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                by_account.remove(&self.account);
            }
        }
    }
}

const LAST_HOUR: &str = "select coalesce(sum(r.commits), 0)::bigint as commits,
        coalesce(sum(r.rows_pushed), 0)::bigint as rows_pushed,
        coalesce(sum(r.pulls), 0)::bigint as pulls,
        coalesce(sum(r.rows_served), 0)::bigint as rows_served
    from {schema}._sync_rollup r
    where r.step = $1 and r.at > $2";

impl Engine {
    /// How an app is doing.
    pub async fn figures(&self, app: &AppCatalog) -> Result<AppFigures, sqlx::Error> {
        let counts = self.counts(app).await?;
        let newcomer = match counts.last_commit_at {
            Some(_) => None,
            None => self.find_devices(app, &DeviceFilter::default(), None, 1).await?.items.pop(),
        };
        let open = RejectedWriteFilter { state: Some(RejectedWriteState::Open), ..Default::default() };
        Ok(AppFigures {
            counts,
            last_hour: self.last_hour(app).await?,
            trouble: self.devices_in_trouble(app, FEW).await?,
            conflicts: self.conflicts(app, &ConflictFilter::default(), None, FEW).await?.items,
            rejections: self.rejected_writes(app, &open, None, FEW).await?.items,
            newcomer,
        })
    }

    /// As [`Engine::figures`], asked once for all who watch the app.
    ///
    /// # Errors
    /// Everybody who waits for the same answer gets the same error.
    pub async fn watched_figures(&self, app: &AppCatalog) -> Result<Arc<AppFigures>, Arc<sqlx::Error>> {
        let figures = async { self.figures(app).await.map(Arc::new) };
        self.shared_figures.0.try_get_with(app.app, figures).await
    }

    /// A place for a stream of figures; None: this node, or the account, has as many as it may have.
    pub fn overview_place(&self, account: AccountId) -> Option<Place> {
        self.overview_places.take(account)
    }

    async fn last_hour(&self, app: &AppCatalog) -> Result<LastHour, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, LAST_HOUR))
            .bind(Step::Minute.seconds())
            .bind(self.clock.now() - time::Duration::hours(1));
        self.apps.one(&app.schema, query).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_up() {
        let (places, somebody) = (Places::default(), AccountId::new());
        let mut taken: Vec<Place> =
            (0..MAX_STREAMS_OF_ACCOUNT).map(|_| places.take(somebody).unwrap()).collect();
        assert!(places.take(somebody).is_none());
        assert!(places.take(AccountId::new()).is_some());
        taken.pop();
        assert!(places.take(somebody).is_some());
        taken.clear();
        assert!(places.by_account.lock().unwrap().is_empty());
        let all: Vec<Place> = (0..MAX_STREAMS).filter_map(|_| places.take(AccountId::new())).collect();
        assert_eq!(all.len(), MAX_STREAMS);
        assert!(places.take(AccountId::new()).is_none());
    }
}
