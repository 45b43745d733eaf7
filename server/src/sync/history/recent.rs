//! The bundles of all scopes by time, and those of one device.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use time::{OffsetDateTime, macros::datetime};

use super::Bundle;
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::in_schema,
    sync::{Engine, device::list::Page},
    tables::catalog::AppCatalog,
};

/// Later than any commit.
const THE_END: OffsetDateTime = datetime!(9999-12-31 0:00 UTC);

/// A bundle with the scope that it is in.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RecentBundle {
    pub scope_id: String,
    #[sqlx(flatten)]
    pub bundle: Bundle,
}

/// Behind which bundle a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentCursor {
    #[serde(with = "time::serde::rfc3339")]
    pub committed_at: OffsetDateTime,
    pub scope: String,
    pub seq: BundleSeq,
}

const RECENT: &str = concat!(
    "select b.scope_id, ",
    bundle_columns!(),
    " from {schema}._sync_bundle b
    where b.committed_at <= $1 and (b.committed_at, b.scope_id, b.bundle_seq) < ($1, $2, $3)
    order by b.committed_at desc, b.scope_id desc, b.bundle_seq desc
    limit $4"
);

const OF_SOURCE: &str = concat!(
    "select ",
    bundle_columns!(),
    " from {schema}._sync_bundle b
    where b.scope_id = $1 and b.source_id = $2 and b.source_bundle_id < coalesce($3, 9223372036854775807)
    order by b.source_bundle_id desc
    limit $4"
);

impl Engine {
    /// The retained bundles of every scope, the latest first.
    pub async fn recent_bundles(
        &self,
        app: &AppCatalog,
        after: Option<&RecentCursor>,
        limit: i64,
    ) -> Result<Page<RecentBundle, RecentCursor>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, RECENT))
            .bind(after.map_or(THE_END, |cursor| cursor.committed_at))
            .bind(after.map_or("", |cursor| cursor.scope.as_str()))
            .bind(after.map_or(BundleSeq(0), |cursor| cursor.seq))
            .bind(limit + 1);
        let bundles = self.apps.all(&app.schema, query).await?;
        Ok(Page::of(bundles, limit, |last: &RecentBundle| RecentCursor {
            committed_at: last.bundle.committed_at,
            scope: last.scope_id.clone(),
            seq: last.bundle.bundle_seq,
        }))
    }

    /// The retained bundles that one source has written, the latest first, below `before` of its own numbers.
    pub async fn bundles_of_source(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        source: &str,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<Bundle, i64>, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, OF_SOURCE))
            .bind(scope)
            .bind(source)
            .bind(before)
            .bind(limit + 1);
        let bundles = self.apps.all(&app.schema, query).await?;
        Ok(Page::of(bundles, limit, |last: &Bundle| last.source_bundle_id))
    }
}
