//! Snapshots: every live row of a scope, frozen at one bundle (PROTOCOL.md section 5).
//!
//! A snapshot is built once, inside PostgreSQL, and shared by all devices that ask while its bundle is the latest; a
//! device's *session* is a right to read it for some minutes. [`session`] makes and ends sessions, [`build`] builds,
//! [`chunk`] reads.

mod build;
pub mod chunk;
mod expire;
mod page_sql;
pub mod session;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

pub(in crate::sync) use self::expire::AppsWithSnapshots;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::{
    ids::{AppId, ScopeId},
    ops::config::LimitsConfig,
};

/// How many snapshots may be built, and chunks read, at once on this node; and who builds which.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Capacity {
    builds: Arc<Semaphore>,
    chunks: Arc<Semaphore>,
    /// Requests for the same snapshot wait here for the one that builds it.
    building: Arc<Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>>,
}

/// App, scope, schema version.
type Key = (AppId, ScopeId, i32);

impl Capacity {
    pub(in crate::sync) fn new(limits: &LimitsConfig) -> Self {
        let permits = |count: i64| {
            Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(0).min(Semaphore::MAX_PERMITS)))
        };
        Self {
            builds: permits(limits.max_concurrent_snapshot_builds),
            chunks: permits(limits.max_concurrent_snapshot_chunk_requests),
            building: Arc::default(),
        }
    }

    /// Wait until nobody else on this node builds the snapshot.
    async fn turn(&self, key: Key) -> OwnedMutexGuard<()> {
        let turn = {
            let mut building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
            building.retain(|_, turn| turn.strong_count() > 0);
            match building.get(&key).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::default();
                    building.insert(key, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}
