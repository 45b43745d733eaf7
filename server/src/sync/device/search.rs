//! Finding devices: by what is the matter with them, and by how their user or source begins.
//!
//! A verdict is a matter of facts, of the scope's latest bundle and of now, so it is not kept but judged when devices
//! are read. What is looked for by verdict is therefore read in windows, along an index that holds little else: devices
//! in trouble, silent ones and retired ones have one each. A page looks at a bounded number and then says where to go
//! on, so it takes about the same time among a hundred devices and among a hundred thousand. Of those that are looked
//! at, PostgreSQL leaves out what cannot have the verdict; who has it is [`judge`](super::verdict::judge)'s business.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::datetime};

use super::{
    list::{Device, Page},
    row::{DeviceRow, device_query},
    verdict::{SILENT_AFTER, VerdictKind},
};
use crate::{ids::ScopeId, ops::database::in_schema, sync::Engine, tables::catalog::AppCatalog};

/// Devices that are looked at for one page, where a verdict is looked for.
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
    /// Those retired last come first.
    Retired {
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

/// A part of the devices in an order, which `$devices` finds, and of these the ones that may have the verdict.
///
/// `$1` to `$3` is the place to begin behind, `$4` how many are looked at, `$5` how many are answered at most. The last one
/// that is looked at is answered whatever its verdict, so that the next page knows where to go on. `$6` is the verdict's
/// kind, or null, and `$7` the time since when a device has to have called not to be silent; `$8` is the order's own.
///
/// They are numbered in the order that they are in already: told so, the planner sees that it is the order of the answer
/// too, and does not look at all of them to sort a few.
macro_rules! devices_in_order {
    ($devices:expr, $order:literal) => {
        device_query!(
            concat!(
                "select d.*, row_number() over (order by ",
                $order,
                ") as position from (",
                $devices,
                " limit $4) d"
            ),
            ", d.position",
            concat!(
                "where (
                    d.position = $4 or case $6::text
                        when 'silent' then d.last_seen_at <= $7
                        when 'authentication_failing' then d.auth_failed_at is not null
                        when 'snapshot_stalled' then d.last_seen_at > $7 and d.snapshot_since is not null
                        when 'conflicting' then d.last_seen_at > $7 and d.last_error_code = 'push_conflict'
                        when 'push_rejected' then d.last_seen_at > $7 and starts_with(d.last_error_verb, 'push_')
                        when 'refused' then d.last_seen_at > $7 and d.last_error_at is not null
                        when 'retired' then true
                        else $6 is null or d.last_seen_at > $7
                    end
                )
                and (
                    d.position = $4 or case $6::text
                        when 'retired' then r.state = 'retired'
                        when 'behind' then coalesce(greatest(d.last_served_seq, d.last_pull_seq), 0) < s.bundle_seq
                        when 'must_rebuild' then d.last_error_code = 'history_pruned'
                            or s.floor_seq > 0 and greatest(d.last_served_seq, d.last_pull_seq) <= s.floor_seq
                        else true
                    end
                )
                order by ",
                $order,
                " limit $5"
            )
        )
    };
}

macro_rules! seen_query {
    ($condition:literal) => {
        devices_in_order!(
            concat!(
                "select d.* from {schema}._sync_device d where ",
                $condition,
                " d.last_seen_at <= $1 and (d.last_seen_at < $1 or (d.scope_id, d.source_id) > ($2, $3))
                order by d.last_seen_at desc, d.scope_id, d.source_id"
            ),
            "d.last_seen_at desc, d.scope_id, d.source_id"
        )
    };
}

const ALL: &str = seen_query!("");
const IN_TROUBLE: &str = seen_query!(
    "(d.last_error_at is not null or d.auth_failed_at is not null or d.snapshot_since is not null) and"
);
const OF_SCOPE: &str = seen_query!("d.scope_id = $8 and");

/// A source may be retired that has never called.
const RETIRED: &str = devices_in_order!(
    "select d.*, t.retired_at as known_retired_at
    from {schema}._sync_source t
    cross join lateral (
        select d.* from {schema}._sync_device d where d.scope_id = t.scope_id and d.source_id = t.source_id limit 1
    ) d
    where t.state = 'retired' and t.retired_at <= $1
        and (t.retired_at < $1 or (t.scope_id, t.source_id) > ($2, $3))
    order by t.retired_at desc, t.scope_id, t.source_id",
    "d.known_retired_at desc, d.scope_id, d.source_id"
);

/// `$3` is what the scope begins with, `$8` what is above every text that begins so.
const BY_SCOPE: &str = devices_in_order!(
    "select d.* from {schema}._sync_device d
    where d.scope_id >= $3 and d.scope_id < $8 and (d.scope_id, d.source_id) > ($1, $2)
    order by d.scope_id, d.source_id",
    "d.scope_id, d.source_id"
);

/// What the search by scope has found is not found again.
const BY_SOURCE: &str = devices_in_order!(
    "select d.* from {schema}._sync_device d
    where d.source_id >= $3 and d.source_id < $8 and (d.source_id, d.scope_id) > ($1, $2)
        and not (d.scope_id >= $3 and d.scope_id < $8)
    order by d.source_id, d.scope_id",
    "d.source_id, d.scope_id"
);

/// How much of an order is read at once.
struct Cut {
    looked_at: i64,
    answered: i64,
    now: OffsetDateTime,
}

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
        let mut place = filter.place(after, now);
        let (mut left, mut items, mut last) = (MAX_LOOKED_AT, Vec::new(), None);
        loop {
            let cut = match filter.kind {
                // Some of those that are answered turn out to have another verdict.
                Some(_) => Cut { looked_at: left, answered: 2 * limit + 1, now },
                None => Cut { looked_at: limit + 1, answered: limit + 1, now },
            };
            let rows = self.devices_in_order(app, filter, &place, &cut).await?;
            let is_cut = rows.len() as i64 == cut.answered;
            let looked_at = rows.last().map_or(0, |row| row.position);
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
            left -= looked_at;
            match &place {
                _ if left <= 0 => return Ok(Page { items, next: Some(place) }),
                _ if is_cut || looked_at == cut.looked_at => {}
                FoundAt::Scope { .. } => {
                    place = FoundAt::Source { source: String::new(), scope: String::new() };
                }
                _ => return Ok(Page { items, next: None }),
            }
        }
    }

    /// The next devices behind a place that may have the filter's verdict.
    async fn devices_in_order(
        &self,
        app: &AppCatalog,
        filter: &DeviceFilter<'_>,
        place: &FoundAt,
        cut: &Cut,
    ) -> Result<Vec<DeviceRow>, sqlx::Error> {
        let sql = match (place, filter.scope, filter.kind) {
            (FoundAt::Scope { .. }, ..) => BY_SCOPE,
            (FoundAt::Source { .. }, ..) => BY_SOURCE,
            (FoundAt::Retired { .. }, ..) => RETIRED,
            (FoundAt::Seen { .. }, Some(_), _) => OF_SCOPE,
            (FoundAt::Seen { .. }, None, Some(kind)) if kind.is_in_trouble_index() => IN_TROUBLE,
            (FoundAt::Seen { .. }, None, _) => ALL,
        };
        let begins = filter.begins_with.unwrap_or_default();
        let query = sqlx::query_as(in_schema(&app.schema, sql));
        let query = match place {
            FoundAt::Seen { at, scope, source } | FoundAt::Retired { at, scope, source } => {
                query.bind(at).bind(scope).bind(source)
            }
            FoundAt::Scope { scope, source } => query.bind(scope).bind(source).bind(begins),
            FoundAt::Source { source, scope } => query.bind(source).bind(scope).bind(begins),
        };
        let query = query
            .bind(cut.looked_at)
            .bind(cut.answered)
            .bind(filter.kind.map(VerdictKind::as_str))
            .bind(cut.now - SILENT_AFTER);
        let query = match (place, filter.scope) {
            (FoundAt::Scope { .. } | FoundAt::Source { .. }, _) => query.bind(format!("{begins}\u{10ffff}")),
            (FoundAt::Seen { .. }, Some(scope)) => query.bind(scope.as_str().to_owned()),
            _ => query,
        };
        self.apps.all(&app.schema, query).await
    }
}

impl DeviceFilter<'_> {
    /// Where to begin. A place of another order than the filter's is none: links get edited.
    fn place(&self, after: Option<FoundAt>, now: OffsetDateTime) -> FoundAt {
        let by_text = self.begins_with.is_some();
        let by_retirement = !by_text && self.scope.is_none() && self.kind == Some(VerdictKind::Retired);
        match after {
            Some(place @ FoundAt::Seen { .. }) if !by_text && !by_retirement => place,
            Some(place @ FoundAt::Retired { .. }) if by_retirement => place,
            Some(place @ (FoundAt::Scope { .. } | FoundAt::Source { .. })) if by_text => place,
            _ if by_text => FoundAt::Scope { scope: String::new(), source: String::new() },
            _ if by_retirement => {
                FoundAt::Retired { at: THE_END, scope: String::new(), source: String::new() }
            }
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
            Self::Retired { .. } => {
                Self::Retired { at: row.retired_at.unwrap_or(row.last_seen_at), scope, source }
            }
            Self::Scope { .. } => Self::Scope { scope, source },
            Self::Source { .. } => Self::Source { source, scope },
        }
    }
}
