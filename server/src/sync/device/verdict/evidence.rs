//! What a verdict is made of.

use time::OffsetDateTime;

use crate::ids::{BundleSeq, SourceId};

/// What is known of a device when it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    pub now: OffsetDateTime,
    pub first_seen_at: OffsetDateTime,
    /// Its last request that was let in.
    pub last_seen_at: OffsetDateTime,
    /// Set if its source has been retired.
    pub retired: Option<Retirement>,
    /// The last refusal that has not been made good by a success of the same kind.
    pub error: Option<LastError>,
    /// Requests that named the device since it was let in last, and were not.
    pub turned_away: Option<TurnedAway>,
    /// When it asked last for a part of the snapshot that it has not read to its end; None: it reads none.
    pub snapshot_read_at: Option<OffsetDateTime>,
    /// The last bundle that the device is known to have: its checkpoint, or what was served to it last. None: it has
    /// downloaded nothing yet.
    pub has_seq: Option<BundleSeq>,
    /// Of its scope.
    pub latest_seq: BundleSeq,
    pub floor_seq: BundleSeq,
    /// When the first bundle was committed that it does not have; None: it lacks none, or that one is pruned.
    pub lacks_since: Option<OffsetDateTime>,
}

/// A source that may not push any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    pub at: Option<OffsetDateTime>,
    pub replaced_by: Option<SourceId>,
    pub reason: Option<String>,
}

/// Refusals of one kind, the latest of them told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    pub at: OffsetDateTime,
    /// What the device asked for: `push_commit`, `pull`, … ([`Verb::as_str`](super::super::Verb::as_str)).
    pub verb: String,
    pub code: String,
    pub message: String,
    /// The row of a conflict.
    pub subject: Option<String>,
    /// In a row, about the same subject.
    pub count: i64,
    pub since: OffsetDateTime,
}

/// Refused tokens, the latest of them told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    pub at: OffsetDateTime,
    /// [`TokenFailure::check`](crate::auth::end_user::TokenFailure::check), and the particulars.
    pub check: String,
    pub message: String,
    pub count: i64,
    pub since: OffsetDateTime,
    /// It was a token of the app, if not a good one. Otherwise the caller may be anybody.
    pub is_signed: bool,
}

/// An error that is no passing thing: clients get over some codes by themselves, unless they come again and again.
pub(super) fn lasting(facts: &DeviceFacts) -> Option<&LastError> {
    const PASSING: [&str; 14] = [
        "scope_uninitialized",
        "scope_initializing",
        "initialization_stale",
        "initialization_expired",
        "push_session_not_found",
        "push_session_expired",
        "snapshot_session_not_found",
        "snapshot_session_expired",
        "snapshot_build_capacity",
        "snapshot_chunk_capacity",
        "committed_bundle_not_found",
        "source_sequence_changed",
        "service_unavailable",
        "internal_error",
    ];
    facts.error.as_ref().filter(|error| error.count >= 3 || !PASSING.contains(&error.code.as_str()))
}

/// Bundles of its scope that the device does not have; None: it has them all.
pub(in crate::sync::device) fn lag(facts: &DeviceFacts) -> Option<i64> {
    let lag = facts.latest_seq.0 - facts.has_seq.unwrap_or_default().0;
    (lag > 0).then_some(lag)
}

/// Whether what the device would download next is pruned.
pub(super) fn is_pruned(facts: &DeviceFacts) -> bool {
    facts.floor_seq.0 > 0 && facts.has_seq.is_some_and(|seq| seq <= facts.floor_seq)
}
