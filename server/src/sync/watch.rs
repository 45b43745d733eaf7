//! `GET sync/watch`: wake a device when its scope has a newer bundle (PROTOCOL.md section 7).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Engine, SyncCaller,
    device::streams::Presence,
    gate::{self, ScopeNotReady, state_at},
    hub::{News, Subscription, Wake},
};
use crate::{
    ids::{BundleSeq, SourceId},
    ops::database::in_schema,
};

/// Why a device cannot watch.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    NotReady(#[from] ScopeNotReady),
    /// The source may not go on: its device has a new one.
    #[error("the source is retired")]
    Retired { replaced_by: Option<SourceId> },
    /// This server is configured without watch streams.
    #[error("watching is switched off")]
    Disabled,
    /// This node has as many streams as it may have.
    #[error("too many devices are watching")]
    TooMany,
    #[error("the scope could not be read")]
    Database(#[from] sqlx::Error),
}

/// An open stream. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    subscription: Subscription,
    /// The last bundle that the device has or was told of.
    told: BundleSeq,
    presence: Presence,
    _place: OwnedSemaphorePermit,
}

/// Places for streams on this node.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Places(Arc<Semaphore>);

impl Places {
    pub(in crate::sync) fn new(streams: usize) -> Self {
        Self(Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))))
    }
}

const START: &str = concat!(
    "select ",
    state_at!("$3"),
    " as state, s.bundle_seq, b.source_id, b.source_bundle_id,
        r.state = 'retired' as is_retired, r.replaced_by_source_id
    from {schema}._sync_scope s
    left join {schema}._sync_bundle b on b.scope_id = s.scope_id and b.bundle_seq = s.bundle_seq
    left join {schema}._sync_source r on r.scope_id = s.scope_id and r.source_id = $2
    where s.scope_id = $1"
);

#[derive(Debug, sqlx::FromRow)]
struct Start {
    state: String,
    bundle_seq: BundleSeq,
    source_id: Option<String>,
    source_bundle_id: Option<i64>,
    is_retired: Option<bool>,
    replaced_by_source_id: Option<SourceId>,
}

impl Engine {
    /// Open a stream for a device that has everything up to `after`.
    pub async fn watch(&self, caller: &SyncCaller, after: BundleSeq) -> Result<Watch, WatchError> {
        if self.limits.max_watch_streams == 0 {
            return Err(WatchError::Disabled);
        }
        let place = Arc::clone(&self.watch_places.0).try_acquire_owned().map_err(|_| WatchError::TooMany)?;
        // Before the question: a bundle that is committed in between is told by one or the other.
        let subscription = self.hub.subscribe(caller.app.app, &caller.scope, &caller.source);
        let start = self.watch_start(caller).await?.ok_or(ScopeNotReady::Uninitialized)?;
        gate::check(Some(&start.state))?;
        if start.is_retired == Some(true) {
            return Err(WatchError::Retired { replaced_by: start.replaced_by_source_id });
        }
        if let (Some(source), Some(source_bundle_id)) = (start.source_id, start.source_bundle_id) {
            let wake = Wake { seq: start.bundle_seq, source: source.into(), source_bundle_id };
            self.hub.wake(caller.app.app, &caller.scope, wake);
        }
        let presence = Presence::begin(&self.facts, &self.clock, caller);
        Ok(Watch { subscription, told: after, presence, _place: place })
    }

    async fn watch_start(&self, caller: &SyncCaller) -> Result<Option<Start>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&caller.app.schema, START))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(self.clock.now());
        self.apps.optional(&caller.app.schema, query).await
    }
}

impl Watch {
    /// The stream is open still: call it at every heartbeat.
    pub fn goes_on(&mut self) {
        self.presence.goes_on();
    }

    /// The latest bundle, once there is one that the device has not been told of, or that the app has changed. None: the
    /// stream is over. May be abandoned and called again.
    pub async fn next(&mut self) -> Option<News> {
        let news = self.subscription.above(self.told).await?;
        if let News::Bundle(wake) = &news {
            self.told = wake.seq;
        }
        Some(news)
    }
}
