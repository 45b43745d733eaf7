//! What a device is given that asks for a bundle of its own a second time, because it has not heard that it was committed.
//!
//! It compares the rows that it reads back with those that it sent, and is stuck for ever if one is spelled otherwise
//! (`"1"` that became `true`, `"12.5"` that became `"12.5000"`), or if the server has added one. Whether they are the same
//! is told by the hashes of what was sent. If they are not, they are refused as `history_pruned`, upon which the device
//! rebuilds from a snapshot and has what everybody has. They are never served in another spelling than the one that the
//! bundle's hash is of: a bundle is the same for all.

mod served_row;

use std::ops::Range;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use self::served_row::ServedRow;
use super::ROW_SEPARATOR;
use crate::{
    ids::BundleSeq,
    ops::database::{AppTx, in_schema},
    sync::{Engine, SyncCaller, lowercase_hex, push::CommittedPush},
    tables::spec::WireProfile,
};

/// What a device is given that asks for its bundle a second time: `_sync_bundle.replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(super) enum Replay {
    /// The rows: they are those that it sent.
    Stored,
    /// Nothing.
    Rebuild,
}

/// A sum over the hashes of rows: the same in whatever order they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::sync) struct RowsDigest([u64; 4]);

/// A stored segment.
#[derive(Debug, sqlx::FromRow)]
struct Segment {
    first_ordinal: i32,
    row_count: i32,
    body: String,
    prior_versions: Vec<i64>,
}

#[derive(Debug, sqlx::FromRow)]
struct Known {
    replay: Option<Replay>,
    sent_digest: Option<Vec<u8>>,
}

/// The hashes that were announced if the rows of a bundle are those that were sent, as far as they have been read.
struct AsSent {
    request: Sha256,
    digest: RowsDigest,
}

impl Engine {
    /// Decide what the device will be given of a bundle that it is about to be told was committed before.
    ///
    /// Only in profile `strings`: in the other nobody checked what was announced.
    pub(in crate::sync) async fn prepare_replay(
        &self,
        caller: &SyncCaller,
        committed: &CommittedPush,
    ) -> Result<(), sqlx::Error> {
        const KNOWN: &str = "select replay, sent_digest
            from {schema}._sync_bundle
            where scope_id = $1 and bundle_seq = $2";

        if caller.app.profile != WireProfile::Strings || committed.request_hash.is_none() {
            return Ok(());
        }
        let schema = &caller.app.schema;
        let query = sqlx::query_as(in_schema(schema, KNOWN)).bind(&caller.scope).bind(committed.bundle_seq);
        // None: pruned meanwhile.
        let Some(known): Option<Known> = self.apps.optional(schema, query).await? else { return Ok(()) };
        if known.replay.is_some() {
            return Ok(());
        }
        let Some(as_sent) = self.read_as_sent(caller, committed).await? else { return Ok(()) };
        let is_as_sent = as_sent.matches(committed, known.sent_digest.as_deref());
        let replay = if is_as_sent { Replay::Stored } else { Replay::Rebuild };
        self.note_replay(caller, committed, replay).await
    }

    /// Read the bundle; None: it is not there any more.
    async fn read_as_sent(
        &self,
        caller: &SyncCaller,
        committed: &CommittedPush,
    ) -> Result<Option<AsSent>, sqlx::Error> {
        const SEGMENTS: &str = "select first_ordinal, row_count, body, prior_versions
            from {schema}._sync_bundle_rows
            where scope_id = $1 and bundle_seq = $2 and first_ordinal >= $3
            order by first_ordinal
            limit 4";

        let schema = &caller.app.schema;
        let mut as_sent = AsSent { request: Sha256::new_with_prefix(b"["), digest: RowsDigest::default() };
        let mut next = 0;
        while next < committed.row_count {
            let query = sqlx::query_as(in_schema(schema, SEGMENTS))
                .bind(&caller.scope)
                .bind(committed.bundle_seq)
                .bind(next);
            let segments: Vec<Segment> = self.apps.all(schema, query).await?;
            let Some(last) = segments.last() else { return Ok(None) };
            next = last.first_ordinal + last.row_count;
            segments.iter().for_each(|segment| as_sent.add(segment));
        }
        Ok(Some(as_sent))
    }

    async fn note_replay(
        &self,
        caller: &SyncCaller,
        committed: &CommittedPush,
        replay: Replay,
    ) -> Result<(), sqlx::Error> {
        const SQL: &str = "update {schema}._sync_bundle set replay = $3
            where scope_id = $1 and bundle_seq = $2";
        let query = sqlx::query(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(committed.bundle_seq)
            .bind(replay);
        self.apps.rows(&caller.app.schema, query).await.map(drop)
    }
}

/// Keep the digest of the rows that became a bundle, which may have them in another order.
pub(in crate::sync) async fn note_digest(
    tx: &mut AppTx,
    caller: &SyncCaller,
    seq: BundleSeq,
    digest: &RowsDigest,
) -> Result<(), sqlx::Error> {
    const SQL: &str =
        "update {schema}._sync_bundle set sent_digest = $3 where scope_id = $1 and bundle_seq = $2";
    sqlx::query(in_schema(&caller.app.schema, SQL))
        .bind(&caller.scope)
        .bind(seq)
        .bind(digest.bytes())
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// The digest of staged rows; each chunk is an array.
pub(in crate::sync) fn digest(chunks: &[String]) -> RowsDigest {
    let mut digest = RowsDigest::default();
    for chunk in chunks {
        let rows: Vec<&RawValue> = serde_json::from_str(chunk).expect("BUG: staged rows are no JSON");
        rows.iter().for_each(|row| digest.add(row.get()));
    }
    digest
}

impl RowsDigest {
    /// Add a row in the form of the request hash. What it says of its place is left out.
    fn add(&mut self, row: &str) {
        let place = place_member(row);
        let mut hash = Sha256::new();
        hash.update(&row[..place.start]);
        hash.update(&row[place.end..]);
        for (sum, part) in self.0.iter_mut().zip(hash.finalize().chunks_exact(8)) {
            let part = part.try_into().expect("BUG: eight bytes are not eight");
            *sum = sum.wrapping_add(u64::from_be_bytes(part));
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|part| part.to_be_bytes()).collect()
    }
}

/// Where a row in the form of the request hash says its ordinal. No string can hold this text: its quotes would be escaped.
fn place_member(row: &str) -> Range<usize> {
    const MEMBER: &str = ",\"row_ordinal\":\"";
    let start = row.rfind(MEMBER).expect("BUG: a staged row without its place");
    let digits = start + MEMBER.len();
    let end = row[digits..].find('"').map_or(row.len(), |at| digits + at + 1);
    start..end
}

impl AsSent {
    fn add(&mut self, segment: &Segment) {
        let rows = segment.body.split(ROW_SEPARATOR).zip(&segment.prior_versions);
        for ((row, prior_version), ordinal) in rows.zip(segment.first_ordinal..) {
            if ordinal > 0 {
                self.request.update(b",");
            }
            // The version that it was based on is the one that it replaced: otherwise it would have been a conflict.
            let sent = ServedRow::parse(row).as_sent(*prior_version, ordinal);
            self.digest.add(&sent);
            self.request.update(sent);
        }
    }

    fn matches(self, committed: &CommittedPush, sent_digest: Option<&[u8]>) -> bool {
        let hash = lowercase_hex(&self.request.chain_update(b"]").finalize());
        committed.request_hash.as_ref() == Some(&hash) || sent_digest == Some(&self.digest.bytes())
    }
}
