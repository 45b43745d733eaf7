//! Pages about conflicts.

use syncline_web::{
    chart::{Chart, Hue, Series, Shape, Unit},
    pages::{
        conflicts::*,
        history::{Op, Writer},
        values::Value,
    },
};
use time::Duration;

use super::*;

pub fn samples() -> Vec<Sample> {
    let list = |conflicts, filter| ConflictsPage {
        rows: ConflictRows { shell: app_shell(), conflicts, next: Some("?before=1".into()) },
        shell: app_shell().at(Area::Conflicts),
        filter,
        tables: vec!["site".into(), "observation".into(), HOSTILE.into()],
        is_continued: false,
        statistics: None,
        kept: Kept { days: 90, conflicts: 20_000 },
    };
    let rows = vec![
        row("observation", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001", Op::Update, Outcome::Open),
        row("site", RIGHT_TO_LEFT, Op::Delete, Outcome::AcceptedServer),
        row(LONG, HOSTILE, Op::Insert, Outcome::GaveUp),
        row("observation", LONG, Op::Update, Outcome::Merged),
    ];
    let filter = ConflictFilter { outcome: "gave_up".into(), ..ConflictFilter::default() };
    vec![
        sample(
            "conflicts",
            &ConflictsPage {
                statistics: Some(statistics("observation")),
                ..list(rows.clone(), ConflictFilter::default())
            },
        ),
        sample(
            "conflicts-extreme",
            &ConflictsPage {
                shell: extreme_shell().at(Area::Conflicts),
                statistics: Some(statistics(LONG)),
                ..list(rows.clone(), ConflictFilter { scope: HOSTILE.into(), ..ConflictFilter::default() })
            },
        ),
        sample("conflict-by-hand", &by_hand(rows[3].clone())),
        sample("conflicts-empty", &list(vec![], ConflictFilter::default())),
        sample("conflicts-none", &list(vec![], filter)),
        sample("conflict", &usual(rows[0].clone())),
        sample("conflict-deleted", &deleted(ConflictRow { op: Op::Update, ..rows[1].clone() })),
        sample("conflict-extreme", &extreme(rows[2].clone())),
    ]
}

pub(super) fn row(table: &str, key: &str, op: Op, outcome: Outcome) -> ConflictRow {
    ConflictRow {
        id: "cfl_0197f0c2a4f87c3eb1d2f60a9be41d55".into(),
        first_at: ago(Duration::minutes(12)),
        table: table.into(),
        key: key.into(),
        op,
        scope: "ada@example.org".into(),
        source: "pixel-9-4f1c".into(),
        attempts: 3,
        outcome,
    }
}

fn facts(settled: bool) -> ConflictFacts {
    ConflictFacts {
        user: Some("ada".into()),
        last_at: ago(Duration::minutes(2)),
        server_writer: Some(Writer::Device { source: "laptop".into() }),
        settled_at: settled.then(|| ago(Duration::minutes(1))),
        settled_seq: settled.then_some(42),
        settled_by: None,
    }
}

fn column(name: &str, values: [Option<&str>; 3]) -> ComparedColumn {
    let [base, device, server] = values.map(|value| value.map(Value::text));
    ComparedColumn {
        name: name.into(),
        is_key: name == "id",
        device_changed: device.is_some() && base != device,
        server_changed: server.is_some() && base != server,
        base,
        device,
        server,
    }
}

fn usual(conflict: ConflictRow) -> ConflictPage {
    let key = Some("0197f0c2-a4f8-7c3e-b1d2-f60a9be40001");
    let long =
        format!("A longer remark: {}", "the bird was on the fence and would not leave it. ".repeat(12));
    ConflictPage {
        shell: app_shell().at(Area::Conflicts),
        conflict,
        facts: facts(false),
        base: Side::Row { version: Some(38) },
        device: Side::Row { version: None },
        server: Side::Row { version: Some(41) },
        columns: vec![
            column("id", [key; 3]),
            column("species", [Some("Parus major"); 3]),
            column("count", [Some("3"), Some("4"), Some("5")]),
            column("note", [Some(""), Some(&long), Some("")]),
            column("confirmed", [Some("false"), Some("false"), Some("true")]),
            column(
                "seen_at",
                [Some("2026-07-15T11:58:04Z"), Some("2026-07-15T11:59:00Z"), Some("2026-07-15T11:59:00Z")],
            ),
        ],
    }
}

fn by_hand(conflict: ConflictRow) -> ConflictPage {
    let page = usual(ConflictRow { outcome: Outcome::SettledByHand, ..conflict });
    ConflictPage {
        facts: ConflictFacts { settled_by: Some("maya@fieldnotes.example".into()), ..facts(true) },
        ..page
    }
}

fn statistics(table: &str) -> Statistics {
    let values =
        |every: usize| (0..30).map(|day| Some(if day % every == 0 { day as f64 } else { 0.0 })).collect();
    Statistics {
        chart: Chart {
            id: "conflicts-over-time".into(),
            title: "Conflicts".into(),
            headline: "212".into(),
            shape: Shape::Bars,
            unit: Unit::Count,
            start: ago(Duration::days(30)),
            step: Duration::DAY,
            series: vec![
                Series { name: "settled".into(), hue: Hue::First, values: values(3) },
                Series { name: "open".into(), hue: Hue::Heed, values: values(7) },
            ],
            empty: "No conflict in this time.".into(),
        },
        tables: vec![
            HotTable { table: table.into(), conflicts: 180, rows: 12 },
            HotTable { table: "site".into(), conflicts: 1, rows: 1 },
        ],
        rows: vec![HotRow {
            scope: "ada@example.org".into(),
            table: table.into(),
            key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001".into(),
            conflicts: 31,
            attempts: 77,
            last_at: ago(Duration::hours(2)),
        }],
    }
}

fn deleted(conflict: ConflictRow) -> ConflictPage {
    ConflictPage {
        shell: app_shell().at(Area::Conflicts),
        conflict,
        facts: ConflictFacts { server_writer: None, ..facts(true) },
        base: Side::Unknown { version: 3 },
        device: Side::Row { version: None },
        server: Side::Deleted { version: Some(41) },
        columns: vec![column("id", [None, Some("1"), None]), column("name", [None, Some("Meadow"), None])],
    }
}

fn extreme(conflict: ConflictRow) -> ConflictPage {
    let value = |number: usize| [Some(HOSTILE), Some(LONG), Some(RIGHT_TO_LEFT)][number % 3];
    ConflictPage {
        shell: extreme_shell().at(Area::Conflicts),
        conflict,
        facts: facts(true),
        base: Side::Absent,
        device: Side::Row { version: None },
        server: Side::Row { version: Some(i64::MAX) },
        columns: (0..40)
            .map(|n| column(&format!("{LONG}{n}"), [value(n), value(n + 1), value(n / 2)]))
            .collect(),
    }
}
