//! What devices push: rows of `bench/schema.sql`, as chunk bodies and with the request hash, built before the clock starts.

use std::fmt::Write;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::target::Target;

/// Rows of one chunk request, which is also the servers' default.
const ROWS_PER_CHUNK: usize = 1_000;

/// How numbers look on the wire (PROTOCOL.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    Strings,
    Numbers,
}

/// Makes keys that no other run and no other device makes, spread like random UUIDs.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    state: u64,
}

/// A push, ready to be sent.
pub(crate) struct PreparedPush {
    pub(crate) row_count: usize,
    pub(crate) request_hash: String,
    /// Bodies of the chunk requests, in order.
    pub(crate) chunks: Vec<Bytes>,
}

/// One row to push: an INSERT where `base_version` is 0, otherwise an UPDATE of that version.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) amount: u64,
    pub(crate) base_version: u64,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { state: uuid::Uuid::new_v4().as_u64_pair().0 }
    }

    /// The next number of the SplitMix64 sequence.
    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A new row.
    pub(crate) fn row(&mut self) -> Row {
        let (high, low) = (self.number(), self.number());
        Row { key: uuid::Uuid::from_u64_pair(high, low).to_string(), amount: low >> 40, base_version: 0 }
    }

    pub(crate) fn rows(&mut self, count: usize) -> Vec<Row> {
        (0..count).map(|_| self.row()).collect()
    }
}

impl PreparedPush {
    pub(crate) fn new(target: &Target, rows: &[Row]) -> Self {
        let mut hash = Sha256::new();
        let mut canonical = String::with_capacity(512);
        hash.update("[");
        for (ordinal, row) in rows.iter().enumerate() {
            canonical.clear();
            if ordinal > 0 {
                canonical.push(',');
            }
            write_canonical(&mut canonical, target, row, ordinal);
            hash.update(&canonical);
        }
        hash.update("]");

        let chunks = rows
            .chunks(ROWS_PER_CHUNK)
            .enumerate()
            .map(|(number, rows)| chunk_body(target, rows, number * ROWS_PER_CHUNK))
            .collect();
        let request_hash = hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("BUG: writing to a String fails");
            hex
        });
        Self { row_count: rows.len(), request_hash, chunks }
    }
}

fn chunk_body(target: &Target, rows: &[Row], start: usize) -> Bytes {
    let mut body = String::with_capacity(64 + rows.len() * 330);
    write!(body, r#"{{"start_row_ordinal":{start},"rows":["#).expect("BUG: writing to a String fails");
    for (position, row) in rows.iter().enumerate() {
        if position > 0 {
            body.push(',');
        }
        write!(
            body,
            r#"{{"schema":"{}","table":"{}","key":{{"id":"{}"}},"op":"{}","base_row_version":{},"payload":"#,
            target.schema,
            target.table,
            row.key,
            row.op(),
            row.base_version,
        )
        .expect("BUG: writing to a String fails");
        write_payload(&mut body, target.profile, row);
        body.push('}');
    }
    body.push_str("]}");
    Bytes::from(body)
}

/// The row as it enters the canonical request hash: members sorted, no white space. All texts here are plain ASCII, so
/// nothing needs an escape.
fn write_canonical(out: &mut String, target: &Target, row: &Row, ordinal: usize) {
    let quote = if target.profile == Profile::Strings { "\"" } else { "" };
    write!(
        out,
        r#"{{"base_row_version":{quote}{}{quote},"key":{{"id":"{}"}},"op":"{}","payload":"#,
        row.base_version,
        row.key,
        row.op(),
    )
    .expect("BUG: writing to a String fails");
    write_payload(out, target.profile, row);
    write!(
        out,
        r#","row_ordinal":{quote}{ordinal}{quote},"schema":"{}","table":"{}"}}"#,
        target.schema, target.table
    )
    .expect("BUG: writing to a String fails");
}

/// The payload, its members sorted, about 190 bytes.
fn write_payload(out: &mut String, profile: Profile, row: &Row) {
    let (quote, done) = match profile {
        Profile::Strings => ("\"", "\"1\""),
        Profile::Numbers => ("", "true"),
    };
    write!(
        out,
        r#"{{"amount":{quote}{}{quote},"body":"A note of the usual length, as people write them on the way.","done":{done},"id":"{}","ratio":{quote}0.5{quote},"title":"Item {}"}}"#,
        row.amount, row.key, row.amount,
    )
    .expect("BUG: writing to a String fails");
}

impl Row {
    fn op(&self) -> &'static str {
        if self.base_version == 0 { "INSERT" } else { "UPDATE" }
    }
}
