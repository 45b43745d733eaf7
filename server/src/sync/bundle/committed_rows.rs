//! `GET sync/committed-bundles/{bundle_seq}/rows`: what a push has become, for the device that pushed it.

use std::collections::HashMap;

use super::{ROW_SEPARATOR, replay::Replay, slice_rows};
use crate::{
    ids::BundleSeq,
    ops::database::in_schema,
    sync::{
        Engine, SyncCaller,
        together::{Together, or_alone},
    },
    tables::spec::WireProfile,
};

/// Which rows of which bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedRowsQuery {
    pub bundle_seq: i64,
    /// The ordinal of the last row that the device has; None: it has none.
    pub after_row_ordinal: Option<i64>,
    /// None: the default. Cut to the maximum.
    pub max_rows: Option<i64>,
}

/// A page of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedRows {
    pub bundle_seq: BundleSeq,
    pub source: String,
    pub source_bundle_id: i64,
    /// Of the whole bundle.
    pub row_count: i64,
    pub bundle_hash: String,
    /// None for the server's own writers, and where profile `numbers` announced none.
    pub request_hash: Option<String>,
    /// JSON objects, joined by commas.
    pub rows: String,
    /// The ordinal of the last row, or the cursor again if there is none.
    pub next_row_ordinal: i64,
    pub has_more: bool,
}

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub enum CommittedRowsError {
    #[error("bundle_seq must be a whole number from 1")]
    BundleSeq,
    #[error("after_row_ordinal must be a whole number from 0")]
    AfterRowOrdinal,
    #[error("max_rows must be a whole number from 1")]
    MaxRows,
    #[error("the scope has no such bundle")]
    NotFound,
    #[error("the bundle is no longer retained")]
    HistoryPruned,
    /// The device was told `already_committed`, and would find that the rows are not those that it sent.
    #[error("the bundle's rows are not spelled as they were sent")]
    NotAsSent,
    #[error("the bundle could not be read")]
    Database(#[from] sqlx::Error),
}

/// The readings that wait to be answered together.
pub(in crate::sync) type ReadGroups = Together<Wanted, Result<Option<Found>, sqlx::Error>>;

/// A page that somebody wants.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Wanted {
    caller: SyncCaller,
    bundle_seq: i64,
    first: i64,
    max_rows: i64,
}

/// What a page may hold. It ends early at so many bytes of rows, but has one at least.
struct Bounds {
    first: i64,
    max_rows: i64,
    max_bytes: i64,
}

#[derive(Debug, sqlx::FromRow)]
pub(in crate::sync) struct Found {
    is_pruned: bool,
    source_id: Option<String>,
    source_bundle_id: Option<i64>,
    row_count: Option<i32>,
    bundle_hash: Option<String>,
    request_hash: Option<String>,
    /// What `_sync_bundle` says: see [`replay`](super::replay).
    replay: Option<Replay>,
    /// Of the segments that have wanted rows, in order.
    first_ordinals: Option<Vec<i32>>,
    bodies: Option<Vec<String>>,
}

/// One row, unless the scope is unknown. `$3` is the first ordinal wanted, `$4` how many rows are, `$5` how many bytes suffice.
const SQL: &str = "
select s.floor_seq >= $2 as is_pruned, b.source_id, b.source_bundle_id, b.row_count, b.bundle_hash, b.request_hash,
    b.replay, r.first_ordinals, r.bodies
from {schema}._sync_scope s
left join {schema}._sync_bundle b on b.scope_id = s.scope_id and b.bundle_seq = $2
left join lateral (
    select array_agg(r.first_ordinal order by r.first_ordinal) as first_ordinals,
        array_agg(r.body order by r.first_ordinal) as bodies
    from (
        select r.first_ordinal, r.body,
            sum(octet_length(r.body)) over (order by r.first_ordinal rows unbounded preceding)
                - octet_length(r.body) as bytes_before
        from {schema}._sync_bundle_rows r
        where r.scope_id = b.scope_id and r.bundle_seq = b.bundle_seq
            and r.first_ordinal + r.row_count > $3 and r.first_ordinal < $3 + $4
    ) r
    where r.bytes_before <= $5
) r on true
where s.scope_id = $1";

/// The same for many, each a number in the arrays from 1; bundles of more than `$5` bytes and what is not there are left
/// out. The arrays hide in sub-selects to have one plan for any length of them, and the look-ups are lateral with a limit so
/// that it is one of look-ups by key.
const GROUP_SQL: &str = "
select u.n, s.floor_seq >= u.bundle_seq as is_pruned, b.source_id, b.source_bundle_id, b.row_count, b.bundle_hash,
    b.request_hash, b.replay, r.first_ordinals, r.bodies
from unnest(
    (select $1::text[]), (select $2::bigint[]), (select $3::bigint[]), (select $4::bigint[])
) with ordinality as u (scope_id, bundle_seq, first_ordinal, max_rows, n)
cross join lateral (
    select s.floor_seq from {schema}._sync_scope s where s.scope_id = u.scope_id limit 1
) s
cross join lateral (
    select b.source_id, b.source_bundle_id, b.row_count, b.bundle_hash, b.request_hash, b.replay
    from {schema}._sync_bundle b
    where b.scope_id = u.scope_id and b.bundle_seq = u.bundle_seq and b.byte_count <= $5
    limit 1
) b
cross join lateral (
    select array_agg(r.first_ordinal order by r.first_ordinal) as first_ordinals,
        array_agg(r.body order by r.first_ordinal) as bodies
    from {schema}._sync_bundle_rows r
    where r.scope_id = u.scope_id and r.bundle_seq = u.bundle_seq
        and r.first_ordinal + r.row_count > u.first_ordinal and r.first_ordinal < u.first_ordinal + u.max_rows
) r";

/// The most bytes of a bundle that is read together with others.
const SMALL_BYTES: i64 = 16 * 1024;

impl Engine {
    /// A page of the rows of one bundle, in order.
    pub async fn committed_rows(
        &self,
        caller: &SyncCaller,
        query: &CommittedRowsQuery,
    ) -> Result<CommittedRows, CommittedRowsError> {
        let max_rows = query.check(
            self.limits.default_rows_per_committed_bundle_chunk,
            self.limits.max_rows_per_committed_bundle_chunk,
        )?;
        let first = query.after_row_ordinal.map_or(0, |after| after.saturating_add(1));
        let wanted = Wanted {
            caller: caller.clone(),
            bundle_seq: query.bundle_seq,
            // Beyond what any bundle holds, and safe to add to.
            first: first.min(i64::from(i32::MAX)),
            max_rows,
        };
        let engine = self.clone();
        let read = move |group| {
            let engine = engine.clone();
            async move { engine.read_group(group).await }
        };
        let share = self.shares.enter(caller.app.app).await;
        let found = self.reads.ask(&self.tasks, caller.together(), wanted, read).await;
        drop(share);
        let found = found.expect("BUG: reading a bundle panicked")?.ok_or(CommittedRowsError::NotFound)?;
        let bounds = Bounds { first, max_rows, max_bytes: self.limits.max_bytes_per_pull };
        found.into_page(caller, query, bounds)
    }

    /// What each wants.
    async fn read_group(&self, group: Vec<Wanted>) -> Vec<Result<Option<Found>, sqlx::Error>> {
        // What is read from its beginning is mostly small, and one that is goes the way of many: that has one plan for all values.
        // Whatever went wrong, each finds out alone.
        let mut found = if group.len() > 1 || group.iter().all(|one| one.first == 0) {
            self.try_read_group(&group).await
        } else {
            Ok(HashMap::new())
        }
        .unwrap_or_default();
        let grouped =
            (1..=group.len() as i64).map(|n| found.remove(&n).map(|found| Ok(Some(found)))).collect();
        or_alone(&group, grouped, |one| self.read_alone(one.clone())).await
    }

    async fn try_read_group(&self, group: &[Wanted]) -> Result<HashMap<i64, Found>, sqlx::Error> {
        #[derive(sqlx::FromRow)]
        struct Numbered {
            n: i64,
            #[sqlx(flatten)]
            found: Found,
        }

        let app = &group.first().expect("BUG: an empty group").caller.app;
        let column = |of: fn(&Wanted) -> i64| -> Vec<i64> { group.iter().map(of).collect() };
        let query = sqlx::query_as(in_schema(&app.schema, GROUP_SQL))
            .bind(group.iter().map(|one| one.caller.scope.as_str()).collect::<Vec<_>>())
            .bind(column(|one| one.bundle_seq))
            .bind(column(|one| one.first))
            .bind(column(|one| one.max_rows))
            .bind(SMALL_BYTES);
        let found: Vec<Numbered> = self.apps.all(&app.schema, query).await?;
        Ok(found.into_iter().map(|numbered| (numbered.n, numbered.found)).collect())
    }

    async fn read_alone(&self, one: Wanted) -> Result<Option<Found>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&one.caller.app.schema, SQL))
            .bind(&one.caller.scope)
            .bind(one.bundle_seq)
            .bind(one.first)
            .bind(one.max_rows)
            .bind(self.limits.max_bytes_per_pull);
        self.apps.optional(&one.caller.app.schema, query).await
    }
}

impl CommittedRowsQuery {
    /// How many rows are wanted at most.
    fn check(&self, default: i64, max: i64) -> Result<i64, CommittedRowsError> {
        if self.bundle_seq < 1 {
            return Err(CommittedRowsError::BundleSeq);
        }
        if self.after_row_ordinal.is_some_and(|after| after < 0) {
            return Err(CommittedRowsError::AfterRowOrdinal);
        }
        let max_rows = self.max_rows.unwrap_or(default);
        if max_rows < 1 { Err(CommittedRowsError::MaxRows) } else { Ok(max_rows.min(max)) }
    }
}

impl Found {
    fn into_page(
        self,
        caller: &SyncCaller,
        query: &CommittedRowsQuery,
        Bounds { first, max_rows, max_bytes }: Bounds,
    ) -> Result<CommittedRows, CommittedRowsError> {
        if self.is_pruned {
            return Err(CommittedRowsError::HistoryPruned);
        }
        let is_own = self.source_id.as_deref() == Some(caller.source.as_str());
        if is_own && self.replay == Some(Replay::Rebuild) {
            return Err(CommittedRowsError::NotAsSent);
        }
        let row_count = i64::from(self.row_count.ok_or(CommittedRowsError::NotFound)?);
        let first_ordinals = self.first_ordinals.unwrap_or_default();
        let bodies = self.bodies.unwrap_or_default();
        let end = first.saturating_add(max_rows).min(row_count);
        let mut rows = String::new();
        let mut next = first;
        let pieces = first_ordinals.into_iter().map(i64::from).zip(&bodies).map(|(segment_first, body)| {
            let from = first.max(segment_first);
            slice_rows(body, (from - segment_first) as usize, (end - from) as usize)
        });
        for row in pieces.filter(|piece| !piece.is_empty()).flat_map(|piece| piece.split(ROW_SEPARATOR)) {
            if !rows.is_empty() {
                if (rows.len() + row.len()) as i64 > max_bytes {
                    break;
                }
                rows.push_str(ROW_SEPARATOR);
            }
            rows.push_str(row);
            next += 1;
        }
        let none = match caller.app.profile {
            WireProfile::Strings => -1,
            WireProfile::Numbers => 0,
        };
        let cursor = query.after_row_ordinal.unwrap_or(none);
        Ok(CommittedRows {
            bundle_seq: BundleSeq(query.bundle_seq),
            source: self.source_id.expect("BUG: a bundle without a source"),
            source_bundle_id: self.source_bundle_id.expect("BUG: a bundle without its source's number"),
            row_count,
            bundle_hash: self.bundle_hash.expect("BUG: a bundle without a hash"),
            request_hash: self.request_hash,
            rows,
            next_row_ordinal: if first < next { next - 1 } else { cursor },
            has_more: first < next && next < row_count,
        })
    }
}
