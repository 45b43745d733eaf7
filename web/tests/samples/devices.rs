//! The devices of an app.

use syncline_web::pages::{devices::*, values::*};
use time::Duration;

use super::{users::tokens, *};

pub fn samples() -> Vec<Sample> {
    [lists(), details()].concat()
}

fn verdict(tone: Tone, label: &str, sentence: &str, advice: Option<&str>) -> Verdict {
    let since = (tone != Tone::Good).then(|| ago(Duration::hours(3)));
    Verdict { tone, label: label.into(), sentence: sentence.into(), advice: advice.map(str::to_owned), since }
}

pub(super) fn device(source: &str, scope: &str, verdict: Verdict, behind: i64) -> DeviceRow {
    DeviceRow {
        scope: scope.into(),
        source: source.into(),
        verdict,
        client: Some("SQLiteNow/0.16.0 (Android 16; Pixel 9)".into()),
        last_seen_at: ago(Duration::minutes(2)),
        behind,
    }
}

pub(super) fn rejected() -> Verdict {
    verdict(
        Tone::Bad,
        "push rejected",
        "Its push is refused: a row of observation breaks the unique constraint on site_id, species. 14 tries.",
        Some(
            "Change or delete the row that is in the way, or let the user change theirs. Until then the device downloads nothing.",
        ),
    )
}

fn healthy() -> Verdict {
    verdict(Tone::Good, "healthy", "It has everything and nothing was refused.", None)
}

pub(super) fn rows() -> Vec<DeviceRow> {
    let behind =
        verdict(Tone::Info, "behind", "12 bundles were committed since it asked last, 2 days ago.", None);
    vec![
        device("pixel-9-4f1c", "ada@example.org", healthy(), 0),
        device("8d1f0b52-5e17-4d3c-9d86-6f7a4c1c0f1e", "ada@example.org", rejected(), 3),
        DeviceRow { client: None, ..device("laptop", "grace@example.org", behind, 12) },
    ]
}

pub(super) fn extreme_rows() -> Vec<DeviceRow> {
    let refused = verdict(Tone::Bad, "push rejected", &worst(), Some(&worst()));
    let device = |source: &str, scope: &str| DeviceRow {
        client: Some(worst()),
        ..device(source, scope, refused.clone(), i64::MAX)
    };
    vec![
        device(&"!~".repeat(127), RIGHT_TO_LEFT),
        device(HOSTILE, LONG),
        device(RIGHT_TO_LEFT, HOSTILE),
        device(&worst(), &worst()),
    ]
}

fn trouble() -> Vec<Trouble> {
    let kind = |tone, word, label, count, at_least| Trouble { tone, word, label, count, at_least };
    vec![
        kind(Tone::Bad, "authentication_failing", "token refused", 3, false),
        kind(Tone::Bad, "push_rejected", "push rejected", 1_000, true),
        kind(Tone::Warn, "conflicting", "in conflict", 12, false),
    ]
}

fn lists() -> Vec<Sample> {
    let list = |shell: Shell, devices: Vec<DeviceRow>| DevicesPage {
        rows: DeviceRows { shell: shell.clone(), looked_in_vain: false, next: None, devices },
        shell: shell.at(Area::Devices),
        scope: String::new(),
        begins_with: String::new(),
        verdict: String::new(),
        kinds: vec![("authentication_failing", "token refused"), ("push_rejected", "push rejected")],
        trouble: vec![],
        is_continued: false,
    };
    let typical = || DevicesPage { trouble: trouble(), ..list(app_shell(), rows()) };
    let found = DevicesPage { verdict: "push_rejected".into(), ..typical() };
    let of_user = DevicesPage { scope: "ada@example.org".into(), ..typical() };
    let none = DevicesPage { begins_with: "zz".into(), ..list(app_shell(), vec![]) };
    let mut extreme = list(extreme_shell(), full_page(&extreme_rows()));
    (extreme.begins_with, extreme.verdict, extreme.is_continued) = (worst(), "push_rejected".into(), true);
    (extreme.rows.next, extreme.rows.looked_in_vain) = (Some(format!("?before={HOSTILE}")), true);
    extreme.trouble = trouble();
    extreme.trouble.iter_mut().for_each(|kind| kind.count = i64::MAX);
    let extreme_user = DevicesPage { scope: worst(), ..list(extreme_shell(), extreme_rows()) };
    vec![
        sample("devices-empty", &list(app_shell(), vec![])),
        sample("devices-typical", &typical()),
        sample("devices-extreme", &extreme),
        sample("devices-extreme-of-user", &extreme_user),
        sample("devices-found", &found),
        sample("devices-of-user", &of_user),
        sample("devices-none", &none),
    ]
}

fn event(status: i64, code: Option<&str>, message: Option<&str>, bundle_seq: Option<i64>) -> DeviceEvent {
    DeviceEvent {
        at: ago(Duration::minutes(status)),
        verb: "push commit".into(),
        status,
        code: code.map(str::to_owned),
        message: message.map(str::to_owned),
        bundle_seq,
    }
}

fn facts() -> DeviceFacts {
    DeviceFacts {
        user: Some("ada@example.org".into()),
        address: Some("2001:db8::17".into()),
        first_seen_at: ago(Duration::days(11)),
        last_push: Some((ago(Duration::minutes(2)), Some(41))),
        last_pull: Some((ago(Duration::minutes(2)), Some(38))),
        last_snapshot_at: Some(ago(Duration::days(11))),
        last_sent: Some(38),
        latest: 41,
        behind: 3,
        is_watching: true,
        open_pushes: vec![OpenPush { began_at: ago(Duration::minutes(1)), staged: 2_000, planned: 5_000 }],
        open_snapshots: vec![OpenSnapshot { began_at: ago(Duration::minutes(9)), rows: 1, bundle_seq: 41 }],
        bundles: 17,
        replaces: Some("old-phone".into()),
        replaced_by: None,
        successor_called: false,
    }
}

/// Of a device that has called once.
fn no_facts() -> DeviceFacts {
    DeviceFacts {
        user: None,
        address: None,
        last_push: None,
        last_pull: None,
        last_snapshot_at: None,
        last_sent: None,
        behind: 0,
        latest: 0,
        is_watching: false,
        open_pushes: vec![],
        open_snapshots: vec![],
        bundles: 0,
        replaces: None,
        ..facts()
    }
}

fn device_page(shell: Shell, device: DeviceRow, facts: DeviceFacts, events: Vec<DeviceEvent>) -> DevicePage {
    DevicePage {
        shell: shell.at(Area::Devices),
        holders: vec![tokens(&device.scope, &device.source, None)],
        is_retired: false,
        cause: None,
        device,
        facts,
        last_error: None,
        events,
    }
}

fn details() -> Vec<Sample> {
    let said = "A row of \"observation\" breaks the unique constraint on site_id, species.";
    let based = "UPDATE of table \"site\", key \"1\", is based on version 3, but the server has version 5.";
    let events = vec![
        event(400, Some("push_commit_invalid"), Some(said), None),
        event(409, Some("push_conflict"), Some(based), None),
        event(200, None, None, Some(41)),
    ];
    let mut rows = rows();
    let mut typical = device_page(app_shell(), rows.remove(1), facts(), events);
    let error = |code: &str, message: &str, count| LastError {
        at: ago(Duration::minutes(2)),
        verb: "push commit".into(),
        code: code.into(),
        message: message.into(),
        count,
        since: Some(ago(Duration::hours(3))),
    };
    typical.last_error = Some(error("push_commit_invalid", said, 14));
    let cause = |about: &str| Cause {
        label: "See the refused write",
        href: "/rejected/x".into(),
        about: Some(about.into()),
    };
    typical.cause = Some(cause("observation, key 0197f0c2-a4f8-7c3e-b1d2-f60a9be40001"));
    let mut empty = device_page(app_shell(), rows.remove(0), no_facts(), vec![]);
    (empty.device.client, empty.holders) = (None, vec![]);
    let extreme_events = full_page(&[
        event(500, Some(HOSTILE), Some(&worst()), None),
        event(200, None, None, Some(i64::MAX)),
        event(409, Some(LONG), Some(RIGHT_TO_LEFT), None),
    ]);
    let mut extreme = device_page(extreme_owner(), extreme_rows().remove(3), extreme_facts(), extreme_events);
    extreme.last_error = Some(error(&worst(), &worst(), i64::MAX));
    extreme.cause = Some(cause(&worst()));
    extreme.holders.push(tokens(&worst(), &worst(), Some(NOW)));
    let known = DeviceFacts { successor_called: true, ..extreme_facts() };
    let mut retired = device_page(extreme_shell(), extreme_rows().remove(3), known, vec![]);
    retired.is_retired = true;
    vec![
        sample("device-empty", &empty),
        sample("device-typical", &typical),
        sample("device-extreme", &extreme),
        sample("device-extreme-retired", &retired),
    ]
}

fn extreme_facts() -> DeviceFacts {
    let far = Some((ago(Duration::days(9_999)), Some(i64::MAX)));
    let facts = facts();
    DeviceFacts {
        user: Some(RIGHT_TO_LEFT.into()),
        address: Some(HOSTILE.into()),
        last_push: far,
        last_pull: far,
        last_sent: Some(i64::MAX),
        latest: i64::MAX,
        behind: i64::MAX,
        open_pushes: vec![OpenPush { planned: i64::MAX, ..facts.open_pushes[0].clone() }; 4],
        open_snapshots: vec![OpenSnapshot { rows: i64::MAX, ..facts.open_snapshots[0].clone() }; 4],
        bundles: i64::MAX,
        replaces: Some(worst()),
        replaced_by: Some(worst()),
        ..facts
    }
}
