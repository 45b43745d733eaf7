//! Finding devices: by what is the matter with them, and by how their user or source begins.
//!
//! A verdict is a matter of facts, of the scope's latest bundle and of now, so it is not kept but judged when devices
//! are read. What is looked for by verdict is therefore read in windows, along an index that holds little else: devices
//! in trouble, silent ones and retired ones have one each. A page looks at a bounded number and then says where to go
//! on, so it takes about the same time among a hundred devices and among a hundred thousand.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::datetime};

use super::{
    list::{Device, DeviceRow, Page, device_query},
    verdict::{SILENT_AFTER, VerdictKind},
};
use crate::{ids::ScopeId, ops::database::in_schema, sync::Engine, tables::catalog::AppCatalog};

/// Devices that are judged at once, and for one page, where a verdict is looked for.
const WINDOW: i64 = 1_000;
const MAX_LOOKED_AT: i64 = 5_000;
/// Later than any call.
const THE_END: OffsetDateTime = datetime!(9999-12-31 0:00 UTC);

/// Which devices.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceFilter<'a> {
    /// Of this scope.
    pub scope: Option<&'a ScopeId>,
    /// Whose scope or source begins with this.
    pub begins_with: Option<&'a str>,
    /// With this verdict.
    pub kind: Option<VerdictKind>,
}

/// Behind which device a page begins, in the order that the filter has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundAt {
    /// Those seen last come first.
    Seen {
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        scope: String,
        source: String,
    },
    /// By scope: the first half of a search for a beginning.
    Scope { scope: String, source: String },
    /// By source: its second half.
    Source { source: String, scope: String },
}

/// How many devices have a verdict that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubleCounts {
    /// The kinds that there are, the worst first.
    pub kinds: Vec<(VerdictKind, i64)>,
    /// There are more devices in trouble than were counted.
    pub is_capped: bool,
}

macro_rules! seen_query {
    ($condition:literal) => {
        device_query!(concat!(
            "where ",
            $condition,
            " d.last_seen_at <= $1 and (d.last_seen_at < $1 or (d.scope_id, d.source_id) > ($2, $3))
            order by d.last_seen_at desc, d.scope_id, d.source_id
            limit $4"
        ))
    };
}

const ALL: &str = seen_query!("");
const IN_TROUBLE: &str = seen_query!(
    "(d.last_error_at is not null or d.auth_failed_at is not null or d.snapshot_since is not null) and"
);
const RETIRED: &str = seen_query!("r.state = 'retired' and");
const OF_SCOPE: &str = seen_query!("d.scope_id = $5 and");

const BY_SCOPE: &str = device_query!(
    "where d.scope_id >= $1 and d.scope_id < $2 and (d.scope_id, d.source_id) > ($3, $4)
    order by d.scope_id, d.source_id
    limit $5"
);

/// What the search by scope has found is not found again.
const BY_SOURCE: &str = device_query!(
    "where d.source_id >= $1 and d.source_id < $2 and (d.source_id, d.scope_id) > ($3, $4)
        and not (d.scope_id >= $1 and d.scope_id < $2)
    order by d.source_id, d.scope_id
    limit $5"
);

/// Devices in trouble, the latest of them.
const TROUBLE: &str = device_query!(
    "where d.last_error_at is not null or d.auth_failed_at is not null or d.snapshot_since is not null
    order by d.last_seen_at desc, d.scope_id, d.source_id
    limit $1"
);

impl Engine {
    /// The devices that the filter lets through, a page of them. A page of devices with a verdict may be short, or
    /// empty, and yet say where to go on.
    pub async fn find_devices(
        &self,
        app: &AppCatalog,
        filter: &DeviceFilter<'_>,
        after: Option<FoundAt>,
        limit: i64,
    ) -> Result<Page<Device, FoundAt>, sqlx::Error> {
        let now = self.clock.now();
        let wanted = usize::try_from(limit).unwrap_or(0);
        let window = if filter.kind.is_some() { WINDOW } else { limit + 1 };
        let mut place = filter.place(after, now);
        let (mut looked_at, mut items, mut last) = (0, Vec::new(), None);
        loop {
            let rows = self.device_window(app, filter, &place, window).await?;
            let read = i64::try_from(rows.len()).unwrap_or(window);
            for row in rows {
                place = place.of(&row);
                let device = row.into_device(now);
                if filter.kind.is_some_and(|kind| device.verdict.kind != kind) {
                    continue;
                }
                if items.len() == wanted {
                    return Ok(Page { items, next: last });
                }
                items.push(device);
                last = Some(place.clone());
            }
            looked_at += read;
            match (read < window, &place) {
                (true, FoundAt::Scope { .. }) => {
                    place = FoundAt::Source { source: String::new(), scope: String::new() };
                }
                (true, _) => return Ok(Page { items, next: None }),
                (false, _) if looked_at >= MAX_LOOKED_AT => return Ok(Page { items, next: Some(place) }),
                (false, _) => {}
            }
        }
    }

    /// How many devices have which verdict, of those that somebody should look at.
    pub async fn count_trouble(&self, app: &AppCatalog) -> Result<TroubleCounts, sqlx::Error> {
        let query = sqlx::query_as(in_schema(&app.schema, TROUBLE)).bind(WINDOW + 1);
        let rows: Vec<DeviceRow> = self.apps.all(&app.schema, query).await?;
        let is_capped = rows.len() as i64 > WINDOW;
        let now = self.clock.now();
        let found: Vec<VerdictKind> = rows.into_iter().map(|row| row.into_device(now).verdict.kind).collect();
        let count = |kind| found.iter().filter(|found| **found == kind).count() as i64;
        let kinds = VerdictKind::ALL.into_iter().filter(|kind| kind.is_in_trouble_index());
        Ok(TroubleCounts {
            kinds: kinds.map(|kind| (kind, count(kind))).filter(|(_, count)| *count > 0).collect(),
            is_capped,
        })
    }

    /// The next devices behind a place, whatever their verdict.
    async fn device_window(
        &self,
        app: &AppCatalog,
        filter: &DeviceFilter<'_>,
        place: &FoundAt,
        window: i64,
    ) -> Result<Vec<DeviceRow>, sqlx::Error> {
        let schema = &app.schema;
        let begins = filter.begins_with.unwrap_or_default();
        // Above every text that begins so.
        let above = format!("{begins}\u{10ffff}");
        let (sql, first, second) = match place {
            FoundAt::Seen { at, scope, source } => {
                let sql = match (filter.scope, filter.kind) {
                    (Some(_), _) => OF_SCOPE,
                    (None, Some(VerdictKind::Retired)) => RETIRED,
                    (None, Some(kind)) if kind.is_in_trouble_index() => IN_TROUBLE,
                    (None, _) => ALL,
                };
                let query =
                    sqlx::query_as(in_schema(schema, sql)).bind(at).bind(scope).bind(source).bind(window);
                let query = if let Some(of) = filter.scope { query.bind(of) } else { query };
                return self.apps.all(schema, query).await;
            }
            FoundAt::Scope { scope, source } => (BY_SCOPE, scope, source),
            FoundAt::Source { source, scope } => (BY_SOURCE, source, scope),
        };
        let query = sqlx::query_as(in_schema(schema, sql))
            .bind(begins)
            .bind(above)
            .bind(first)
            .bind(second)
            .bind(window);
        self.apps.all(schema, query).await
    }
}

impl DeviceFilter<'_> {
    /// Where to begin. A place of another order than the filter's is none: links get edited.
    fn place(&self, after: Option<FoundAt>, now: OffsetDateTime) -> FoundAt {
        let by_text = self.begins_with.is_some();
        match after {
            Some(place @ FoundAt::Seen { .. }) if !by_text => place,
            Some(place @ (FoundAt::Scope { .. } | FoundAt::Source { .. })) if by_text => place,
            _ if by_text => FoundAt::Scope { scope: String::new(), source: String::new() },
            _ => FoundAt::Seen {
                at: if self.kind == Some(VerdictKind::Silent) { now - SILENT_AFTER } else { THE_END },
                scope: String::new(),
                source: String::new(),
            },
        }
    }
}

impl FoundAt {
    /// The place of a device in the same order.
    fn of(&self, row: &DeviceRow) -> Self {
        let (scope, source) = (row.scope_id.clone(), row.source_id.clone());
        match self {
            Self::Seen { .. } => Self::Seen { at: row.last_seen_at, scope, source },
            Self::Scope { .. } => Self::Scope { scope, source },
            Self::Source { .. } => Self::Source { source, scope },
        }
    }
}
