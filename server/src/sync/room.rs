//! How many bytes of large uploads and commits this node holds at once. Whoever comes when there is no room waits.
//!
//! A device sends 1,000 rows a chunk whatever their bytes, and all that it has not sent yet as one bundle; both may have
//! hundreds of megabytes. What is small needs no room: it is bounded by the number of connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::AppId;

/// Up to so many bytes need no room.
pub const SMALL_BYTES: usize = 512 * 1024;

/// Bytes for which there is a permit.
const UNIT: usize = 1024;

/// The room of one node for one purpose. No app has more than half of it, so that none keeps the others waiting.
#[derive(Debug)]
pub struct Room {
    all: Arc<Semaphore>,
    half: u32,
    apps: Mutex<HashMap<AppId, Weak<Semaphore>>>,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_app: OwnedSemaphorePermit,
}

impl Room {
    pub(in crate::sync) fn new(bytes: i64) -> Self {
        let units = usize::try_from(bytes).unwrap_or(0) / UNIT;
        let half = u32::try_from(units / 2).unwrap_or(u32::MAX / 2).max(1);
        Self { all: Arc::new(Semaphore::new(half as usize * 2)), half, apps: Mutex::default() }
    }

    /// Wait for room for so many bytes; None: they need none. What is larger than half of the room takes half of it.
    pub async fn enter(&self, app: AppId, bytes: usize) -> Option<Place> {
        if bytes <= SMALL_BYTES {
            return None;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.half);
        let closed = "BUG: the room is never closed";
        // The app's first: who waits for it holds nothing that others wait for.
        let of_app = self.of(app).acquire_many_owned(units).await.expect(closed);
        let of_all = Arc::clone(&self.all).acquire_many_owned(units).await.expect(closed);
        Some(Place { _of_all: of_all, _of_app: of_app })
    }

    fn of(&self, app: AppId) -> Arc<Semaphore> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = apps.get(&app).and_then(Weak::upgrade) {
            return room;
        }
        apps.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Semaphore::new(self.half as usize));
        apps.insert(app, Arc::downgrade(&room));
        room
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const MIB: i64 = 1024 * 1024;

    fn now<T>(entering: impl Future<Output = T>) -> Option<T> {
        entering.now_or_never()
    }

    #[test]
    fn whoever_finds_no_room_waits_for_it() {
        let room = Room::new(8 * MIB);
        let [one, other, third] = [AppId::new(), AppId::new(), AppId::new()];
        // Half of the room, although it is larger.
        let first = now(room.enter(one, 100 * MIB as usize)).unwrap();
        assert!(first.is_some());
        assert!(now(room.enter(one, MIB as usize)).is_none(), "an app has half of the room");
        assert!(now(room.enter(one, SMALL_BYTES)).unwrap().is_none(), "what is small needs none");
        let second = now(room.enter(other, 3 * MIB as usize)).unwrap();
        assert!(now(room.enter(third, 2 * MIB as usize)).is_none(), "one is left");
        drop(second);
        assert!(now(room.enter(third, 2 * MIB as usize)).is_some());
        drop(first);
        assert!(now(room.enter(one, MIB as usize)).is_some());
    }
}
