//! `GET sync/committed-bundles/{bundle_seq}/rows`: what a push has become, for the device that pushed it.

use super::{ROW_SEPARATOR, slice_rows};
use crate::{
    ids::BundleSeq,
    ops::database::in_schema,
    sync::{Engine, SyncCaller},
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
    #[error("the bundle could not be read")]
    Database(#[from] sqlx::Error),
}

#[derive(Debug, sqlx::FromRow)]
struct Found {
    is_pruned: bool,
    source_id: Option<String>,
    source_bundle_id: Option<i64>,
    row_count: Option<i32>,
    bundle_hash: Option<String>,
    request_hash: Option<String>,
    /// Of the segments that have wanted rows, in order.
    first_ordinals: Option<Vec<i32>>,
    bodies: Option<Vec<String>>,
}

/// One row, unless the scope is unknown. `$3` is the first ordinal wanted, `$4` how many rows are.
const SQL: &str = "
select s.floor_seq >= $2 as is_pruned, b.source_id, b.source_bundle_id, b.row_count, b.bundle_hash, b.request_hash,
    r.first_ordinals, r.bodies
from {schema}._sync_scope s
left join {schema}._sync_bundle b on b.scope_id = s.scope_id and b.bundle_seq = $2
left join lateral (
    select array_agg(r.first_ordinal order by r.first_ordinal) as first_ordinals,
        array_agg(r.body order by r.first_ordinal) as bodies
    from {schema}._sync_bundle_rows r
    where r.scope_id = b.scope_id and r.bundle_seq = b.bundle_seq
        and r.first_ordinal + r.row_count > $3 and r.first_ordinal < $3 + $4
) r on true
where s.scope_id = $1";

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
        let query_found = sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(query.bundle_seq)
            // Beyond what any bundle holds, and safe to add to.
            .bind(first.min(i64::from(i32::MAX)))
            .bind(max_rows);
        let found: Option<Found> = self.apps.optional(&caller.app.schema, query_found).await?;
        let found = found.ok_or(CommittedRowsError::NotFound)?;
        found.into_page(query, first, max_rows, caller.app.profile)
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
        query: &CommittedRowsQuery,
        first: i64,
        max_rows: i64,
        profile: WireProfile,
    ) -> Result<CommittedRows, CommittedRowsError> {
        if self.is_pruned {
            return Err(CommittedRowsError::HistoryPruned);
        }
        let row_count = i64::from(self.row_count.ok_or(CommittedRowsError::NotFound)?);
        let first_ordinals = self.first_ordinals.unwrap_or_default();
        let bodies = self.bodies.unwrap_or_default();
        let end = first.saturating_add(max_rows).min(row_count);
        let mut rows = String::with_capacity(bodies.iter().map(String::len).sum());
        for (segment_first, body) in first_ordinals.into_iter().map(i64::from).zip(&bodies) {
            let from = first.max(segment_first);
            let (skip, take) = ((from - segment_first) as usize, (end - from) as usize);
            if !rows.is_empty() {
                rows.push_str(ROW_SEPARATOR);
            }
            rows.push_str(slice_rows(body, skip, take));
        }
        let none = match profile {
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
            next_row_ordinal: if first < end { end - 1 } else { cursor },
            has_more: end < row_count && first < end,
        })
    }
}
