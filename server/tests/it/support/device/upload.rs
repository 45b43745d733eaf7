//! Push: freeze what changed, upload it in chunks, commit, and replay what the server made of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use serde_json::{Value as Json, json};

use super::{
    Connection, Device, Known, Resolution, Trouble, canonical,
    schema::{self, Kind, Profile, Row, RowId, TABLES, row_to_wire},
    transport::{Answer, int},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Insert,
    Update,
    Delete,
}

impl Op {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A row of an upload. `row` is none exactly for a deletion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UploadRow {
    pub(crate) id: RowId,
    pub(crate) op: Op,
    pub(crate) base: i64,
    pub(crate) row: Option<Row>,
}

impl UploadRow {
    /// The base of a write that asked for none: plain SQL.
    pub(crate) const WHATEVER: i64 = -1;
}

/// A bundle under way, frozen until its fate is known.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    pub(super) rows: Vec<UploadRow>,
    wire: Vec<Json>,
    hash: String,
}

/// One content that was uploaded under a number.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) source: String,
    pub(crate) source_bundle_id: i64,
    pub(crate) rows: Vec<UploadRow>,
    /// `(bundle_seq, bundle_hash)`, once the server has said that it is committed.
    pub(crate) acknowledged: Option<(i64, String)>,
}

/// Everything a device ever tried to upload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Attempt>>>);

impl Journal {
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.0.lock().expect("no test panicked with it").clone()
    }

    fn tried(&self, source: &str, source_bundle_id: i64, rows: &[UploadRow]) {
        let attempt =
            Attempt { source: source.to_owned(), source_bundle_id, rows: rows.to_vec(), acknowledged: None };
        self.0.lock().expect("no test panicked with it").push(attempt);
    }

    fn acknowledged(&self, source: &str, source_bundle_id: i64, rows: &[UploadRow], seq: i64, hash: &str) {
        let mut attempts = self.0.lock().expect("no test panicked with it");
        let attempt = attempts
            .iter_mut()
            .rfind(|a| a.source == source && a.source_bundle_id == source_bundle_id && a.rows == rows)
            .expect("BUG: an acknowledgement of something that was never tried");
        let news = (seq, hash.to_owned());
        if let Some(before) = attempt.acknowledged.replace(news.clone()) {
            assert_eq!(before, news, "one upload was acknowledged as two bundles");
        }
    }
}

/// How one try at a push ended, when it did not end in trouble.
enum Step {
    Committed,
    /// Something changed that makes another try worth while.
    Again,
}

impl Device {
    /// Upload until no local change is left.
    pub(crate) async fn push(&mut self) -> Result<(), Trouble> {
        if self.must_rebuild {
            return Err(Trouble::HistoryPruned);
        }
        for _ in 0..100 {
            if self.outbound.is_none() {
                self.freeze();
            }
            if self.outbound.is_none() {
                return self.connect().await;
            }
            self.connect().await?;
            match self.push_once().await? {
                Step::Committed | Step::Again => {}
            }
        }
        panic!("{} does not come to an end of its push", self.name);
    }

    /// Make a bundle of what is dirty.
    fn freeze(&mut self) {
        self.forget_clean();
        let mut rows: Vec<UploadRow> = self.dirty.iter().filter_map(|id| self.upload_row(id)).collect();
        if self.leaves_cascades_to_server {
            let deleted: BTreeSet<RowId> =
                rows.iter().filter(|row| row.op == Op::Delete).map(|row| row.id.clone()).collect();
            rows.retain(|row| {
                row.op != Op::Delete
                    || self.cascaded_from.get(&row.id).is_none_or(|root| !deleted.contains(root))
            });
        }
        let rank = |row: &UploadRow| {
            let table = TABLES.iter().position(|table| table.name == row.id.table).expect("a table") as i64;
            if row.op == Op::Delete { (1, -table) } else { (0, table) }
        };
        rows.sort_by_key(rank);
        if self.uploads_backwards {
            rows.reverse();
        }
        if rows.is_empty() {
            return;
        }
        for row in &rows {
            self.dirty.remove(&row.id);
        }
        self.journal.tried(&self.source, self.next_source_bundle_id, &rows);
        let wire: Vec<Json> = rows.iter().map(|row| upload_to_wire(self.profile, row)).collect();
        let hash = canonical::request_hash(self.profile, &wire);
        self.outbound = Some(Outbound { rows, wire, hash });
    }

    fn upload_row(&self, id: &RowId) -> Option<UploadRow> {
        let known = self.known.get(id);
        let (op, base) = match (self.rows.get(id), known) {
            (Some(_), None) => (Op::Insert, 0),
            (Some(_), Some(Known { version, deleted: true })) => (Op::Insert, *version),
            (Some(_), Some(Known { version, deleted: false })) => (Op::Update, *version),
            (None, Some(Known { version, deleted: false })) => (Op::Delete, *version),
            (None, _) => return None,
        };
        Some(UploadRow { id: id.clone(), op, base, row: self.rows.get(id).cloned() })
    }

    /// The upload did not happen: its rows are dirty again.
    fn thaw(&mut self) {
        if let Some(outbound) = self.outbound.take() {
            self.dirty.extend(outbound.rows.into_iter().map(|row| row.id));
            self.forget_clean();
        }
    }

    async fn push_once(&mut self) -> Result<Step, Trouble> {
        let outbound = self.outbound.clone().expect("BUG: a push without rows");
        let mut body = json!({
            "source_bundle_id": self.next_source_bundle_id,
            "planned_row_count": outbound.rows.len(),
        });
        if self.profile == Profile::Strings {
            body["canonical_request_hash"] = json!(outbound.hash);
        }
        if let Connection::Filling(id) = &self.connection {
            body["initialization_id"] = json!(id);
        }
        let answer = self.transport.post(&self.source, "sync/push-sessions", body).await?;
        if answer.status != 200 {
            return self.push_refused(&answer);
        }
        if answer.body["status"] == "already_committed" {
            self.tally.count("commits heard of later");
            return self.settle(&answer, &outbound).await;
        }
        assert_eq!(answer.str("status"), "staging");
        assert_eq!(answer.int("planned_row_count"), outbound.rows.len() as i64);
        assert_eq!(answer.int("next_expected_row_ordinal"), 0);
        if self.profile == Profile::Strings {
            assert_eq!(answer.str("canonical_request_hash"), outbound.hash);
        }
        let push = format!("sync/push-sessions/{}", answer.str("push_id"));

        let mut next = 0;
        for chunk in outbound.wire.chunks(self.appetite.rows_per_chunk) {
            let body = json!({ "start_row_ordinal": next, "rows": chunk });
            let answer = self.transport.post(&self.source, &format!("{push}/chunks"), body).await?;
            if answer.status != 200 {
                return self.push_refused(&answer);
            }
            next += chunk.len() as i64;
            assert_eq!(answer.int("next_expected_row_ordinal"), next);
        }
        let answer = self.transport.post(&self.source, &format!("{push}/commit"), json!({})).await?;
        if answer.status != 200 {
            return self.push_refused(&answer);
        }
        self.settle(&answer, &outbound).await
    }

    /// What the protocol says to do after a refusal; panics when an honest device cannot be refused so.
    fn push_refused(&mut self, answer: &Answer) -> Result<Step, Trouble> {
        let filling = matches!(self.connection, Connection::Filling(_));
        match (answer.status, answer.code()) {
            (409, "push_conflict") => {
                self.tally.count("conflicts");
                self.resolve(&answer.body["conflict"]);
                Ok(Step::Again)
            }
            // The session was replaced, expired, or heard a chunk twice; or its commit was heard after all.
            (404, "push_session_not_found")
            | (410, "push_session_expired")
            | (409, "push_chunk_out_of_order" | "source_sequence_changed") => {
                self.tally.count("sessions lost");
                Ok(Step::Again)
            }
            (409, "scope_uninitialized" | "initialization_stale") | (410, "initialization_expired") => {
                self.connection = Connection::None;
                Ok(Step::Again)
            }
            (400, "push_session_invalid") if filling => {
                self.connection = Connection::None;
                Ok(Step::Again)
            }
            // This number was committed, so long ago that nobody can say as what: by us, before an answer was lost.
            (409, "history_pruned") => {
                self.outbound = None;
                self.rotate("history_pruned")
            }
            (409, "source_retired") => {
                assert_eq!(answer.str("source_id"), self.source);
                assert!(
                    answer.body["replaced_by_source_id"].is_string(),
                    "retired by nobody: {}",
                    answer.body
                );
                self.thaw();
                self.rotate("source_retired")
            }
            // The server has forgotten the source, with everything else of the user; or it has had other rows by this number.
            (409, "source_sequence_out_of_order") if self.may_be_erased || self.was_restored => {
                self.thaw();
                self.rotate("source_sequence_out_of_order")
            }
            (400, "push_commit_invalid") => {
                let message = answer.str("message").to_owned();
                // The only rule of these tables that a row can break without its device knowing.
                assert!(message.contains("refers to a row that does not exist"), "{}: {message}", self.name);
                self.tally.count("pushes refused");
                self.outbound = None;
                self.dirty.clear();
                self.must_rebuild = true;
                Err(Trouble::GaveUp(message))
            }
            _ => panic!("{}: a push was answered {}: {}", self.name, answer.status, answer.body),
        }
    }

    fn rotate(&mut self, reason: &'static str) -> Result<Step, Trouble> {
        self.rotation = Some((self.new_source(), reason));
        self.must_rebuild = true;
        Err(Trouble::HistoryPruned)
    }

    /// The upload is committed: check what the server says it committed, and take it over.
    async fn settle(&mut self, commit: &Answer, outbound: &Outbound) -> Result<Step, Trouble> {
        assert_eq!(commit.str("source_id"), self.source);
        assert_eq!(commit.int("source_bundle_id"), self.next_source_bundle_id);
        if self.profile == Profile::Strings && commit.str("canonical_request_hash") != outbound.hash {
            // Another life of this installation used the number: it was restored from a backup.
            self.thaw();
            return self.rotate("source_sequence_changed");
        }
        let (seq, hash) = (commit.int("bundle_seq"), commit.str("bundle_hash").to_owned());
        let Some(rows) = self.committed_rows(seq, &hash, commit.int("row_count")).await? else {
            // Committed, and gone from history before it could be read.
            self.acknowledge(outbound, seq, &hash);
            self.must_rebuild = true;
            return Err(Trouble::HistoryPruned);
        };
        if self.profile == Profile::Numbers && !self.is_ours(outbound, &rows) {
            self.thaw();
            return self.rotate("source_sequence_changed");
        }
        self.acknowledge(outbound, seq, &hash);
        if seq <= self.checkpoint {
            // Another life committed the same rows before what is here was read, and they may have changed since.
            assert!(self.was_restored || self.may_be_erased, "{} was told of bundle {seq} before", self.name);
            self.must_rebuild = true;
            return Err(Trouble::HistoryPruned);
        }
        for row in &rows {
            self.replay_row(row);
        }
        self.take_what_came_and_went(outbound, &rows);
        if seq == self.checkpoint + 1 {
            self.checkpoint = seq;
        }
        Ok(Step::Committed)
    }

    fn acknowledge(&mut self, outbound: &Outbound, seq: i64, hash: &str) {
        self.journal.acknowledged(&self.source, self.next_source_bundle_id, &outbound.rows, seq, hash);
        self.tally.count("commits");
        self.outbound = None;
        self.next_source_bundle_id += 1;
        self.connection = Connection::Ready;
    }

    /// A row that the bundle would have inserted, had a deletion of the same upload not taken it along, is not in the bundle
    /// (PROTOCOL.md section 3: insert and delete are nothing) and nowhere on the server.
    fn take_what_came_and_went(&mut self, outbound: &Outbound, committed: &[Json]) {
        let committed: BTreeSet<RowId> = committed.iter().map(RowId::of_wire).collect();
        let inserted = outbound.rows.iter().filter(|upload| upload.op == Op::Insert);
        for gone in
            inserted.filter(|upload| !committed.contains(&upload.id) && !self.dirty.contains(&upload.id))
        {
            self.rows.take(&gone.id);
        }
    }

    /// Whether a committed bundle is this upload; where the wire has no request hash, by its rows.
    fn is_ours(&self, outbound: &Outbound, rows: &[Json]) -> bool {
        let deletes = outbound.rows.iter().any(|upload| upload.op == Op::Delete);
        let inserts = |row: &&Json| row["op"] == "INSERT";
        let is_uploaded = |row: &Json| outbound.rows.iter().any(|upload| upload.id == RowId::of_wire(row));
        rows.iter().filter(inserts).all(is_uploaded)
            && outbound.rows.iter().all(|upload| {
                let row = rows.iter().find(|row| RowId::of_wire(row) == upload.id);
                match (row, &upload.row) {
                    // A deletion of the same upload may have taken it along.
                    (None, _) => deletes && upload.op == Op::Insert,
                    (Some(row), None) => row["op"] == "DELETE",
                    (Some(row), Some(_)) if row["op"] == "DELETE" => deletes && upload.op == Op::Update,
                    (Some(row), Some(sent)) => {
                        schema::row_from_wire(self.profile, &upload.id, &row["payload"]) == *sent
                    }
                }
            })
    }

    /// All rows of a committed bundle, checked against its hash; `None` when history no longer has it.
    async fn committed_rows(
        &mut self,
        seq: i64,
        hash: &str,
        count: i64,
    ) -> Result<Option<Vec<Json>>, Trouble> {
        let mut rows: Vec<Json> = Vec::new();
        let mut after = None;
        loop {
            let after_part = after.map(|after| format!("&after_row_ordinal={after}")).unwrap_or_default();
            let path = format!(
                "sync/committed-bundles/{seq}/rows?max_rows={}{after_part}",
                self.appetite.rows_per_replay
            );
            let answer = self.transport.get(&self.source, path).await?;
            if answer.status == 409 && answer.code() == "history_pruned" {
                return Ok(None);
            }
            assert_eq!(answer.status, 200, "{}: committed rows were refused: {}", self.name, answer.body);
            assert_eq!(answer.int("bundle_seq"), seq);
            assert_eq!(answer.int("row_count"), count);
            assert_eq!(answer.str("bundle_hash"), hash);
            assert_eq!(answer.str("source_id"), self.source);
            let page = answer.body["rows"].as_array().expect("the member rows");
            assert!(page.len() <= self.appetite.rows_per_replay, "more rows than were asked for");
            rows.extend(page.iter().cloned());
            let has_more = answer.body["has_more"].as_bool().expect("the member has_more");
            assert_eq!(answer.int("next_row_ordinal"), rows.len() as i64 - 1, "{}", answer.body);
            if !has_more {
                break;
            }
            assert!(!page.is_empty(), "an empty page that is not the last");
            after = Some(answer.int("next_row_ordinal"));
        }
        assert_eq!(rows.len() as i64, count, "row_count is not the number of rows");
        assert!(
            rows.iter().all(|row| int(row, "row_version") == seq),
            "a row of another version in bundle {seq}"
        );
        assert_eq!(
            canonical::bundle_hash(self.profile, &rows),
            hash,
            "the hash of bundle {seq} is of other rows"
        );
        Ok(Some(rows))
    }

    /// Settle the one row that the server names, as this device settles such things.
    fn resolve(&mut self, conflict: &Json) {
        let id = RowId::of_wire(conflict);
        let outbound = self.outbound.as_ref().expect("BUG: a conflict without an upload");
        let sent = outbound
            .rows
            .iter()
            .find(|row| row.id == id)
            .unwrap_or_else(|| panic!("not uploaded: {conflict}"));
        assert_eq!(conflict["op"], sent.op.as_str());
        assert_eq!(int(conflict, "base_row_version"), sent.base);
        let version = int(conflict, "server_row_version");
        let deleted = conflict["server_row_deleted"].as_bool().expect("the member server_row_deleted");
        let fits = match sent.op {
            Op::Insert => version == sent.base && (deleted || version == 0),
            Op::Update | Op::Delete => version == sent.base && !deleted,
        };
        assert!(!fits, "{}: this is no conflict: {conflict}", self.name);
        let server_row = &conflict["server_row"];
        assert_eq!(server_row.is_null(), deleted || version == 0, "{}: {conflict}", self.name);
        let server_row =
            (!server_row.is_null()).then(|| schema::row_from_wire(self.profile, &id, server_row));

        if version == 0 {
            self.known.remove(&id);
        } else {
            self.known.insert(id.clone(), Known { version, deleted });
        }
        self.thaw();
        let local = self.rows.get(&id).cloned();
        match (self.resolution, server_row, local) {
            (Resolution::ClientWins, None, None) => drop(self.dirty.remove(&id)),
            (Resolution::ClientWins, ..) => {}
            (Resolution::Merge, Some(server), Some(local)) => self.merge(id, server, &local),
            (_, Some(server), _) => {
                self.dirty.remove(&id);
                self.rows.put(id, server);
            }
            (_, None, _) => {
                self.delete_with_actions(&id);
                self.dirty.remove(&id);
            }
        }
    }

    fn merge(&mut self, id: RowId, server: Row, local: &Row) {
        let table = schema::table(id.table);
        let own = table.columns[1..]
            .iter()
            .filter(|(name, kind)| {
                *kind == Kind::Text && table.foreign_keys.iter().all(|key| key.column != *name)
            })
            .map(|(name, _)| (*name, local[name].clone()));
        let mut merged = server.clone();
        merged.extend(own);
        if merged == server {
            self.dirty.remove(&id);
        } else {
            self.dirty.insert(id.clone());
        }
        self.rows.put(id, merged);
    }
}

fn upload_to_wire(profile: Profile, row: &UploadRow) -> Json {
    json!({
        "schema": "main",
        "table": row.id.table,
        "key": row.id.wire_key(),
        "op": row.op.as_str(),
        "base_row_version": row.base,
        "payload": row.row.as_ref().map(|values| row_to_wire(profile, &row.id, values)),
    })
}
