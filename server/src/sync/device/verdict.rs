//! One plain verdict on a device: what is the matter with it, since when, and what helps.
//!
//! A pure function of facts, so that what it says can be tested case by case.

use time::{Duration, OffsetDateTime};

use super::retire::BY_PEOPLE;
use crate::ids::{BundleSeq, SourceId};

/// A device that has not called for this long is worth a word.
pub(in crate::sync) const SILENT_AFTER: Duration = Duration::days(7);
/// How long a device may lag behind the latest commit before it counts as behind.
const LAG_ALLOWED: Duration = Duration::minutes(2);
/// So many conflicts without a successful push between them are no coincidence.
const CONFLICTS_IN_A_ROW: i64 = 3;
/// A device that reads a snapshot asks for its next part within seconds.
const STALLED_AFTER: Duration = Duration::minutes(2);

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
    pub last_commit_at: Option<OffsetDateTime>,
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
    /// What the device asked for: `push_commit`, `pull`, … ([`Verb::as_str`](super::Verb::as_str)).
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

fn retired(facts: &DeviceFacts) -> Option<Verdict> {
    let retirement = facts.retired.as_ref()?;
    if retirement.reason.as_deref() == Some(BY_PEOPLE) {
        return Some(Verdict {
            kind: VerdictKind::Retired,
            since: retirement.at,
            sentence: "Retired by hand: it may not upload any more.".to_owned(),
            advice: "When it wants to, it is told to go on as a new device. To shut it out, revoke the user's tokens."
                .to_owned(),
        });
    }
    let because = match retirement.reason.as_deref() {
        Some("history_pruned") => " because the history it needed was pruned",
        Some("source_sequence_out_of_order" | "source_sequence_changed") => {
            " because its numbering no longer fitted the server's"
        }
        _ => "",
    };
    let sentence = match &retirement.replaced_by {
        Some(new) => format!("Retired: the device goes on as {new}{because}."),
        None => format!("Retired{because}."),
    };
    Some(Verdict {
        kind: VerdictKind::Retired,
        since: retirement.at,
        sentence,
        advice: match &retirement.replaced_by {
            Some(_) => "Look at its successor instead; nothing is to be done here.".to_owned(),
            None => String::new(),
        },
    })
}

/// What is not signed with the app's key may come from anybody: it is told only where nothing else is to be told, and
/// as what it is.
fn authentication_failing(facts: &DeviceFacts) -> Option<Verdict> {
    let away = facts.turned_away.as_ref().filter(|away| away.is_signed || facts.error.is_none())?;
    let tries = if away.count > 1 { format!(" ({} times)", away.count) } else { String::new() };
    let sentence = if away.is_signed {
        format!(
            "Authentication is failing{tries}: the device's token is refused because {}",
            as_sentence(&away.message)
        )
    } else {
        format!(
            "A request that names this device was refused{tries} because of its token: {}",
            as_sentence(&away.message)
        )
    };
    let advice = match away.check.as_str() {
        "expiry" => "Let the app fetch a new token before the old one ends; signing in again helps at once.",
        "not_before" => "Compare the clock of the server that issues the tokens with the time here.",
        "issuer" | "audience" | "user" | "scope" => {
            "Compare the token with the app's settings: the test there names each check."
        }
        "revoked" => "The user signs in again on the device; the tokens were revoked on purpose.",
        _ => {
            "Anybody may have sent it. If the device should be let in: was the app's JWT secret changed, or does it use \
             another app's token?"
        }
    };
    Some(Verdict {
        kind: VerdictKind::AuthenticationFailing,
        since: Some(away.since),
        sentence,
        advice: advice.to_owned(),
    })
}

fn silent(facts: &DeviceFacts) -> Option<Verdict> {
    if facts.now - facts.last_seen_at < SILENT_AFTER {
        return None;
    }
    let days = (facts.now - facts.last_seen_at).whole_days();
    let mut sentence = format!("Silent for {days} days");
    if let Some(error) = &facts.error {
        sentence.push_str(&format!(
            ", after a refused {}: {}",
            spoken(&error.verb),
            as_sentence(&error.message)
        ));
    } else if let Some(behind) = lag(facts) {
        sentence.push_str(&format!(", {} behind.", bundles(behind)));
    } else {
        sentence.push('.');
    }
    let advice = if is_pruned(facts) {
        "When it calls again it downloads a snapshot first: part of the history it lacks is pruned."
    } else {
        "Nothing on the server. It goes on where it stopped when the app is opened again."
    };
    Some(Verdict {
        kind: VerdictKind::Silent,
        since: Some(facts.last_seen_at),
        sentence,
        advice: advice.to_owned(),
    })
}

fn snapshot_stalled(facts: &DeviceFacts) -> Option<Verdict> {
    let read_at = facts.snapshot_read_at.filter(|at| facts.now - *at >= STALLED_AFTER)?;
    let minutes = (facts.now - read_at).whole_minutes();
    Some(Verdict {
        kind: VerdictKind::SnapshotStalled,
        since: Some(read_at),
        sentence: format!(
            "Its download from scratch has stalled: it asked for no part of the snapshot for {}.",
            spoken_minutes(minutes)
        ),
        advice: "The app was probably closed or lost its network; it begins again when it is opened. If that happens again \
                 and again, let it read smaller parts, or see whether it fails on a row."
            .to_owned(),
    })
}

fn must_rebuild(facts: &DeviceFacts) -> Option<Verdict> {
    let told = facts.error.as_ref().filter(|error| error.code == "history_pruned");
    if told.is_none() && !is_pruned(facts) {
        return None;
    }
    Some(Verdict {
        kind: VerdictKind::MustRebuild,
        since: told.map(|error| error.since),
        sentence: format!(
            "It must rebuild: the history up to bundle {} is pruned, and the device is not beyond it.",
            facts.floor_seq
        ),
        advice: "The client does so by itself with a snapshot. If it happens often, keep more history in the app's \
                 settings."
            .to_owned(),
    })
}

fn push_rejected(facts: &DeviceFacts) -> Option<Verdict> {
    let error = lasting(facts).filter(|error| is_push(&error.verb) && error.code != "push_conflict")?;
    Some(Verdict {
        kind: VerdictKind::PushRejected,
        since: Some(error.since),
        sentence: format!(
            "Its push is rejected ({}, {}): {}",
            error.code,
            tries(error.count),
            as_sentence(&error.message)
        ),
        advice: "Until the rows are corrected on the device, or the tables take them, it uploads nothing and downloads \
                 nothing."
            .to_owned(),
    })
}

fn conflicting(facts: &DeviceFacts) -> Option<Verdict> {
    let error =
        facts.error.as_ref().filter(|e| e.code == "push_conflict" && e.count >= CONFLICTS_IN_A_ROW)?;
    Some(Verdict {
        kind: VerdictKind::Conflicting,
        since: Some(error.since),
        sentence: format!(
            "Its push conflicts again and again on the same row ({} times in a row): {}",
            error.count,
            as_sentence(&error.message)
        ),
        advice:
            "Look at the conflict: the app's resolver keeps a version that the server no longer has, or two \
                 devices write the same row all the time."
                .to_owned(),
    })
}

fn refused(facts: &DeviceFacts) -> Option<Verdict> {
    let error = lasting(facts).filter(|error| error.code != "push_conflict")?;
    Some(Verdict {
        kind: VerdictKind::Refused,
        since: Some(error.since),
        sentence: format!("Its last {} was refused: {}", spoken(&error.verb), as_sentence(&error.message)),
        advice: "See its latest requests below.".to_owned(),
    })
}

fn behind(facts: &DeviceFacts) -> Option<Verdict> {
    let behind = lag(facts)?;
    let waiting = facts.last_commit_at.filter(|at| facts.now - *at >= LAG_ALLOWED)?;
    Some(Verdict {
        kind: VerdictKind::Behind,
        since: Some(waiting.max(facts.last_seen_at)),
        sentence: format!("{} behind: the latest is {}.", capitalized(&bundles(behind)), facts.latest_seq),
        advice: "It catches up when the app is opened; nothing is wrong on the server.".to_owned(),
    })
}

/// An error that is no passing thing: clients get over some codes by themselves, unless they come again and again.
fn lasting(facts: &DeviceFacts) -> Option<&LastError> {
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

fn lag(facts: &DeviceFacts) -> Option<i64> {
    let lag = facts.latest_seq.0 - facts.has_seq?.0;
    (lag > 0).then_some(lag)
}

/// Whether what the device would download next is pruned.
fn is_pruned(facts: &DeviceFacts) -> bool {
    facts.floor_seq.0 > 0 && facts.has_seq.is_some_and(|seq| seq <= facts.floor_seq)
}

fn is_push(verb: &str) -> bool {
    verb.starts_with("push_")
}

/// A verb as people say it.
fn spoken(verb: &str) -> &str {
    match verb {
        "push_create" | "push_chunk" | "push_commit" | "push_delete" => "push",
        "snapshot_create" | "snapshot_chunk" | "snapshot_delete" => "snapshot",
        "committed_rows" => "read of its own commit",
        other => other,
    }
}

fn tries(count: i64) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}

fn spoken_minutes(minutes: i64) -> String {
    match minutes {
        ..120 => format!("{minutes} minutes"),
        120..2_880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

fn bundles(count: i64) -> String {
    if count == 1 { "1 bundle".to_owned() } else { format!("{count} bundles") }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn as_sentence(message: &str) -> String {
    let message = message.trim_end();
    if message.ends_with(['.', '!', '?']) { message.to_owned() } else { format!("{message}.") }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn healthy() -> DeviceFacts {
        DeviceFacts {
            now: NOW,
            first_seen_at: NOW - Duration::days(30),
            last_seen_at: NOW - Duration::minutes(1),
            retired: None,
            error: None,
            turned_away: None,
            snapshot_read_at: None,
            has_seq: Some(BundleSeq(40)),
            latest_seq: BundleSeq(40),
            floor_seq: BundleSeq(0),
            last_commit_at: Some(NOW - Duration::hours(1)),
        }
    }

    fn error(verb: &str, code: &str, message: &str, count: i64) -> Option<LastError> {
        Some(LastError {
            at: NOW - Duration::minutes(1),
            verb: verb.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            subject: None,
            count,
            since: NOW - Duration::hours(3),
        })
    }

    fn verdict(facts: &DeviceFacts) -> (VerdictKind, String) {
        let verdict = judge(facts);
        (verdict.kind, verdict.sentence)
    }

    #[test]
    fn a_device_that_has_everything_is_healthy() {
        assert_eq!(
            verdict(&healthy()),
            (VerdictKind::Healthy, "Healthy: it has everything up to bundle 40.".to_owned())
        );
        let fresh =
            DeviceFacts { has_seq: None, latest_seq: BundleSeq(0), last_commit_at: None, ..healthy() };
        assert_eq!(verdict(&fresh).1, "Healthy.");
    }

    #[test]
    fn a_device_is_behind_only_after_a_while() {
        let facts = DeviceFacts { has_seq: Some(BundleSeq(39)), ..healthy() };
        assert_eq!(verdict(&facts), (VerdictKind::Behind, "1 bundle behind: the latest is 40.".to_owned()));
        let just_now = DeviceFacts { last_commit_at: Some(NOW - Duration::seconds(5)), ..facts };
        assert_eq!(verdict(&just_now).0, VerdictKind::Healthy);
    }

    #[test]
    fn a_refused_push_is_told_with_its_reason_and_beginning() {
        let facts = DeviceFacts {
            error: error("push_commit", "push_commit_invalid", "Table \"notes\": title must not be null", 1),
            ..healthy()
        };
        let verdict = judge(&facts);
        assert_eq!(verdict.kind, VerdictKind::PushRejected);
        assert_eq!(verdict.since, Some(NOW - Duration::hours(3)));
        assert_eq!(
            verdict.sentence,
            "Its push is rejected (push_commit_invalid, 1 try): Table \"notes\": title must not be null."
        );
    }

    #[test]
    fn one_conflict_is_normal_and_three_in_a_row_are_not() {
        let conflicts = |count| DeviceFacts {
            error: error("push_commit", "push_conflict", "UPDATE of table \"notes\" …", count),
            ..healthy()
        };
        assert_eq!(judge(&conflicts(2)).kind, VerdictKind::Healthy);
        assert_eq!(judge(&conflicts(3)).kind, VerdictKind::Conflicting);
    }

    #[test]
    fn what_clients_get_over_is_trouble_only_when_it_goes_on() {
        let facts = |count| DeviceFacts {
            error: error("push_chunk", "push_session_not_found", "There is no such push.", count),
            ..healthy()
        };
        assert_eq!(judge(&facts(1)).kind, VerdictKind::Healthy);
        assert_eq!(judge(&facts(3)).kind, VerdictKind::PushRejected);
    }

    #[test]
    fn a_device_below_the_floor_must_rebuild() {
        let facts = DeviceFacts { has_seq: Some(BundleSeq(10)), floor_seq: BundleSeq(10), ..healthy() };
        assert_eq!(judge(&facts).kind, VerdictKind::MustRebuild);
        let above = DeviceFacts { has_seq: Some(BundleSeq(11)), ..facts };
        assert_eq!(judge(&above).kind, VerdictKind::Behind);
        let told = DeviceFacts {
            error: error("pull", "history_pruned", "History up to 10 is pruned.", 1),
            ..healthy()
        };
        assert_eq!(judge(&told).kind, VerdictKind::MustRebuild);
    }

    fn turned_away(is_signed: bool) -> TurnedAway {
        TurnedAway {
            at: NOW - Duration::minutes(1),
            check: if is_signed { "expiry" } else { "signature" }.to_owned(),
            message: if is_signed { "it expired at noon" } else { "its signature does not match" }.to_owned(),
            count: 7,
            since: NOW - Duration::hours(1),
            is_signed,
        }
    }

    #[test]
    fn what_anybody_may_have_sent_hides_nothing_and_is_told_as_what_it_is() {
        let rejected = DeviceFacts {
            error: error("push_commit", "push_commit_invalid", "title must not be null", 1),
            turned_away: Some(turned_away(false)),
            ..healthy()
        };
        assert_eq!(judge(&rejected).kind, VerdictKind::PushRejected);
        let only = judge(&DeviceFacts { error: None, ..rejected.clone() });
        assert!(
            only.sentence.starts_with("A request that names this device was refused (7 times)"),
            "{only:?}"
        );
        assert!(only.advice.starts_with("Anybody may have sent it."));
        let signed = DeviceFacts { turned_away: Some(turned_away(true)), ..rejected };
        assert_eq!(judge(&signed).kind, VerdictKind::AuthenticationFailing);
    }

    #[test]
    fn a_snapshot_that_is_not_read_on_has_stalled() {
        let reading = |ago| DeviceFacts { snapshot_read_at: Some(NOW - ago), ..healthy() };
        assert_eq!(judge(&reading(Duration::seconds(119))).kind, VerdictKind::Healthy);
        let stalled = judge(&reading(Duration::minutes(3)));
        assert_eq!(stalled.kind, VerdictKind::SnapshotStalled);
        assert!(stalled.sentence.ends_with("for 3 minutes."), "{}", stalled.sentence);
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in VerdictKind::ALL {
            assert_eq!(VerdictKind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn failing_authentication_outweighs_silence_and_retirement_outweighs_all() {
        let failing = DeviceFacts {
            last_seen_at: NOW - Duration::days(20),
            turned_away: Some(turned_away(true)),
            ..healthy()
        };
        assert_eq!(
            verdict(&failing),
            (
                VerdictKind::AuthenticationFailing,
                "Authentication is failing (7 times): the device's token is refused because it expired at noon."
                    .to_owned()
            )
        );
        let retired = DeviceFacts {
            retired: Some(Retirement {
                at: Some(NOW),
                replaced_by: Some(SourceId::parse_device("dev-2").unwrap()),
                reason: Some("history_pruned".to_owned()),
            }),
            ..failing
        };
        assert_eq!(
            verdict(&retired),
            (
                VerdictKind::Retired,
                "Retired: the device goes on as dev-2 because the history it needed was pruned.".to_owned()
            )
        );
    }

    #[test]
    fn a_silent_device_is_told_with_what_it_left_behind() {
        let facts =
            DeviceFacts { last_seen_at: NOW - Duration::days(9), has_seq: Some(BundleSeq(37)), ..healthy() };
        assert_eq!(verdict(&facts), (VerdictKind::Silent, "Silent for 9 days, 3 bundles behind.".to_owned()));
    }
}
