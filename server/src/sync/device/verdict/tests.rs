//! Each verdict by its facts.

use time::{Duration, OffsetDateTime, macros::datetime};

use super::{DeviceFacts, LastError, Retirement, TurnedAway, VerdictKind, judge};
use crate::ids::{BundleSeq, SourceId};

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
        lacks_since: None,
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
    let fresh = DeviceFacts { has_seq: None, latest_seq: BundleSeq(0), ..healthy() };
    assert_eq!(verdict(&fresh).1, "Healthy.");
}

#[test]
fn a_device_is_behind_as_soon_as_it_would_have_fetched_what_is_new() {
    let lacks_since = |ago| Some(NOW - ago);
    let facts = DeviceFacts {
        has_seq: Some(BundleSeq(39)),
        lacks_since: lacks_since(Duration::seconds(3)),
        ..healthy()
    };
    assert_eq!(verdict(&facts), (VerdictKind::Behind, "1 bundle behind: the latest is 40.".to_owned()));
    assert_eq!(judge(&facts).since, facts.lacks_since);
    let just_now = DeviceFacts { lacks_since: lacks_since(Duration::seconds(2)), ..facts.clone() };
    assert_eq!(verdict(&just_now).0, VerdictKind::Healthy);
    let empty = DeviceFacts { has_seq: None, ..facts };
    assert_eq!(verdict(&empty).1, "40 bundles behind: it has downloaded nothing yet.");
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
    let told =
        DeviceFacts { error: error("pull", "history_pruned", "History up to 10 is pruned.", 1), ..healthy() };
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
    assert!(only.sentence.starts_with("A request that names this device was refused (7 times)"), "{only:?}");
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
