//! Pages about what happened: users, devices, history, rejected writes.

use syncline_web::{
    forms::Field,
    pages::{devices::*, end_users::*, history::*, rejected_writes::*, users::*, values::*},
};
use time::{Duration, OffsetDateTime};

use super::*;

pub fn samples() -> Vec<Sample> {
    [users(), devices(), history(), rejected_writes()].concat()
}

fn user(scope: &str, state: ScopeState, many: i64) -> UserRow {
    UserRow {
        scope: scope.into(),
        counted: 1_000,
        state,
        devices: many,
        bundle_seq: many * 140,
        open_conflicts: many / 3,
        last_commit_at: (many > 0).then(|| ago(Duration::minutes(4))),
        created_at: ago(Duration::days(11)),
    }
}

fn tokens(user: &str, source: &str, revoked_at: Option<OffsetDateTime>) -> EndUserTokens {
    EndUserTokens { user: user.into(), scope: user.into(), source: source.into(), revoked_at }
}

fn users() -> Vec<Sample> {
    let list = |users, prefix: &str| UsersPage {
        rows: UserRows { shell: app_shell(), users, next: None },
        shell: app_shell().at(Area::Users),
        prefix: prefix.into(),
        is_continued: false,
    };
    let detail = |shell: Shell, user: UserRow, devices, bundles, tables: Vec<TableRows>| UserPage {
        shell: shell.at(Area::Users),
        floor_seq: 12,
        devices,
        storage: Storage {
            rows: tables.iter().map(|table| table.bytes).fold(0, i64::saturating_add),
            is_exact: tables.iter().all(|table| table.is_exact),
            history: user.bundle_seq * 812,
            bundles: user.bundle_seq,
            conflicts: user.open_conflicts,
        },
        tables,
        bundles,
        is_being_erased: user.state == ScopeState::Initializing,
        holders: vec![tokens(&user.scope, "", user.last_commit_at), tokens(RIGHT_TO_LEFT, "", None)],
        user,
        token: TokenForm::default(),
        confirmation: Field::default(),
    };
    let table = |name: &str, rows, is_exact, bytes| TableRows { name: name.into(), rows, is_exact, bytes };
    let tables = vec![
        table("site", 12, true, 1_400),
        table("observation", 10_000, false, 3_120_000),
        table(LONG, 0, true, 0),
    ];
    let minted = MintedToken {
        plain_text: "eyJhbGciOiJIUzI1NiJ9.".repeat(9),
        minutes: 15,
        base_url: "https://sync.example/t/fieldnotes/survey".into(),
    };
    let ada = || user("ada@example.org", ScopeState::Initialized, 3);
    let erased = ScopeState::Erased { at: ago(Duration::minutes(4)) };
    let usual = vec![
        user("ada@example.org", ScopeState::Initialized, 3),
        user("grace@example.org", ScopeState::Initializing, 0),
        user("linus", ScopeState::Uninitialized, 0),
        user(RIGHT_TO_LEFT, ScopeState::Initialized, 1),
        user("erased", ScopeState::Erased { at: ago(Duration::minutes(4)) }, 1),
        user(HOSTILE, ScopeState::Initialized, 99_999),
        user(LONG, ScopeState::Initialized, 1),
    ];
    vec![
        sample("users", &list(usual, "")),
        sample("users-empty", &list(vec![], "")),
        sample("users-none", &list(vec![], "zz")),
        sample(
            "user",
            &detail(
                app_shell(),
                user("ada@example.org", ScopeState::Initialized, 3),
                device_rows(),
                bundles(),
                tables.clone(),
            ),
        ),
        sample(
            "user-empty",
            &detail(app_shell(), user("linus", ScopeState::Uninitialized, 0), vec![], vec![], vec![]),
        ),
        sample(
            "user-extreme",
            &detail(
                extreme_shell(),
                user(&HOSTILE.repeat(5), ScopeState::Initialized, 9_999),
                device_rows(),
                bundles(),
                vec![table(HOSTILE, i64::MAX, false, i64::MAX)],
            ),
        ),
        sample(
            "user-token",
            &UserPage {
                token: TokenForm { minted: Some(minted), ..TokenForm::default() },
                ..detail(app_shell(), ada(), device_rows(), bundles(), vec![])
            },
        ),
        sample(
            "user-erased",
            &detail(app_shell(), user("ada@example.org", erased, 0), vec![], vec![], tables.clone()),
        ),
        sample(
            "user-erasing",
            &detail(app_shell(), user("linus", ScopeState::Initializing, 1), vec![], vec![], tables.clone()),
        ),
    ]
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

pub(super) fn device_rows() -> Vec<DeviceRow> {
    let healthy = verdict(Tone::Good, "healthy", "It has everything and nothing was refused.", None);
    let behind =
        verdict(Tone::Info, "behind", "12 bundles were committed since it asked last, 2 days ago.", None);
    vec![
        device("pixel-9-4f1c", "ada@example.org", healthy.clone(), 0),
        device("8d1f0b52-5e17-4d3c-9d86-6f7a4c1c0f1e", "ada@example.org", rejected(), 3),
        device("laptop", "grace@example.org", behind, 12),
        device(&"!~".repeat(127), RIGHT_TO_LEFT, healthy.clone(), 0),
        device("<b>&amp;\"'", HOSTILE, healthy, i64::MAX),
    ]
}

fn devices() -> Vec<Sample> {
    let list = |devices: Vec<DeviceRow>, scope: &str, verdict: &str| DevicesPage {
        rows: DeviceRows {
            shell: app_shell(),
            looked_in_vain: !verdict.is_empty(),
            next: (!devices.is_empty()).then(|| "?before=x".into()),
            devices,
        },
        shell: app_shell().at(Area::Devices),
        scope: scope.into(),
        begins_with: if verdict.is_empty() { String::new() } else { HOSTILE.into() },
        verdict: verdict.into(),
        kinds: vec![("authentication_failing", "token refused"), ("push_rejected", "push rejected")],
        trouble: vec![
            Trouble {
                tone: Tone::Bad,
                word: "authentication_failing",
                label: "token refused",
                count: 3,
                at_least: false,
            },
            Trouble {
                tone: Tone::Bad,
                word: "push_rejected",
                label: "push rejected",
                count: 1_000,
                at_least: true,
            },
            Trouble {
                tone: Tone::Warn,
                word: "conflicting",
                label: "in conflict",
                count: 12,
                at_least: false,
            },
        ],
        is_continued: false,
    };
    let event = |status, code: Option<&str>, message: Option<&str>, bundle_seq| DeviceEvent {
        at: ago(Duration::minutes(status)),
        verb: "push commit".into(),
        status,
        code: code.map(str::to_owned),
        message: message.map(str::to_owned),
        bundle_seq,
    };
    let events = vec![
        event(
            400,
            Some("push_commit_invalid"),
            Some("A row of \"observation\" breaks the unique constraint on site_id, species."),
            None,
        ),
        event(
            409,
            Some("push_conflict"),
            Some("UPDATE of table \"site\", key \"1\", is based on version 3, but the server has version 5."),
            None,
        ),
        event(200, None, None, Some(41)),
        event(500, Some(HOSTILE), Some(&LONG.repeat(3)), None),
    ];
    let facts = DeviceFacts {
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
        replaced_by: Some(LONG.into()),
        successor_called: false,
    };
    let empty_facts = DeviceFacts {
        user: None,
        address: None,
        last_push: None,
        last_pull: None,
        last_snapshot_at: None,
        last_sent: None,
        behind: i64::MAX,
        is_watching: false,
        open_pushes: vec![],
        open_snapshots: vec![],
        bundles: 0,
        replaces: None,
        replaced_by: None,
        ..facts.clone()
    };
    let error = LastError {
        at: ago(Duration::minutes(2)),
        verb: "push commit".into(),
        code: "push_commit_invalid".into(),
        message: "A row of \"observation\" breaks the unique constraint on site_id, species.".into(),
        count: 14,
        since: Some(ago(Duration::hours(3))),
    };
    let page = |shell: Shell, device: DeviceRow, facts, last_error: Option<LastError>, events| DevicePage {
        shell: shell.at(Area::Devices),
        holders: last_error.iter().map(|error| tokens(&device.scope, &device.source, error.since)).collect(),
        is_retired: false,
        cause: last_error.as_ref().map(|_| Cause {
            label: "See the refused write",
            href: "/rejected/x".into(),
            about: Some(format!("{HOSTILE}, key {RIGHT_TO_LEFT}")),
        }),
        device,
        facts,
        last_error,
        events,
    };
    let rows = device_rows();
    vec![
        sample("devices", &list(device_rows(), "", "")),
        sample("devices-found", &list(device_rows(), "", "push_rejected")),
        sample("devices-of-user", &list(device_rows(), RIGHT_TO_LEFT, "")),
        sample("devices-none-found", &list(vec![], "", "conflicting")),
        sample("devices-empty", &list(vec![], "", "")),
        sample("device", &page(app_shell(), rows[1].clone(), facts.clone(), Some(error), events.clone())),
        sample("device-empty", &page(app_shell(), rows[0].clone(), empty_facts, None, vec![])),
        sample("device-extreme", &page(extreme_shell(), rows[4].clone(), facts, None, events)),
    ]
}

fn bundle(seq: i64, writer: Writer) -> BundleRow {
    BundleRow {
        scope: "ada@example.org".into(),
        seq,
        committed_at: ago(Duration::minutes(60 - seq)),
        writer,
        rows: seq * 7,
        bytes: seq * 812,
    }
}

fn bundles() -> Vec<BundleRow> {
    vec![
        bundle(41, Writer::Device { source: "pixel-9-4f1c".into() }),
        bundle(
            40,
            Writer::Server {
                source: "server:dashboard".into(),
                on_behalf_of: Some("maya@fieldnotes.example".into()),
            },
        ),
        bundle(39, Writer::Device { source: "!~".repeat(127) }),
        BundleRow {
            scope: HOSTILE.into(),
            ..bundle(38, Writer::Server { source: HOSTILE.into(), on_behalf_of: None })
        },
    ]
}

fn change(ordinal: i64, op: Op, values: &[(&str, Value)]) -> Change {
    Change {
        ordinal,
        table: "observation".into(),
        key: format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4{ordinal:04}"),
        op,
        values: values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
        prior_version: (op != Op::Insert).then_some(12),
    }
}

fn history() -> Vec<Sample> {
    let list = |bundles, filter| HistoryPage {
        rows: BundleRows { shell: app_shell(), bundles, next: Some("?before=1".into()) },
        shell: app_shell().at(Area::History),
        filter,
        filter_error: None,
        is_continued: true,
    };
    let page = |shell: Shell, bundle, changes| BundlePage {
        rows: ChangeRows {
            shell: shell.clone(),
            scope: "ada@example.org".into(),
            changes,
            next: Some("?after=1".into()),
        },
        shell: shell.at(Area::History),
        bundle,
        facts: BundleFacts {
            source_bundle_id: 17,
            bundle_hash: "92fe0879f22de1e60f1bec5655f94cc641389e2ba5624666402a2a5cdd7150e3".into(),
            request_hash: Some("ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a".into()),
            user: Some("ada@example.org".into()),
            schema_version: 3,
            previous: Some(40),
            next: None,
        },
        is_continued: false,
    };
    let changes = vec![
        change(
            0,
            Op::Insert,
            &[
                ("id", Value::text("0197f0c2-a4f8-7c3e-b1d2-f60a9be40000")),
                ("species", Value::text("Parus major")),
                ("count", Value::text("4")),
                ("note", Value::Null),
            ],
        ),
        change(
            1,
            Op::Update,
            &[
                ("id", Value::text("0197f0c2-a4f8-7c3e-b1d2-f60a9be40001")),
                ("species", Value::text("Erithacus rubecula")),
                ("count", Value::text("1")),
                ("note", Value::text(&LONG.repeat(4))),
            ],
        ),
        change(2, Op::Delete, &[]),
    ];
    let extreme_values: Vec<_> = (0..40).map(|_| (LONG, Value::text(HOSTILE))).collect();
    let mut extreme = change(0, Op::Update, &extreme_values);
    extreme.key = HOSTILE.into();
    let filter = HistoryFilter { scope: "nobody".into(), source: String::new() };
    vec![
        sample("history", &list(bundles(), HistoryFilter::default())),
        sample("history-empty", &list(vec![], HistoryFilter::default())),
        sample("history-none", &list(vec![], filter)),
        sample("bundle", &page(app_shell(), bundles().remove(0), changes)),
        sample("bundle-extreme", &page(extreme_shell(), bundles().remove(3), vec![extreme])),
    ]
}

fn rejected_writes() -> Vec<Sample> {
    let row = |message: &str, state| RejectedWriteRow {
        id: "rej_1".into(),
        last_at: ago(Duration::minutes(2)),
        code: "push_commit_invalid".into(),
        message: message.into(),
        table: Some("observation".into()),
        scope: "ada@example.org".into(),
        source: "8d1f0b52-5e17-4d3c-9d86-6f7a4c1c0f1e".into(),
        attempts: 14,
        state,
    };
    let said = "A row of \"observation\" breaks the unique constraint on site_id, species.";
    let list = |writes| RejectedWritesPage {
        rows: RejectedWriteRows { shell: app_shell(), writes, next: None },
        shell: app_shell().at(Area::RejectedWrites),
        filter: RejectedWriteFilter::default(),
        kept: KeptWrites { days: 90, of_app: 20_000, of_user: 200, row_bytes: 65_536 },
        is_continued: false,
    };
    let page = |shell: Shell, write, rows: Vec<RefusedRow>| RejectedWritePage {
        shell: shell.at(Area::RejectedWrites),
        write,
        facts: RejectedWriteFacts {
            user: Some("ada".into()),
            first_at: ago(Duration::hours(3)),
            constraint: Some("observation_site_id_species_key".into()),
            column: None,
            source_bundle_id: Some(18),
            row_count: 40,
            state_at: None,
            state_by: Some("maya@fieldnotes.example".into()),
            rule: Some("No two rows of a user in observation may have the same site_id, species.".into()),
        },
        in_the_way: vec![
            Obstacle {
                table: "observation".into(),
                key: LONG.into(),
                said: "has the value already".into(),
                can_be_restored: false,
                has_history: true,
            },
            Obstacle {
                table: "site".into(),
                key: "s1".into(),
                said: "is referred to, but bundle 12 deleted it".into(),
                can_be_restored: true,
                has_history: true,
            },
        ],
        rows,
        row_bytes: 65_536,
        advice: "Change or delete the row that is in the way, or let the user change theirs.".into(),
    };
    let refused = |op, values: &[(&str, Value)]| RefusedRow {
        table: "observation".into(),
        key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40000".into(),
        op,
        values: values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
    };
    let rows = vec![
        refused(Some(Op::Insert), &[("species", Value::text("Parus major")), ("count", Value::text("4"))]),
        refused(None, &[("species", Value::text(HOSTILE))]),
    ];
    let states = vec![
        row(said, WriteState::Open),
        row(&LONG.repeat(3), WriteState::Ignored),
        row(HOSTILE, WriteState::Resolved),
    ];
    vec![
        sample("rejected", &list(states)),
        sample("rejected-empty", &list(vec![])),
        sample("rejected-detail", &page(app_shell(), row(said, WriteState::Open), rows)),
        sample(
            "rejected-detail-extreme",
            &page(extreme_shell(), row(&HOSTILE.repeat(20), WriteState::Ignored), vec![]),
        ),
    ]
}
