//! The bundles of all scopes by time, and those of one device.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use time::{Duration, OffsetDateTime};

use super::Bundle;
use crate::{
    ids::{BundleSeq, ScopeId},
    ops::database::in_schema,
    sync::{Engine, device::list::Page},
    tables::catalog::AppCatalog,
};

/// How far back a page is looked for at first, and how much further each time that was not enough. The index on time
/// is one of ranges (`migrations/app`), so a page costs what lies in the window and not in the whole history.
const FIRST_WINDOW: Duration = Duration::seconds(10);
const WINDOW_GROWTH: i32 = 12;
/// After this window everything is looked at.
const LAST_WINDOW: Duration = Duration::days(60);

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
    where b.committed_at >= $1 and b.committed_at <= $2
        and ($3::text is null or (b.committed_at, b.scope_id, b.bundle_seq) < ($2, $3, $4))
    order by b.committed_at desc, b.scope_id desc, b.bundle_seq desc
    limit $5"
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
        // A commit's time is taken before it commits, on another node's clock perhaps: look a little ahead.
        let until = after.map_or(self.clock.now() + Duration::minutes(5), |cursor| cursor.committed_at);
        let mut window = FIRST_WINDOW;
        loop {
            let from = if window > LAST_WINDOW { OffsetDateTime::UNIX_EPOCH } else { until - window };
            let query = sqlx::query_as(in_schema(&app.schema, RECENT))
                .bind(from)
                .bind(until)
                .bind(after.map(|cursor| cursor.scope.as_str()))
                .bind(after.map(|cursor| cursor.seq))
                .bind(limit + 1);
            let bundles: Vec<RecentBundle> = self.apps.all(&app.schema, query).await?;
            if bundles.len() as i64 > limit || from == OffsetDateTime::UNIX_EPOCH {
                return Ok(Page::of(bundles, limit, |last: &RecentBundle| RecentCursor {
                    committed_at: last.bundle.committed_at,
                    scope: last.scope_id.clone(),
                    seq: last.bundle.bundle_seq,
                }));
            }
            window *= WINDOW_GROWTH;
        }
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
