//! Who waits for the next bundle of a scope, on this node.
//!
//! A scope that somebody watches has a topic: one slot that holds the latest bundle. A newer bundle replaces an older
//! one, so a slow watcher costs nothing and misses nothing but the steps between. A topic goes with its last watcher.
//! Other nodes are told by [`relay`](super::relay), which takes what is put into the hub's outbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, watch};

use super::CommitEvent;
use crate::ids::{AppId, BundleSeq, ScopeId, SourceId};

/// The topics of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topics: Mutex<HashMap<Key, watch::Sender<Topic>>>,
    outbox: mpsc::Sender<Signal>,
    /// Taken once, by the relay.
    outgoing: Mutex<Option<mpsc::Receiver<Signal>>>,
}

type Key = (AppId, ScopeId);

/// Something that happened here and that other nodes' watchers must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) enum Signal {
    Committed(CommitEvent),
    Retired { app: AppId, scope: ScopeId, source: SourceId },
    Erased { app: AppId, scope: ScopeId },
}

/// The latest bundle of a scope, as watchers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    pub seq: BundleSeq,
    pub source: Arc<str>,
    pub source_bundle_id: i64,
}

/// What the watchers of a scope share.
#[derive(Debug, Default)]
struct Topic {
    latest: Option<Wake>,
    /// Sources that were retired while somebody watched: their streams end. Few, because rotations are rare.
    retired: Vec<SourceId>,
    /// The app is gone, or everything of the scope.
    over: bool,
    /// How often the app has changed while somebody watched.
    changes: u64,
}

impl Topic {
    /// More than this many rotations between two wake-ups of a watcher would be an attack.
    const MAX_RETIRED: usize = 64;
}

/// A watcher's place. Given up when dropped.
#[derive(Debug)]
pub(in crate::sync) struct Subscription {
    hub: Hub,
    key: Key,
    source: SourceId,
    receiver: watch::Receiver<Topic>,
    /// Of the app's changes, those that the watcher has been told of.
    changes: u64,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Bundle(Wake),
    /// Something about the app is another than when the stream was opened: whether it may go on must be asked again.
    AppChanged,
}

/// A scope that is watched here, and the latest bundle that its watchers know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) struct WatchedScope {
    pub(in crate::sync) scope: ScopeId,
    pub(in crate::sync) known: BundleSeq,
}

impl Default for Hub {
    fn default() -> Self {
        let (outbox, outgoing) = mpsc::channel(Self::OUTBOX);
        Self(Arc::new(Inner { topics: Mutex::default(), outbox, outgoing: Mutex::new(Some(outgoing)) }))
    }
}

impl Hub {
    /// Signals that may wait for the relay; more are dropped, and other nodes find out by themselves.
    const OUTBOX: usize = 16 * 1024;

    /// A bundle was committed by this node. Never waits.
    pub(in crate::sync) fn committed(&self, event: CommitEvent) {
        let wake = Wake {
            seq: event.seq,
            source: event.source.as_str().into(),
            source_bundle_id: event.source_bundle_id,
        };
        self.wake(event.app, &event.scope, wake);
        // A full outbox is no harm: see OUTBOX.
        let _ = self.0.outbox.try_send(Signal::Committed(event));
    }

    /// A source was retired by this node. Never waits.
    pub(in crate::sync) fn retired(&self, app: AppId, scope: &ScopeId, source: &SourceId) {
        self.end_source(app, scope, source);
        let signal = Signal::Retired { app, scope: scope.clone(), source: source.clone() };
        let _ = self.0.outbox.try_send(signal);
    }

    /// Tell this node's watchers of a scope what its latest bundle is. What they know already is no news.
    pub(in crate::sync) fn wake(&self, app: AppId, scope: &ScopeId, wake: Wake) {
        self.change(app, scope, |topic| {
            let is_news = topic.latest.as_ref().is_none_or(|latest| latest.seq < wake.seq);
            if is_news {
                topic.latest = Some(wake);
            }
            is_news
        });
    }

    /// End this node's streams of a source.
    pub(in crate::sync) fn end_source(&self, app: AppId, scope: &ScopeId, source: &SourceId) {
        self.change(app, scope, |topic| {
            if topic.retired.len() == Topic::MAX_RETIRED {
                topic.retired.remove(0);
            }
            topic.retired.push(source.clone());
            true
        });
    }

    /// A scope is being erased by this node. Never waits.
    pub(in crate::sync) fn erased(&self, app: AppId, scope: &ScopeId) {
        self.end_scope(app, scope);
        let _ = self.0.outbox.try_send(Signal::Erased { app, scope: scope.clone() });
    }

    /// End this node's streams of a scope.
    pub(in crate::sync) fn end_scope(&self, app: AppId, scope: &ScopeId) {
        // The topic goes too: whoever comes back begins a new one.
        if let Some(topic) = self.topics().remove(&(app, scope.clone())) {
            topic.send_modify(|topic| topic.over = true);
        }
    }

    /// End all streams of an app that is gone.
    pub(in crate::sync) fn end_app(&self, app: AppId) {
        for ((_, _), topic) in self.topics().iter().filter(|((of, _), _)| *of == app) {
            topic.send_modify(|topic| topic.over = true);
        }
    }

    /// Have all streams of an app, or of every app, ask again whether they may go on.
    pub(in crate::sync) fn recheck(&self, app: Option<AppId>) {
        for (_, topic) in self.topics().iter().filter(|((of, _), _)| app.is_none_or(|app| app == *of)) {
            topic.send_modify(|topic| topic.changes += 1);
        }
    }

    /// Begin to listen; whatever is told from now on reaches the subscription.
    pub(in crate::sync) fn subscribe(&self, app: AppId, scope: &ScopeId, source: &SourceId) -> Subscription {
        let key = (app, scope.clone());
        let receiver = self
            .topics()
            .entry(key.clone())
            .or_insert_with(|| watch::Sender::new(Topic::default()))
            .subscribe();
        let changes = receiver.borrow().changes;
        Subscription { hub: self.clone(), key, source: source.clone(), receiver, changes }
    }

    /// Which of these scopes is watched here.
    pub(in crate::sync) fn is_watched(&self, app: AppId, scope: &ScopeId) -> bool {
        self.topics().contains_key(&(app, scope.clone()))
    }

    /// Everything that is watched here, app by app.
    pub(in crate::sync) fn watched(&self) -> HashMap<AppId, Vec<WatchedScope>> {
        let mut watched: HashMap<AppId, Vec<WatchedScope>> = HashMap::new();
        for ((app, scope), topic) in self.topics().iter() {
            let known = topic.borrow().latest.as_ref().map_or(BundleSeq(0), |wake| wake.seq);
            watched.entry(*app).or_default().push(WatchedScope { scope: scope.clone(), known });
        }
        watched
    }

    /// Open streams of this node.
    pub fn streams(&self) -> usize {
        self.topics().values().map(watch::Sender::receiver_count).sum()
    }

    /// What other nodes must be told. Only the first caller gets it.
    pub(in crate::sync) fn outgoing(&self) -> Option<mpsc::Receiver<Signal>> {
        self.0.outgoing.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn change(&self, app: AppId, scope: &ScopeId, change: impl FnOnce(&mut Topic) -> bool) {
        if let Some(topic) = self.topics().get(&(app, scope.clone())) {
            topic.send_if_modified(change);
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<Topic>>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// The latest bundle, as soon as it is above `after`, or that the app has changed. None: the stream is over, because
    /// its source was retired, its scope is being erased or its app is gone. May be abandoned and called again.
    pub(in crate::sync) async fn above(&mut self, after: BundleSeq) -> Option<News> {
        let (source, changes) = (&self.source, self.changes);
        let topic = self
            .receiver
            .wait_for(|topic| {
                topic.over
                    || topic.retired.contains(source)
                    || topic.changes != changes
                    || topic.latest.as_ref().is_some_and(|wake| wake.seq > after)
            })
            .await
            .ok()?;
        if topic.over || topic.retired.contains(source) {
            return None;
        }
        if topic.changes != changes {
            self.changes = topic.changes;
            return Some(News::AppChanged);
        }
        topic.latest.clone().map(News::Bundle)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Whoever subscribes holds the same lock, so the count cannot grow between the question and the removal.
        let mut topics = self.hub.topics();
        let is_last = |topic: &watch::Sender<Topic>| {
            topic.receiver_count() <= 1 && self.receiver.same_channel(&topic.subscribe())
        };
        if topics.get(&self.key).is_some_and(is_last) {
            topics.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn names() -> (AppId, ScopeId, SourceId) {
        (AppId::new(), ScopeId::parse("u").unwrap(), SourceId::parse_device("d").unwrap())
    }

    fn wake(seq: i64) -> Wake {
        Wake { seq: BundleSeq(seq), source: "other".into(), source_bundle_id: seq }
    }

    #[tokio::test]
    async fn the_latest_bundle_wins_and_is_told_once() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        let mut watcher = hub.subscribe(app, &scope, &source);
        assert_eq!(watcher.above(BundleSeq(0)).now_or_never(), None);
        for seq in [1, 3, 2] {
            hub.wake(app, &scope, wake(seq));
        }
        assert_eq!(watcher.above(BundleSeq(0)).now_or_never(), Some(Some(News::Bundle(wake(3)))));
        assert_eq!(watcher.above(BundleSeq(3)).now_or_never(), None);
    }

    #[tokio::test]
    async fn scopes_hear_only_of_themselves() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        let mut watcher = hub.subscribe(app, &scope, &source);
        hub.wake(app, &ScopeId::parse("v").unwrap(), wake(1));
        hub.wake(AppId::new(), &scope, wake(1));
        assert_eq!(watcher.above(BundleSeq(0)).now_or_never(), None);
    }

    #[tokio::test]
    async fn a_retired_sources_stream_ends_and_others_go_on() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        let mut retired = hub.subscribe(app, &scope, &source);
        let mut other = hub.subscribe(app, &scope, &SourceId::parse_device("e").unwrap());
        hub.retired(app, &scope, &source);
        assert_eq!(retired.above(BundleSeq(0)).now_or_never(), Some(None));
        assert_eq!(other.above(BundleSeq(0)).now_or_never(), None);
        hub.end_app(app);
        assert_eq!(other.above(BundleSeq(0)).now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn a_change_of_the_app_is_told_once_and_before_bundles() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        let mut watcher = hub.subscribe(app, &scope, &source);
        hub.recheck(Some(AppId::new()));
        assert_eq!(watcher.above(BundleSeq(0)).now_or_never(), None);
        hub.wake(app, &scope, wake(1));
        hub.recheck(Some(app));
        assert_eq!(watcher.above(BundleSeq(0)).now_or_never(), Some(Some(News::AppChanged)));
        assert_eq!(watcher.above(BundleSeq(0)).now_or_never(), Some(Some(News::Bundle(wake(1)))));
        hub.recheck(None);
        assert_eq!(watcher.above(BundleSeq(1)).now_or_never(), Some(Some(News::AppChanged)));
    }

    #[tokio::test]
    async fn a_topic_goes_with_its_last_watcher() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        let one = hub.subscribe(app, &scope, &source);
        let two = hub.subscribe(app, &scope, &source);
        assert_eq!((hub.streams(), hub.is_watched(app, &scope)), (2, true));
        drop(one);
        assert!(hub.is_watched(app, &scope));
        drop(two);
        assert_eq!((hub.streams(), hub.is_watched(app, &scope)), (0, false));
    }

    #[tokio::test]
    async fn the_streams_of_an_erased_scope_end_and_new_ones_begin_anew() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        hub.wake(app, &scope, wake(7));
        let mut before = hub.subscribe(app, &scope, &source);
        let mut elsewhere = hub.subscribe(app, &ScopeId::parse("v").unwrap(), &source);
        hub.erased(app, &scope);
        assert_eq!(before.above(BundleSeq(0)).now_or_never(), Some(None));
        assert_eq!(elsewhere.above(BundleSeq(0)).now_or_never(), None);
        let mut after = hub.subscribe(app, &scope, &source);
        drop(before);
        hub.wake(app, &scope, wake(8));
        assert_eq!(after.above(BundleSeq(7)).now_or_never(), Some(Some(News::Bundle(wake(8)))));
    }

    #[tokio::test]
    async fn what_happened_here_is_put_out_for_others() {
        let (hub, (app, scope, source)) = (Hub::default(), names());
        let mut outgoing = hub.outgoing().unwrap();
        assert!(hub.outgoing().is_none());
        let event = CommitEvent { app, scope, source, source_bundle_id: 1, seq: BundleSeq(1) };
        hub.committed(event.clone());
        assert_eq!(outgoing.try_recv().unwrap(), Signal::Committed(event));
    }
}
