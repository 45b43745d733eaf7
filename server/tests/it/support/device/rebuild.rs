//! Rebuild: start over from a snapshot of the scope, under the same source or, when that is spent, a new one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};

use super::{
    Connection, Device, Known, Trouble, assert_members, schema,
    schema::{Row, RowId, TABLES},
    store::Store,
    transport::int,
};

/// Every live row of a scope at one bundle.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) seq: i64,
    pub(crate) rows: Store,
    pub(crate) known: BTreeMap<RowId, Known>,
}

impl Device {
    /// Replace everything here by a snapshot. Local changes whose rows nobody touched meanwhile are kept.
    pub(crate) async fn rebuild(&mut self) -> Result<(), Trouble> {
        if self.outbound.is_some() {
            // Its fate must be known first, or it might be uploaded again as something new.
            return self.push().await;
        }
        if self.connection == Connection::None {
            self.connect().await?;
        }
        let snapshot = match self.snapshot().await {
            Err(Trouble::HistoryPruned) => panic!("a snapshot needs no history"),
            other => other?,
        };
        self.tally.count("rebuilds");
        if let Some((source, reason)) = self.rotation.take() {
            self.tally.count(match reason {
                "history_pruned" => "rotations after pruning",
                "source_retired" => "rotations after retirement",
                _ => "rotations after another life",
            });
            self.source = source;
            self.next_source_bundle_id = 1;
        }
        self.must_rebuild = false;
        self.checkpoint = snapshot.seq;
        let mine = std::mem::take(&mut self.rows);
        let based_on = std::mem::replace(&mut self.known, snapshot.known);
        let dirty = std::mem::take(&mut self.dirty);
        self.rows = snapshot.rows;
        self.cascaded_from.clear();

        let mut kept: Vec<&RowId> = Vec::new();
        for id in &dirty {
            match (based_on.get(id), self.known.get(id)) {
                (old, new) if old == new => kept.push(id),
                // A snapshot tells nothing of rows that are gone.
                (Some(old @ Known { deleted: true, .. }), None) => {
                    self.known.insert(id.clone(), *old);
                    kept.push(id);
                }
                _ => {}
            }
        }
        kept.sort_by_key(|id| TABLES.iter().position(|table| table.name == id.table));
        for id in kept {
            match mine.get(id) {
                Some(row) => drop(self.put(id.clone(), row.clone())),
                None => drop(self.delete(id)),
            }
        }
        Ok(())
    }

    /// Read a whole snapshot, rotating the source if that is due.
    pub(crate) async fn snapshot(&mut self) -> Result<Snapshot, Trouble> {
        let body = match &self.rotation {
            None => json!({}),
            Some((source, reason)) => json!({ "source_replacement": {
                "previous_source_id": self.source, "new_source_id": source, "reason": reason,
            }}),
        };
        let answer = self.transport.post(&self.source, "sync/snapshot-sessions", body).await?;
        if answer.status == 409 && answer.code() == "source_retired" && self.rotation.is_some() {
            // Another life of this installation rotated before: begin as a new writer.
            self.rotation = None;
            self.source = self.new_source();
            self.next_source_bundle_id = 1;
            return Err(Trouble::Later);
        }
        if answer.status != 200 {
            return Err(self.refused("a snapshot", &answer));
        }
        assert_members(
            &answer.body,
            &["snapshot_id", "snapshot_bundle_seq", "row_count", "byte_count", "expires_at"],
        );
        let session = format!("sync/snapshot-sessions/{}", answer.str("snapshot_id"));
        let seq = answer.int("snapshot_bundle_seq");
        let rows =
            self.snapshot_rows(&session, answer.str("snapshot_id"), seq, answer.int("byte_count")).await?;
        assert_eq!(rows.len() as i64, answer.int("row_count"), "the chunks have another number of rows");

        let mut snapshot = Snapshot { seq, rows: Store::default(), known: BTreeMap::new() };
        for wire in &rows {
            assert_members(wire, &["schema", "table", "key", "row_version", "payload"]);
            let id = RowId::of_wire(wire);
            let row: Row = schema::row_from_wire(self.profile, &id, &wire["payload"]);
            let version = int(wire, "row_version");
            assert!((1..=seq).contains(&version), "a version after the snapshot: {wire}");
            let twice = snapshot.known.insert(id.clone(), Known { version, deleted: false });
            assert!(twice.is_none(), "{id:?} is in the snapshot twice");
            snapshot.rows.put(id, row);
        }
        let dangling = snapshot.rows.dangling();
        assert!(dangling.is_empty(), "the snapshot at {seq} holds half of something: {dangling:?}");
        let answer = self.transport.delete(&self.source, session).await?;
        assert!(matches!(answer.status, 204 | 404), "a session was not ended: {}", answer.body);
        Ok(snapshot)
    }

    async fn snapshot_rows(
        &mut self,
        path: &str,
        id: &str,
        seq: i64,
        bytes: i64,
    ) -> Result<Vec<Json>, Trouble> {
        let mut rows: Vec<Json> = Vec::new();
        let mut byte_sum = 0;
        loop {
            let max_rows = self.appetite.rows_per_snapshot_chunk;
            let max_bytes = self.appetite.bytes_per_snapshot_chunk;
            let query =
                format!("?after_row_ordinal={}&max_rows={max_rows}&max_bytes={max_bytes}", rows.len());
            let answer = self.transport.get(&self.source, format!("{path}{query}")).await?;
            match (answer.status, answer.code()) {
                (200, _) => {}
                // The server was restarted or took too long: another session will do.
                (404, "snapshot_session_not_found") | (410, "snapshot_session_expired") => {
                    return Err(Trouble::Later);
                }
                (400, "snapshot_chunk_too_small") => {
                    let required = answer.int("required_byte_count");
                    assert!(required > max_bytes as i64, "too small for no reason: {}", answer.body);
                    self.appetite.bytes_per_snapshot_chunk = required as usize;
                    continue;
                }
                _ => return Err(self.refused("a snapshot chunk", &answer)),
            }
            let members =
                ["snapshot_id", "snapshot_bundle_seq", "rows", "next_row_ordinal", "has_more", "byte_count"];
            assert_members(&answer.body, &members);
            assert_eq!(answer.str("snapshot_id"), id);
            assert_eq!(answer.int("snapshot_bundle_seq"), seq);
            let chunk: Chunk = serde_json::from_str(&answer.text).expect("the member rows");
            let chunk = chunk.rows;
            assert!(chunk.len() <= max_rows, "more rows than were asked for");
            let chunk_bytes: usize = chunk.iter().map(|row| row.get().len()).sum();
            assert_eq!(answer.int("byte_count"), chunk_bytes as i64, "byte_count is not the sum of the rows");
            assert!(chunk_bytes <= max_bytes, "more bytes than were asked for");
            byte_sum += chunk_bytes;
            rows.extend(
                chunk.iter().map(|row| serde_json::from_str::<Json>(row.get()).expect("a JSON object")),
            );
            assert_eq!(answer.int("next_row_ordinal"), rows.len() as i64);
            if !answer.body["has_more"].as_bool().expect("the member has_more") {
                break;
            }
            assert!(!chunk.is_empty(), "an empty chunk that is not the last");
        }
        assert_eq!(byte_sum as i64, bytes, "the chunks have another number of bytes than the session said");
        Ok(rows)
    }
}

/// The rows of a chunk as they came, for their bytes are counted.
#[derive(Deserialize)]
struct Chunk {
    rows: Vec<Box<RawValue>>,
}
