//! The devices of an app as lists show them.

use time::OffsetDateTime;

use super::{
    row::{DeviceRow, device_query},
    verdict::{LastError, Verdict, VerdictKind},
};
use crate::{ids::BundleSeq, ops::database::in_schema, sync::Engine, tables::catalog::AppCatalog};

/// Devices that are counted by verdict.
const COUNTED: i64 = 1_000;

/// Some entries of a list, and where the next ones begin. None: these were the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    pub items: Vec<T>,
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Of `limit + 1` entries that were asked for: the page, and the key of its last entry if there are more.
    pub(in crate::sync) fn of(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let next = (items.len() > limit).then(|| items.get(limit.saturating_sub(1)).map(key)).flatten();
        items.truncate(limit);
        Self { items, next }
    }
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub scope: String,
    pub source: String,
    /// The end user whose token it used last.
    pub user: Option<String>,
    /// As its `User-Agent` tells.
    pub client: Option<String>,
    pub address: Option<String>,
    pub first_seen_at: OffsetDateTime,
    pub last_seen_at: OffsetDateTime,
    pub last_push_at: Option<OffsetDateTime>,
    pub last_push_seq: Option<BundleSeq>,
    pub last_pull_at: Option<OffsetDateTime>,
    /// The checkpoint that it named last.
    pub last_pull_seq: Option<BundleSeq>,
    /// The last bundle that was sent to it.
    pub last_served_seq: Option<BundleSeq>,
    pub last_snapshot_at: Option<OffsetDateTime>,
    /// Whether it has an open watch stream.
    pub is_watching: bool,
    pub last_error: Option<LastError>,
    /// The latest bundle of its scope.
    pub latest_seq: BundleSeq,
    /// Bundles of the scope that it does not have.
    pub behind: i64,
    pub verdict: Verdict,
}

/// How many devices have a verdict that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubleCounts {
    /// The kinds that there are, the worst first.
    pub kinds: Vec<(VerdictKind, i64)>,
    /// There are more devices in trouble than were counted.
    pub is_capped: bool,
}

/// Served by the index `device_refused`.
const REFUSED_LAST: &str = device_query!(
    "select d.* from {schema}._sync_device d
    where d.last_error_at is not null
    order by d.last_error_at desc
    limit $1",
    "",
    "order by d.last_error_at desc"
);

/// Served by the index `device_in_trouble`: the latest of them.
const TROUBLE: &str = device_query!(
    "select d.* from {schema}._sync_device d
    where d.last_error_at is not null or d.auth_failed_at is not null or d.snapshot_since is not null
    order by d.last_seen_at desc, d.scope_id, d.source_id
    limit $1",
    "",
    ""
);

impl Engine {
    /// Some of the devices that somebody should look at, those refused last first.
    pub async fn devices_in_trouble(&self, app: &AppCatalog, limit: i64) -> Result<Vec<Device>, sqlx::Error> {
        // Among those refused are some that are silent or retired by now.
        let query = sqlx::query_as(in_schema(&app.schema, REFUSED_LAST)).bind(limit * 8);
        let rows: Vec<DeviceRow> = self.apps.all(&app.schema, query).await?;
        let now = self.clock.now();
        let devices = rows.into_iter().map(|row| row.into_device(now));
        let troubled = devices.filter(|device| device.verdict.kind.is_trouble());
        Ok(troubled.take(usize::try_from(limit).unwrap_or_default()).collect())
    }

    /// How many devices have which verdict, of those that somebody should look at.
    pub async fn count_trouble(&self, app: &AppCatalog) -> Result<TroubleCounts, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, TROUBLE)).bind(COUNTED + 1);
        let rows: Vec<DeviceRow> = self.apps.all(&app.schema, query).await?;
        let is_capped = rows.len() as i64 > COUNTED;
        let now = self.clock.now();
        let found: Vec<VerdictKind> = rows.into_iter().map(|row| row.into_device(now).verdict.kind).collect();
        let count = |kind| found.iter().filter(|found| **found == kind).count() as i64;
        let kinds = VerdictKind::ALL.into_iter().filter(|kind| kind.is_in_trouble_index());
        Ok(TroubleCounts {
            kinds: kinds.map(|kind| (kind, count(kind))).filter(|(_, count)| *count > 0).collect(),
            is_capped,
        })
    }
}
