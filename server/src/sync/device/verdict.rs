//! One plain verdict on a device: what is the matter with it, since when, and what helps.
//!
//! A pure function of facts, so that what it says can be tested case by case.

mod evidence;
mod sentences;
#[cfg(test)]
mod tests;

use time::{Duration, OffsetDateTime};

pub(super) use self::evidence::lag;
pub use self::evidence::{DeviceFacts, LastError, Retirement, TurnedAway};
use self::sentences::{
    authentication_failing, behind, conflicting, must_rebuild, push_rejected, refused, retired, silent,
    snapshot_stalled,
};

/// A device that has not called for this long is worth a word.
pub(in crate::sync) const SILENT_AFTER: Duration = Duration::days(7);

/// What is the matter with a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub kind: VerdictKind,
    /// When it began, where that is known.
    pub since: Option<OffsetDateTime>,
    /// One sentence: the verdict with its cause.
    pub sentence: String,
    /// One sentence: what to do. Empty if nothing is to be done.
    pub advice: String,
}

/// The kinds of verdicts, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictKind {
    Healthy,
    /// It has not downloaded the latest bundles.
    Behind,
    /// Nothing was heard of it for a week.
    Silent,
    /// It goes on under another source id.
    Retired,
    /// It began to read a snapshot and does not go on.
    SnapshotStalled,
    /// What it would download next is pruned.
    MustRebuild,
    Conflicting,
    /// Its last request of some kind was refused.
    Refused,
    PushRejected,
    AuthenticationFailing,
}

impl VerdictKind {
    pub const ALL: [Self; 10] = [
        Self::AuthenticationFailing,
        Self::PushRejected,
        Self::Conflicting,
        Self::Refused,
        Self::MustRebuild,
        Self::SnapshotStalled,
        Self::Behind,
        Self::Silent,
        Self::Retired,
        Self::Healthy,
    ];

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// A word for lists and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Behind => "behind",
            Self::Silent => "silent",
            Self::Retired => "retired",
            Self::SnapshotStalled => "snapshot_stalled",
            Self::MustRebuild => "must_rebuild",
            Self::Conflicting => "conflicting",
            Self::Refused => "refused",
            Self::PushRejected => "push_rejected",
            Self::AuthenticationFailing => "authentication_failing",
        }
    }

    /// Whether every device with it is in the index `device_in_trouble`.
    pub(super) const fn is_in_trouble_index(self) -> bool {
        matches!(
            self,
            Self::AuthenticationFailing
                | Self::PushRejected
                | Self::Conflicting
                | Self::Refused
                | Self::SnapshotStalled
        )
    }

    /// Whether somebody should look at it.
    pub const fn is_trouble(self) -> bool {
        !matches!(self, Self::Healthy | Self::Behind | Self::Silent | Self::Retired)
    }
}

/// Judge a device. The first of these that holds: retired; authentication failing; silent; snapshot stalled; must
/// rebuild; push rejected; conflicts again and again; refused otherwise; behind; healthy.
pub fn judge(facts: &DeviceFacts) -> Verdict {
    retired(facts)
        .or_else(|| authentication_failing(facts))
        .or_else(|| silent(facts))
        .or_else(|| snapshot_stalled(facts))
        .or_else(|| must_rebuild(facts))
        .or_else(|| push_rejected(facts))
        .or_else(|| conflicting(facts))
        .or_else(|| refused(facts))
        .or_else(|| behind(facts))
        .unwrap_or_else(|| Verdict {
            kind: VerdictKind::Healthy,
            since: None,
            sentence: match facts.has_seq {
                Some(seq) if seq.0 > 0 => format!("Healthy: it has everything up to bundle {seq}."),
                _ => "Healthy.".to_owned(),
            },
            advice: String::new(),
        })
}
