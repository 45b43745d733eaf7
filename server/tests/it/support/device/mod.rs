//! A simulated device: an offline-first client of PROTOCOL.md, written from that text alone.
//!
//! It keeps rows locally, remembers which it changed and on which version it based that, uploads them as numbered
//! bundles, replays what the server committed, follows the history of its scope and starts over from a snapshot when
//! that is gone. It believes nothing: hashes, counts, order and completeness of every answer are checked, and an
//! answer that breaks the protocol panics. An answer that is lost, or a refusal the protocol foresees, is [`Trouble`].

pub(crate) mod canonical;
pub(crate) mod download;
mod rebuild;
pub(crate) mod schema;
pub(crate) mod store;
pub(crate) mod tally;
pub(crate) mod transport;
mod upload;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::{Value as Json, json};

pub(crate) use self::upload::{Attempt, Journal, Op, UploadRow};
use self::{
    schema::{Profile, Row, RowId},
    store::{Effect, Store},
    tally::Tally,
    transport::{Answer, Lost, Transport},
};

/// Why an operation stopped before its end. The device is whole and can go on with any operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// An answer did not arrive.
    Lost,
    /// Another device is filling the scope, or the server is busy: later.
    Later,
    /// History before the checkpoint is gone: rebuild.
    HistoryPruned,
    /// The server refused the local changes for good; they were dropped and the device must rebuild.
    GaveUp(String),
}

impl From<Lost> for Trouble {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// How a device settles a row that somebody else changed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    ServerWins,
    ClientWins,
    /// The server's row with the device's text in it.
    Merge,
}

/// Sizes a device asks for; small ones make many requests of little data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appetite {
    pub(crate) rows_per_chunk: usize,
    pub(crate) rows_per_replay: usize,
    pub(crate) bundles_per_pull: usize,
    pub(crate) rows_per_snapshot_chunk: usize,
    pub(crate) bytes_per_snapshot_chunk: usize,
}

impl Default for Appetite {
    fn default() -> Self {
        Self {
            rows_per_chunk: 3,
            rows_per_replay: 2,
            bundles_per_pull: 2,
            rows_per_snapshot_chunk: 3,
            bytes_per_snapshot_chunk: 4096,
        }
    }
}

/// What the device knows of the server's version of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version: i64,
    pub(crate) deleted: bool,
}

/// Whether the scope may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Connection {
    None,
    Ready,
    /// This device fills the scope, under this id.
    Filling(String),
}

/// One installation. A clone is a backup: what the device would know if it were restored from it.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) profile: Profile,
    pub(crate) transport: Transport,
    pub(crate) tally: Tally,
    pub(crate) resolution: Resolution,
    pub(crate) appetite: Appetite,
    /// Leave out of an upload the deletions that the server's own foreign key actions will make.
    pub(crate) leaves_cascades_to_server: bool,
    /// Upload children before their parents, and deletions before what takes their place.
    pub(crate) uploads_backwards: bool,
    /// Its user may be erased: the only reason for a number that the server does not expect.
    pub(crate) may_be_erased: bool,
    /// It was put back to what it was before, so the server may know more of it than it does.
    pub(crate) was_restored: bool,
    source: String,
    /// Source ids this installation has had, restores included: a new one is never an old one.
    sources_made: Arc<Mutex<u32>>,
    next_source_bundle_id: i64,
    /// Every bundle up to here is in the rows.
    checkpoint: i64,
    connection: Connection,
    rows: Store,
    known: BTreeMap<RowId, Known>,
    /// Rows changed here and not in `outbound`.
    dirty: BTreeSet<RowId>,
    /// Rows that went with another one: which.
    cascaded_from: BTreeMap<RowId, RowId>,
    /// The bundle being uploaded; the same until its fate is known.
    outbound: Option<upload::Outbound>,
    /// What is here cannot be brought up to date by following history.
    must_rebuild: bool,
    /// The rotation being made: the new source's id and why; the same until it has succeeded.
    rotation: Option<(String, &'static str)>,
    /// What was tried and what was acknowledged; shared with backups, for it is the truth and not the device's memory.
    pub(crate) journal: Journal,
}

impl Device {
    /// A fresh installation. `name` becomes its first source id.
    pub(crate) fn new(name: &str, profile: Profile, transport: Transport) -> Self {
        Self {
            name: name.to_owned(),
            profile,
            transport,
            tally: Tally::default(),
            resolution: Resolution::ServerWins,
            appetite: Appetite::default(),
            leaves_cascades_to_server: false,
            uploads_backwards: false,
            may_be_erased: false,
            was_restored: false,
            source: name.to_owned(),
            sources_made: Arc::default(),
            next_source_bundle_id: 1,
            checkpoint: 0,
            connection: Connection::None,
            rows: Store::default(),
            known: BTreeMap::new(),
            dirty: BTreeSet::new(),
            cascaded_from: BTreeMap::new(),
            must_rebuild: false,
            outbound: None,
            rotation: None,
            journal: Journal::default(),
        }
    }

    pub(crate) fn rows(&self) -> &Store {
        &self.rows
    }

    pub(crate) fn known(&self) -> &BTreeMap<RowId, Known> {
        &self.known
    }

    pub(crate) fn checkpoint(&self) -> i64 {
        self.checkpoint
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.outbound.is_none() && !self.must_rebuild
    }

    /// Insert or change a row locally. Refused, and nothing done, when a parent is not there.
    pub(crate) fn put(&mut self, id: RowId, row: Row) -> bool {
        let before = self.rows.get(&id).cloned();
        let dangling = self.rows.dangling().len();
        self.rows.put(id.clone(), row);
        if self.rows.dangling().len() > dangling {
            match before {
                Some(before) => self.rows.put(id, before),
                None => drop(self.rows.take(&id)),
            }
            return false;
        }
        self.dirty.insert(id);
        true
    }

    /// Delete a row locally, with what its children's foreign keys say. Refused when one of them refuses.
    pub(crate) fn delete(&mut self, id: &RowId) -> bool {
        if self.rows.get(id).is_none() || self.rows.refuses_delete(id) {
            return false;
        }
        self.delete_with_actions(id);
        true
    }

    fn delete_with_actions(&mut self, id: &RowId) {
        // What took it along in an earlier life does not now.
        self.cascaded_from.remove(id);
        for (touched, effect) in self.rows.delete(id) {
            if touched != *id && effect == Effect::Gone {
                self.cascaded_from.insert(touched.clone(), id.clone());
            }
            self.dirty.insert(touched);
        }
        self.forget_clean();
    }

    /// Rows that came and went between two uploads are nobody's business.
    fn forget_clean(&mut self) {
        let (rows, known) = (&self.rows, &self.known);
        self.dirty.retain(|id| {
            rows.get(id).is_some() || known.get(id).is_some_and(|known| !known.deleted)
                // Its insertion may be committed already.
                || self.outbound.as_ref().is_some_and(|outbound| outbound.rows.iter().any(|row| &row.id == id))
        });
    }

    /// Make sure that the scope may be used.
    async fn connect(&mut self) -> Result<(), Trouble> {
        let pending = !self.dirty.is_empty() || self.outbound.is_some();
        match &self.connection {
            Connection::Ready => return Ok(()),
            Connection::Filling(_) if pending => return Ok(()),
            Connection::Filling(_) | Connection::None => {}
        }
        let body = json!({ "has_local_pending_rows": pending });
        let answer = self.transport.post(&self.source, "sync/connect", body).await?;
        assert_eq!(answer.status, 200, "connect was refused: {}", answer.body);
        assert_eq!(
            answer.body.get("initialization_id").is_some(),
            answer.str("resolution") == "initialize_local",
            "initialization_id comes only with initialize_local: {}",
            answer.body
        );
        match answer.str("resolution") {
            "remote_authoritative" | "initialize_empty" => self.connection = Connection::Ready,
            "initialize_local" => {
                assert!(pending, "a device without rows was told to fill the scope");
                assert!(answer.body["lease_expires_at"].is_string(), "no lease_expires_at: {}", answer.body);
                let id = answer.str("initialization_id").to_owned();
                assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").to_string(), id, "a canonical UUID");
                self.tally.count("leases");
                self.connection = Connection::Filling(id);
            }
            "retry_later" => {
                self.tally.count("told to connect later");
                assert!(answer.int("retry_after_seconds") >= 1, "retry at once: {}", answer.body);
                return Err(Trouble::Later);
            }
            other => panic!("connect answered {other:?}"),
        }
        Ok(())
    }

    /// Everything a client does in one go: upload until nothing is left, then follow history; rebuild when told to.
    pub(crate) async fn sync(&mut self) -> Result<(), Trouble> {
        // Each round ends a reason for another one; only other devices make new reasons.
        for _ in 0..40 {
            let round = async {
                if self.must_rebuild {
                    self.rebuild().await?;
                }
                self.push().await?;
                self.pull().await
            };
            match round.await {
                Err(Trouble::HistoryPruned | Trouble::GaveUp(_)) => self.rebuild().await?,
                Ok(()) if self.is_clean() => return Ok(()),
                Ok(()) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        panic!("{} does not come to an end of its sync", self.name);
    }

    /// A refusal that pull and snapshots share; panics when the protocol foresees none such.
    fn refused(&mut self, what: &str, answer: &Answer) -> Trouble {
        match (answer.status, answer.code()) {
            (409, "history_pruned") => {
                self.must_rebuild = true;
                Trouble::HistoryPruned
            }
            (409, "scope_uninitialized" | "scope_initializing") => {
                self.connection = Connection::None;
                Trouble::Later
            }
            (429, _) => {
                assert!(answer.retry_after.is_some_and(|seconds| seconds >= 1), "429 without Retry-After");
                Trouble::Later
            }
            _ => panic!("{}: {what} was answered {}: {}", self.name, answer.status, answer.body),
        }
    }

    /// Take a committed row over, unless what is here is as new.
    fn replay_row(&mut self, wire: &Json) {
        let (id, known) = (RowId::of_wire(wire), self.known_of_wire(wire));
        if self.known.get(&id).is_some_and(|old| old.version >= known.version) {
            return;
        }
        self.known.insert(id.clone(), known);
        // A row changed here since it was uploaded stays as it is; its next upload is based on this version.
        if !self.dirty.contains(&id) {
            if known.deleted {
                self.rows.take(&id);
            } else {
                let row = schema::row_from_wire(self.profile, &id, &wire["payload"]);
                self.rows.put(id, row);
            }
        } else if known.deleted && self.rows.get(&id).is_none() {
            self.dirty.remove(&id);
        }
    }

    fn known_of_wire(&self, wire: &Json) -> Known {
        let deleted = match wire["op"].as_str() {
            Some("INSERT" | "UPDATE") => false,
            Some("DELETE") => true,
            _ => panic!("{}: a row with op {}", self.name, wire["op"]),
        };
        assert_eq!(deleted, wire["payload"].is_null(), "{}: payload and op disagree: {wire}", self.name);
        Known { version: transport::int(wire, "row_version"), deleted }
    }

    /// An id this installation never had.
    fn new_source(&self) -> String {
        let mut made = self.sources_made.lock().expect("no test panicked with it");
        *made += 1;
        format!("{}.{made}", self.name)
    }
}

/// The members of a row on the wire, exactly.
fn assert_members(object: &Json, members: &[&str]) {
    let object_members: BTreeSet<&str> =
        object.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        object_members,
        members.iter().copied().collect(),
        "other members than the protocol's: {object}"
    );
}
