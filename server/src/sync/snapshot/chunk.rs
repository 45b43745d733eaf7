//! `GET sync/snapshot-sessions/{id}`: rows of a snapshot, cut from its pages.
//!
//! A page that fits is copied as it is; of the others lines are counted. As with pulls, no connection is held while the
//! client reads, and if the pages go meanwhile, the answer breaks off.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::{Capacity, session::SessionRefused};
use crate::{
    clock::Clock,
    ids::{BundleSeq, ScopeId},
    ops::database::{AppPool, in_schema},
    sync::{
        Engine, SyncCaller,
        rollup::meter::Meter,
        served::{self, BrokenOff, Served},
    },
    tables::catalog::AppCatalog,
};

/// Which rows of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRequest {
    /// Rows that the device has already: it goes on after them.
    pub after: i64,
    /// At least 1; the server's default if absent, its maximum if above.
    pub max_rows: Option<i64>,
    pub max_bytes: Option<i64>,
}

/// Why there is no chunk.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    #[error(transparent)]
    Refused(#[from] SessionRefused),
    /// The device says that it has more rows than there are.
    #[error("the snapshot has {row_count} rows")]
    Beyond { row_count: i64 },
    /// Not even one row fits.
    #[error("the next row has {required} bytes")]
    TooSmall { required: i64 },
    /// Too many chunks are being read on this node.
    #[error("too many chunks are being read")]
    Capacity,
    /// The session is there and its pages are not.
    #[error("pages of the snapshot are missing")]
    Incomplete,
}

/// A chunk on its way.
#[derive(Debug)]
pub struct Chunk {
    pub bundle_seq: BundleSeq,
    /// No rows come after it. Not known of chunks so long that they are read while they are sent.
    pub is_last: bool,
    pub body: Served,
}

/// The session, with the page that holds the next row.
const FIRST: &str =
    "select n.scope_id = $1 as is_ours, n.expires_at <= $3 as is_expired, n.build_id, n.bundle_seq,
        n.row_count, p.first_ordinal, p.row_count as page_rows, p.byte_count as page_bytes, p.rows
    from {schema}._sync_snapshot_session n
    left join lateral (
        select p.first_ordinal, p.row_count, p.byte_count, p.rows
        from {schema}._sync_snapshot_page p
        where p.scope_id = $1 and p.build_id = n.build_id and p.first_ordinal <= $4
        order by p.first_ordinal desc
        limit 1
    ) p on n.scope_id = $1 and n.expires_at > $3
    where n.snapshot_id = $2";

#[derive(Debug, sqlx::FromRow)]
struct First {
    is_ours: bool,
    is_expired: bool,
    build_id: Uuid,
    bundle_seq: BundleSeq,
    row_count: i64,
    first_ordinal: Option<i64>,
    page_rows: Option<i32>,
    page_bytes: Option<i64>,
    rows: Option<String>,
}

/// The pages from a row on.
const PAGES: &str = "select p.first_ordinal, p.row_count, p.byte_count, p.rows
    from {schema}._sync_snapshot_page p
    where p.scope_id = $1 and p.build_id = $2 and p.first_ordinal >= $3
    order by p.first_ordinal
    limit 2";

#[derive(Debug, sqlx::FromRow)]
struct Page {
    first_ordinal: i64,
    row_count: i32,
    byte_count: i64,
    rows: String,
}

/// What of a chunk is still to be sent.
#[derive(Debug)]
struct Rest {
    apps: AppPool,
    capacity: Capacity,
    app: Arc<AppCatalog>,
    scope: ScopeId,
    build_id: Uuid,
    cut: Cut,
    meter: Meter,
    clock: Clock,
}

/// How far a chunk has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// The ordinal of the next row.
    next: i64,
    /// Of the whole snapshot.
    row_count: i64,
    rows_left: i64,
    bytes_left: i64,
    bytes_sent: i64,
    sent_any: bool,
    is_full: bool,
}

impl Engine {
    /// A chunk of a snapshot.
    pub async fn snapshot_chunk(
        &self,
        caller: &SyncCaller,
        snapshot_id: Uuid,
        request: ChunkRequest,
    ) -> Result<Chunk, ChunkError> {
        let permit = self.snapshots.chunks.clone().try_acquire_owned().map_err(|_| ChunkError::Capacity)?;
        let first = self.first_page(caller, snapshot_id, request.after).await?;
        if request.after > first.row_count {
            return Err(ChunkError::Beyond { row_count: first.row_count });
        }
        let limits = &self.limits;
        let mut cut = Cut {
            next: request.after,
            row_count: first.row_count,
            rows_left: request
                .max_rows
                .unwrap_or(limits.default_rows_per_snapshot_chunk)
                .min(limits.max_rows_per_snapshot_chunk),
            bytes_left: request
                .max_bytes
                .unwrap_or(limits.default_bytes_per_snapshot_chunk)
                .min(limits.max_bytes_per_snapshot_chunk),
            bytes_sent: 0,
            sent_any: false,
            is_full: false,
        };
        let (bundle_seq, build_id) = (first.bundle_seq, first.build_id);
        let mut text =
            format!("{{\"snapshot_id\":\"{snapshot_id}\",\"snapshot_bundle_seq\":{bundle_seq},\"rows\":[");
        if cut.next < cut.row_count {
            let page = first.into_page().ok_or(ChunkError::Incomplete)?;
            if let Err(required) = cut.append(&mut text, &page) {
                return Err(ChunkError::TooSmall { required });
            }
        }
        drop(permit);
        self.meter.served(caller.app.app, self.clock.now(), cut.next - request.after);
        let rest = cut.or_close(&mut text);
        let is_last = rest.is_none() && cut.next >= cut.row_count;
        let rest = rest.map(|cut| Rest {
            apps: self.apps.clone(),
            capacity: self.snapshots.clone(),
            app: Arc::clone(&caller.app),
            scope: caller.scope.clone(),
            build_id,
            cut,
            meter: self.meter.clone(),
            clock: self.clock.clone(),
        });
        Ok(Chunk { bundle_seq, is_last, body: Served::new(text.into(), rest) })
    }

    async fn first_page(
        &self,
        caller: &SyncCaller,
        snapshot_id: Uuid,
        after: i64,
    ) -> Result<First, SessionRefused> {
        let schema = &caller.app.schema;
        let query = sqlx::query_as(in_schema(schema, FIRST))
            .bind(&caller.scope)
            .bind(snapshot_id)
            .bind(self.clock.now())
            .bind(after);
        let first: First = self.apps.optional(schema, query).await?.ok_or(SessionRefused::NotFound)?;
        if !first.is_ours {
            return Err(SessionRefused::Forbidden);
        }
        if first.is_expired {
            return Err(SessionRefused::Expired);
        }
        Ok(first)
    }
}

impl First {
    fn into_page(self) -> Option<Page> {
        Some(Page {
            first_ordinal: self.first_ordinal?,
            row_count: self.page_rows?,
            byte_count: self.page_bytes?,
            rows: self.rows?,
        })
    }
}

impl served::Rest for Rest {
    async fn next_piece(mut self) -> Result<(Bytes, Option<Self>), BrokenOff> {
        let permit =
            self.capacity.chunks.acquire().await.expect("BUG: the semaphore of chunks is never closed");
        let query = sqlx::query_as(in_schema(&self.app.schema, PAGES))
            .bind(&self.scope)
            .bind(self.build_id)
            .bind(self.cut.next);
        let pages: Vec<Page> = self.apps.all(&self.app.schema, query).await?;
        drop(permit);
        let mut text = String::with_capacity(pages.iter().map(|page| page.rows.len() + 64).sum());
        if pages.first().is_none_or(|page| page.first_ordinal != self.cut.next) {
            return Err(BrokenOff::Removed);
        }
        let before = self.cut.next;
        for page in &pages {
            // A row that does not fit ends the chunk, which is not empty by now.
            if self.cut.is_full || self.cut.append(&mut text, page).is_err() {
                break;
            }
        }
        self.meter.served(self.app.app, self.clock.now(), self.cut.next - before);
        let cut = self.cut.or_close(&mut text);
        Ok((text.into(), cut.map(|cut| Self { cut, ..self })))
    }
}

impl Cut {
    /// Write what fits of a page that holds the next row. An error tells the bytes of the next row if it does not fit
    /// and is the chunk's first.
    fn append(&mut self, text: &mut String, page: &Page) -> Result<(), i64> {
        let rows = i64::from(page.row_count);
        if page.first_ordinal == self.next && rows <= self.rows_left && page.byte_count <= self.bytes_left {
            self.push(text, &page.rows, rows, page.byte_count);
            return Ok(());
        }
        let skipped = usize::try_from(self.next - page.first_ordinal).unwrap_or(0);
        for line in page.rows.split(",\n").skip(skipped) {
            let bytes = line.len() as i64;
            if self.rows_left < 1 || bytes > self.bytes_left {
                self.is_full = true;
                return if self.sent_any { Ok(()) } else { Err(bytes) };
            }
            self.push(text, line, 1, bytes);
        }
        Ok(())
    }

    fn push(&mut self, text: &mut String, lines: &str, rows: i64, bytes: i64) {
        if self.sent_any {
            text.push_str(",\n");
        }
        text.push_str(lines);
        self.sent_any = true;
        self.next += rows;
        self.rows_left -= rows;
        self.bytes_left -= bytes;
        self.bytes_sent += bytes;
        self.is_full = self.rows_left < 1;
    }

    /// What remains; if nothing does, write the end of the answer.
    fn or_close(self, text: &mut String) -> Option<Self> {
        let has_more = self.next < self.row_count;
        if has_more && !self.is_full {
            return Some(self);
        }
        write!(
            text,
            "],\"next_row_ordinal\":{},\"has_more\":{has_more},\"byte_count\":{}}}",
            self.next, self.bytes_sent
        )
        .expect("BUG: a string takes what is written to it");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(first_ordinal: i64, rows: &[&str]) -> Page {
        Page {
            first_ordinal,
            row_count: rows.len() as i32,
            byte_count: rows.iter().map(|row| row.len() as i64).sum(),
            rows: rows.join(",\n"),
        }
    }

    fn cut(next: i64, rows_left: i64, bytes_left: i64) -> Cut {
        Cut { next, row_count: 5, rows_left, bytes_left, bytes_sent: 0, sent_any: false, is_full: false }
    }

    #[test]
    fn a_page_is_cut_by_rows_and_by_bytes() {
        let rows = page(0, &["1", "22", "333", "4444", "55555"]);
        for (next, rows_left, bytes_left, expected) in [
            (0, 9, 99, "1,\n22,\n333,\n4444,\n55555|5"),
            (0, 2, 99, "1,\n22|2"),
            (1, 2, 99, "22,\n333|3"),
            (0, 9, 6, "1,\n22,\n333|3"),
            (0, 9, 7, "1,\n22,\n333|3"),
            (3, 9, 9, "4444,\n55555|5"),
        ] {
            let (mut cut, mut text) = (cut(next, rows_left, bytes_left), String::new());
            cut.append(&mut text, &rows).unwrap();
            assert_eq!(format!("{text}|{}", cut.next), expected);
            assert_eq!(cut.bytes_sent, text.replace(",\n", "").len() as i64);
        }
        assert_eq!(cut(3, 9, 3).append(&mut String::new(), &rows), Err(4));
    }

    #[test]
    fn a_chunk_goes_on_over_pages_until_it_is_full() {
        let (mut cut, mut text) = (cut(0, 4, 99), String::new());
        cut.append(&mut text, &page(0, &["a", "b"])).unwrap();
        let mut cut = cut.or_close(&mut text).unwrap();
        cut.append(&mut text, &page(2, &["c", "d", "e"])).unwrap();
        assert_eq!(cut.or_close(&mut text), None);
        assert_eq!(text, "a,\nb,\nc,\nd],\"next_row_ordinal\":4,\"has_more\":true,\"byte_count\":4}");
    }
}
