//! `GET sync/pull`: the bundles after a checkpoint, as they are stored (PROTOCOL.md section 4).
//!
//! One statement, and so one snapshot, decides the page and reads its first piece. What does not fit is read piece by
//! piece while the client takes it, and between two pieces no connection is held. That is consistent because a
//! committed bundle never changes; the one thing that can happen to it is that it is pruned, and then the answer breaks
//! off: half a page must not look like a page.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use sqlx::{Row as _, postgres::PgRow};

use super::{
    Engine, SyncCaller,
    gate::{self, ScopeNotReady, state_at},
    served::{self, BrokenOff, Served},
};
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::{AppPool, in_schema},
    tables::catalog::AppCatalog,
};

/// About how many bytes are read, held and sent at once. What pulls take of the server's memory is a few of these for each
/// client that reads and each connection to the database, however long the pages are; and with less, a page would be
/// noticeably more statements.
const PIECE_BYTES: i64 = 128 * 1024;

/// What the JSON around a bundle's rows takes, without its source id: for measuring pages.
const FRAME_BYTES: i64 = 96;

/// What a device asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullRequest {
    /// The checkpoint: the last bundle the device has.
    pub after: BundleSeq,
    /// At least 1; the server's default if absent, its maximum if above.
    pub max_bundles: Option<i64>,
    /// The `stable_bundle_seq` of the first answer, in follow-ups.
    pub target: Option<BundleSeq>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(transparent)]
    NotReady(#[from] ScopeNotReady),
    /// The checkpoint is at or below the floor: the device must rebuild from a snapshot.
    #[error("history up to bundle {floor} is pruned")]
    HistoryPruned { floor: BundleSeq },
    /// The next bundle is so large that clients refuse to read it at once: the device must rebuild from a snapshot.
    #[error("bundle {seq} is too large for an answer")]
    BundleTooLarge { seq: BundleSeq },
    /// The device has, or wants, more than was ever committed.
    #[error("the latest bundle is {latest}")]
    CheckpointAhead { latest: BundleSeq },
    #[error("the page could not be read")]
    Database(#[from] sqlx::Error),
}

/// A page that has been decided: which bundles it holds, and the beginning of its text.
#[derive(Debug)]
pub struct PullPage {
    /// The ceiling of this download; follow-ups send it back.
    pub stable: BundleSeq,
    /// The last bundle of the page; the checkpoint that was sent if the page is empty.
    pub last: BundleSeq,
    /// Whether there are bundles up to the ceiling that the page does not hold.
    pub has_more: bool,
    /// Rows of the page's bundles.
    pub rows: i64,
    pub body: Served,
}

/// A bundle without its rows.
#[derive(Debug)]
struct Head {
    /// Shared with the bundle before, if that was of the same source.
    source_id: Arc<str>,
    source_bundle_id: i64,
    /// Of its rows as served, with what joins them.
    byte_count: i64,
}

/// What of a page is still to be read.
#[derive(Debug)]
struct Rest {
    apps: AppPool,
    app: Arc<AppCatalog>,
    scope: ScopeId,
    /// The bundle after which the page starts; the n-th head is bundle `after + 1 + n`.
    after: i64,
    heads: Vec<Head>,
    /// The first head that has not been sent to its end.
    next: usize,
    /// Where in that bundle to go on; None: at its beginning.
    within: Option<Within>,
    has_more: bool,
}

/// A place inside a bundle that is too big for one piece.
#[derive(Debug, Clone, Copy)]
struct Within {
    ordinal: i32,
    bytes_sent: i64,
}

/// Bounds of a page as they are bound to the statement.
struct Bounds {
    max_bundles: i64,
    max_bytes: i64,
}

/// One row if the scope exists. The arrays are null and the body is null when there is nothing to send.
const PAGE: &str = concat!(
    "with scope as materialized (
        select s.bundle_seq, s.floor_seq, ",
    state_at!("$7"),
    " as state
        from {schema}._sync_scope s
        where s.scope_id = $1
    ),
    page as materialized (
        select count(*) as bundle_count,
            max(w.bundle_seq) filter (where w.total_bytes <= $6) as first_piece_seq,
            array_agg(w.source_id) as source_ids,
            array_agg(w.source_bundle_id) as source_bundle_ids,
            array_agg(w.byte_count) as byte_counts,
            sum(w.row_count)::bigint as row_count
        from (
            select b.bundle_seq, b.source_id, b.source_bundle_id, b.byte_count, b.row_count,
                sum((b.byte_count + octet_length(b.source_id) + $8)::integer) over (
                    order by b.bundle_seq rows unbounded preceding
                ) as total_bytes
            from {schema}._sync_bundle b
            where b.scope_id = $1 and b.bundle_seq > $2 and b.bundle_seq <= (
                select least(coalesce($3, s.bundle_seq), $2 + $4)
                from scope s
                where s.state = 'initialized' and (s.floor_seq = 0 or s.floor_seq < $2)
            )
        ) w
        where w.total_bytes <= $5 or w.bundle_seq = $2 + 1
    )
    select s.state, s.bundle_seq, s.floor_seq, p.source_ids, p.source_bundle_ids, p.byte_counts, p.row_count,
        coalesce(p.first_piece_seq, $2) as first_piece_seq,
        -- Of an ordered subquery and not ordered itself: sorting would copy every body.
        (
            select string_agg(r.body, E',\\n')
            from (
                select r.body
                from {schema}._sync_bundle_rows r
                where r.scope_id = $1 and r.bundle_seq > $2 and r.bundle_seq <= p.first_piece_seq
                order by r.bundle_seq, r.first_ordinal
            ) r
        ) as body
    from scope s
    cross join page p"
);

/// All rows of some whole bundles.
const BUNDLES: &str = "select coalesce(string_agg(r.body, E',\\n'), '') as body
    from (
        select r.body
        from {schema}._sync_bundle_rows r
        where r.scope_id = $1 and r.bundle_seq > $2 and r.bundle_seq <= $3
        order by r.bundle_seq, r.first_ordinal
    ) r";

/// The next segments of one bundle: what fits into a piece, but at least one.
const SEGMENTS: &str = "select coalesce(string_agg(r.body, E',\\n'), '') as body,
        coalesce(max(r.first_ordinal + r.row_count), 0) as next_ordinal
    from (
        select r.body, r.first_ordinal, r.row_count,
            sum(octet_length(r.body)) over (order by r.first_ordinal rows unbounded preceding) as total_bytes
        from (
            select r.body, r.first_ordinal, r.row_count
            from {schema}._sync_bundle_rows r
            where r.scope_id = $1 and r.bundle_seq = $2 and r.first_ordinal >= $3
            order by r.first_ordinal
            limit 8
        ) r
    ) r
    where r.total_bytes <= $4 or r.first_ordinal = $3";

impl Engine {
    /// The page of bundles after a checkpoint.
    pub async fn pull(&self, caller: &SyncCaller, request: PullRequest) -> Result<PullPage, PullError> {
        let bounds = Bounds {
            max_bundles: request
                .max_bundles
                .unwrap_or(self.limits.default_bundles_per_pull)
                .min(self.limits.max_bundles_per_pull),
            max_bytes: self.limits.max_bytes_per_pull,
        };
        let share = self.shares.enter(caller.app.app).await;
        let row = self.read_page(caller, request, &bounds).await?.ok_or(ScopeNotReady::Uninitialized)?;
        drop(share);
        gate::check(Some(row.try_get("state")?))?;
        let after = request.after;
        let latest = BundleSeq(row.try_get("bundle_seq")?);
        let floor = BundleSeq(row.try_get("floor_seq")?);
        if floor.0 > 0 && after <= floor {
            return Err(PullError::HistoryPruned { floor });
        }
        let stable = request.target.unwrap_or(latest);
        if after > latest || stable > latest {
            return Err(PullError::CheckpointAhead { latest });
        }

        let heads = heads(&row)?;
        let next_bytes = heads.first().map_or(0, |head| head.byte_count);
        if next_bytes > self.limits.max_bytes_per_pulled_bundle {
            return Err(PullError::BundleTooLarge { seq: BundleSeq(after.0 + 1) });
        }
        let rows = row.try_get::<Option<i64>, _>("row_count")?.unwrap_or(0);
        let last = BundleSeq(after.0 + heads.len() as i64);
        let first_piece: i64 = row.try_get("first_piece_seq")?;
        let mut rest = Rest {
            apps: self.apps.clone(),
            app: Arc::clone(&caller.app),
            scope: caller.scope.clone(),
            after: after.0,
            heads,
            next: 0,
            within: None,
            has_more: last < stable,
        };
        let body: Option<&str> = row.try_get("body")?;
        let mut text = format!("{{\"stable_bundle_seq\":{stable},\"bundles\":[");
        rest.append_bundles(&mut text, (first_piece - after.0) as usize, body.unwrap_or_default())
            .expect("BUG: the bundles of one snapshot are not whole");
        let rest = rest.or_close(&mut text);
        self.meter.served(caller.app.app, self.clock.now(), rows);
        Ok(PullPage { stable, last, has_more: last < stable, rows, body: Served::new(text.into(), rest) })
    }

    async fn read_page(
        &self,
        caller: &SyncCaller,
        request: PullRequest,
        bounds: &Bounds,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let schema = &caller.app.schema;
        let query = sqlx::query(in_schema(schema, PAGE))
            .bind(&caller.scope)
            // No scope gets as far as half of what fits, and adding to the greatest number would be an error.
            .bind(request.after.0.min(i64::MAX / 2))
            .bind(request.target)
            .bind(bounds.max_bundles)
            .bind(bounds.max_bytes)
            .bind(PIECE_BYTES)
            .bind(self.clock.now())
            .bind(FRAME_BYTES);
        Ok(self.apps.rows(schema, query).await?.pop())
    }
}

/// The page's bundles, in order; they follow each other without a gap.
fn heads(row: &PgRow) -> Result<Vec<Head>, sqlx::Error> {
    let source_ids: Option<Vec<String>> = row.try_get("source_ids")?;
    let source_bundle_ids: Option<Vec<i64>> = row.try_get("source_bundle_ids")?;
    let byte_counts: Option<Vec<i64>> = row.try_get("byte_counts")?;
    let numbers = source_bundle_ids.unwrap_or_default().into_iter().zip(byte_counts.unwrap_or_default());
    let mut heads: Vec<Head> = Vec::with_capacity(numbers.len());
    for (source_id, (source_bundle_id, byte_count)) in source_ids.unwrap_or_default().into_iter().zip(numbers)
    {
        let before = heads.last().map(|head| &head.source_id).filter(|before| ***before == *source_id);
        let source_id = before.map_or_else(|| source_id.as_str().into(), Arc::clone);
        heads.push(Head { source_id, source_bundle_id, byte_count });
    }
    Ok(heads)
}

impl served::Rest for Rest {
    async fn next_piece(mut self) -> Result<(Bytes, Option<Self>), BrokenOff> {
        let mut text = String::new();
        if self.within.is_some() || self.heads[self.next].byte_count > PIECE_BYTES {
            self.append_segments(&mut text).await?;
        } else {
            let mut bytes = 0;
            let count = self.heads[self.next..]
                .iter()
                .take_while(|head| {
                    bytes += head.byte_count + FRAME_BYTES;
                    bytes <= PIECE_BYTES + FRAME_BYTES
                })
                .count();
            let first = self.after + self.next as i64;
            let query = sqlx::query_as(in_schema(&self.app.schema, BUNDLES))
                .bind(&self.scope)
                .bind(first)
                .bind(first + count as i64);
            let (body,): (String,) = self.apps.one(&self.app.schema, query).await?;
            self.append_bundles(&mut text, count, &body)?;
        }
        let rest = self.or_close(&mut text);
        Ok((text.into(), rest))
    }
}

impl Rest {
    /// Write the next `count` bundles, whose rows, all joined, are `body`.
    fn append_bundles(&mut self, text: &mut String, count: usize, mut body: &str) -> Result<(), BrokenOff> {
        text.reserve(body.len() + count * FRAME_BYTES as usize + 256);
        for i in 0..count {
            if i > 0 {
                body = body.strip_prefix(",\n").ok_or(BrokenOff::Removed)?;
            }
            self.open_bundle(text);
            let length = self.heads[self.next].byte_count as usize;
            // `get`, because what is missing may leave us in the middle of a character.
            let (rows, after) = body.get(..length).zip(body.get(length..)).ok_or(BrokenOff::Removed)?;
            text.push_str(rows);
            body = after;
            self.close_bundle(text);
        }
        if body.is_empty() { Ok(()) } else { Err(BrokenOff::Removed) }
    }

    /// Write the next segments of a big bundle.
    async fn append_segments(&mut self, text: &mut String) -> Result<(), BrokenOff> {
        let Within { ordinal, bytes_sent } = self.within.unwrap_or(Within { ordinal: 0, bytes_sent: 0 });
        let query = sqlx::query_as(in_schema(&self.app.schema, SEGMENTS))
            .bind(&self.scope)
            .bind(self.after + 1 + self.next as i64)
            .bind(ordinal)
            .bind(PIECE_BYTES);
        let (body, next_ordinal): (String, i32) = self.apps.one(&self.app.schema, query).await?;
        if body.is_empty() {
            return Err(BrokenOff::Removed);
        }
        text.reserve(body.len() + 256);
        let mut bytes_sent = bytes_sent;
        if bytes_sent == 0 {
            self.open_bundle(text);
        } else {
            text.push_str(",\n");
            bytes_sent += 2;
        }
        text.push_str(&body);
        bytes_sent += body.len() as i64;
        if bytes_sent == self.heads[self.next].byte_count {
            self.within = None;
            self.close_bundle(text);
        } else {
            self.within = Some(Within { ordinal: next_ordinal, bytes_sent });
        }
        Ok(())
    }

    fn open_bundle(&self, text: &mut String) {
        let head = &self.heads[self.next];
        let source = serde_json::Value::from(&*head.source_id);
        let comma = if self.next == 0 { "" } else { ",\n" };
        let seq = self.after + 1 + self.next as i64;
        write!(
            text,
            "{comma}{{\"bundle_seq\":{seq},\"source_id\":{source},\"source_bundle_id\":{},\"rows\":[",
            head.source_bundle_id
        )
        .expect("BUG: a string takes what is written to it");
    }

    fn close_bundle(&mut self, text: &mut String) {
        text.push_str("]}");
        self.next += 1;
    }

    /// What remains; if nothing does, write the end of the answer.
    fn or_close(self, text: &mut String) -> Option<Self> {
        if self.next < self.heads.len() {
            return Some(self);
        }
        write!(text, "],\"has_more\":{}}}", self.has_more)
            .expect("BUG: a string takes what is written to it");
        None
    }
}
