//! The verdicts in words, each with the facts that it takes.

use time::Duration;

use super::{
    SILENT_AFTER, Verdict, VerdictKind,
    evidence::{DeviceFacts, is_pruned, lag, lasting},
};
use crate::sync::device::retire::BY_PEOPLE;

/// How long a bundle may be new to a device before the device counts as behind: one that has a stream open has fetched it
/// by then.
const LAG_ALLOWED: Duration = Duration::seconds(3);
/// So many conflicts without a successful push between them are no coincidence.
const CONFLICTS_IN_A_ROW: i64 = 3;
/// A device that reads a snapshot asks for its next part within seconds.
const STALLED_AFTER: Duration = Duration::minutes(2);

pub(super) fn retired(facts: &DeviceFacts) -> Option<Verdict> {
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
pub(super) fn authentication_failing(facts: &DeviceFacts) -> Option<Verdict> {
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

pub(super) fn silent(facts: &DeviceFacts) -> Option<Verdict> {
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

pub(super) fn snapshot_stalled(facts: &DeviceFacts) -> Option<Verdict> {
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

pub(super) fn must_rebuild(facts: &DeviceFacts) -> Option<Verdict> {
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

pub(super) fn push_rejected(facts: &DeviceFacts) -> Option<Verdict> {
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

pub(super) fn conflicting(facts: &DeviceFacts) -> Option<Verdict> {
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

pub(super) fn refused(facts: &DeviceFacts) -> Option<Verdict> {
    let error = lasting(facts).filter(|error| error.code != "push_conflict")?;
    Some(Verdict {
        kind: VerdictKind::Refused,
        since: Some(error.since),
        sentence: format!("Its last {} was refused: {}", spoken(&error.verb), as_sentence(&error.message)),
        advice: "See its latest requests below.".to_owned(),
    })
}

pub(super) fn behind(facts: &DeviceFacts) -> Option<Verdict> {
    let behind = lag(facts)?;
    let since = facts.lacks_since.unwrap_or(facts.last_seen_at);
    if facts.now - since < LAG_ALLOWED {
        return None;
    }
    let latest = facts.latest_seq;
    let sentence = match facts.has_seq {
        Some(_) => format!("{} behind: the latest is {latest}.", capitalized(&bundles(behind))),
        None => format!("{} behind: it has downloaded nothing yet.", capitalized(&bundles(behind))),
    };
    Some(Verdict {
        kind: VerdictKind::Behind,
        since: Some(since),
        sentence,
        advice: "It catches up when the app is opened; nothing is wrong on the server.".to_owned(),
    })
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
