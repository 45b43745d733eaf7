//! A device as the statements read it: its facts, with its source's state and its scope's latest bundle.

use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    list::Device,
    streams::NOTE_HOLDS,
    verdict::{self, DeviceFacts, LastError, Retirement, TurnedAway},
};
use crate::ids::{BundleSeq, SourceId};

#[derive(Debug, FromRow)]
pub(super) struct DeviceRow {
    pub(super) scope_id: String,
    pub(super) source_id: String,
    user_id: Option<String>,
    client: Option<String>,
    address: Option<String>,
    first_seen_at: OffsetDateTime,
    pub(super) last_seen_at: OffsetDateTime,
    last_push_at: Option<OffsetDateTime>,
    last_push_seq: Option<BundleSeq>,
    last_pull_at: Option<OffsetDateTime>,
    last_pull_seq: Option<BundleSeq>,
    last_served_seq: Option<BundleSeq>,
    last_snapshot_at: Option<OffsetDateTime>,
    last_watch_at: Option<OffsetDateTime>,
    last_error_at: Option<OffsetDateTime>,
    last_error_verb: Option<String>,
    last_error_code: Option<String>,
    last_error_message: Option<String>,
    error_count: i64,
    error_since: Option<OffsetDateTime>,
    last_error_subject: Option<String>,
    auth_failed_at: Option<OffsetDateTime>,
    auth_failed_since: Option<OffsetDateTime>,
    auth_failed_check: Option<String>,
    auth_failed_message: Option<String>,
    auth_failed_count: i64,
    auth_failed_signed: bool,
    snapshot_since: Option<OffsetDateTime>,
    is_watching: Option<bool>,
    pub(super) source_state: Option<String>,
    pub(super) source_bundle_id: Option<i64>,
    pub(super) replaces_source_id: Option<String>,
    pub(super) replaced_by_source_id: Option<String>,
    retired_reason: Option<String>,
    pub(super) retired_at: Option<OffsetDateTime>,
    latest_seq: Option<BundleSeq>,
    floor_seq: Option<BundleSeq>,
    lacks_since: Option<OffsetDateTime>,
    /// Its place among those that were looked at, from 1; 0 where nobody asked.
    #[sqlx(default)]
    pub(super) position: i64,
}

/// The devices that `$devices`, a statement, finds, each with what belongs to it, and what else is asked of them in `$rest`.
/// Its source and its scope are looked up a device: joined in another way, the planner would read all there are.
macro_rules! device_query {
    ($devices:expr, $columns:expr, $rest:expr) => {
        concat!(
            "select d.scope_id, d.source_id, d.user_id, d.client, d.address, d.first_seen_at, d.last_seen_at,
                d.last_push_at, d.last_push_seq, d.last_pull_at, d.last_pull_seq, d.last_served_seq,
                d.last_snapshot_at, d.last_watch_at, d.last_error_at, d.last_error_verb, d.last_error_code,
                d.last_error_message, d.error_count, d.error_since, d.last_error_subject,
                d.auth_failed_at, d.auth_failed_since, d.auth_failed_check, d.auth_failed_message,
                d.auth_failed_count, d.auth_failed_signed, d.snapshot_since, d.is_watching,
                r.state as source_state, r.source_bundle_id, r.replaces_source_id, r.replaced_by_source_id,
                r.retired_reason, r.retired_at,
                s.bundle_seq as latest_seq, s.floor_seq,
                (
                    select b.committed_at
                    from {schema}._sync_bundle b
                    where b.scope_id = d.scope_id
                        and b.bundle_seq = coalesce(greatest(d.last_served_seq, d.last_pull_seq), 0) + 1
                ) as lacks_since",
            $columns,
            " from (",
            $devices,
            ") d
            left join lateral (
                select s.bundle_seq, s.floor_seq
                from {schema}._sync_scope s
                where s.scope_id = d.scope_id
                limit 1
            ) s on true
            left join lateral (
                select r.state, r.source_bundle_id, r.replaces_source_id, r.replaced_by_source_id, r.retired_reason,
                    r.retired_at
                from {schema}._sync_source r
                where r.scope_id = d.scope_id and r.source_id = d.source_id
                limit 1
            ) r on true ",
            $rest
        )
    };
}

pub(super) use device_query;

impl DeviceRow {
    pub(super) fn into_device(self, now: OffsetDateTime) -> Device {
        let facts = self.facts(now);
        Device {
            verdict: verdict::judge(&facts),
            behind: verdict::lag(&facts).unwrap_or(0),
            latest_seq: facts.latest_seq,
            last_error: facts.error,
            is_watching: self.is_watching == Some(true)
                && self.last_watch_at.is_some_and(|at| now - at < NOTE_HOLDS),
            scope: self.scope_id,
            source: self.source_id,
            user: self.user_id,
            client: self.client,
            address: self.address,
            first_seen_at: self.first_seen_at,
            last_seen_at: self.last_seen_at,
            last_push_at: self.last_push_at,
            last_push_seq: self.last_push_seq,
            last_pull_at: self.last_pull_at,
            last_pull_seq: self.last_pull_seq,
            last_served_seq: self.last_served_seq,
            last_snapshot_at: self.last_snapshot_at,
        }
    }

    fn facts(&self, now: OffsetDateTime) -> DeviceFacts {
        DeviceFacts {
            now,
            first_seen_at: self.first_seen_at,
            last_seen_at: self.last_seen_at,
            retired: (self.source_state.as_deref() == Some("retired")).then(|| Retirement {
                at: self.retired_at,
                replaced_by: self
                    .replaced_by_source_id
                    .as_deref()
                    .and_then(|source| SourceId::parse_device(source).ok()),
                reason: self.retired_reason.clone(),
            }),
            error: self.last_error_at.map(|at| LastError {
                at,
                verb: self.last_error_verb.clone().unwrap_or_default(),
                code: self.last_error_code.clone().unwrap_or_default(),
                message: self.last_error_message.clone().unwrap_or_default(),
                subject: self.last_error_subject.clone(),
                count: self.error_count,
                since: self.error_since.unwrap_or(at),
            }),
            turned_away: self.auth_failed_at.map(|at| TurnedAway {
                at,
                check: self.auth_failed_check.clone().unwrap_or_default(),
                message: self.auth_failed_message.clone().unwrap_or_default(),
                count: self.auth_failed_count,
                since: self.auth_failed_since.unwrap_or(at),
                is_signed: self.auth_failed_signed,
            }),
            snapshot_read_at: self
                .snapshot_since
                .map(|since| self.last_snapshot_at.unwrap_or(since).max(since)),
            has_seq: self.last_served_seq.max(self.last_pull_seq),
            latest_seq: self.latest_seq.unwrap_or_default(),
            floor_seq: self.floor_seq.unwrap_or_default(),
            lacks_since: self.lacks_since,
        }
    }
}
