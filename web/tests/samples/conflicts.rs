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
    [lists(), details()].concat()
}

fn lists() -> Vec<Sample> {
    let list = |shell: Shell, conflicts| ConflictsPage {
        rows: ConflictRows { shell: shell.clone(), conflicts, next: None },
        shell: shell.at(Area::Conflicts),
        filter: ConflictFilter::default(),
        tables: vec!["site".into(), "observation".into()],
        is_continued: false,
        statistics: None,
        kept: Kept { days: 90, conflicts: 20_000 },
    };
    let mut none = list(app_shell(), vec![]);
    none.filter.outcome = "gave_up".into();
    let typical = ConflictsPage {
        statistics: Some(statistics("observation", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001", 31)),
        ..list(app_shell(), rows())
    };
    let mut extreme = list(extreme_shell(), full_page(&extreme_rows()));
    extreme.rows.next = Some("?before=1".into());
    extreme.statistics = Some(statistics(&worst(), &worst(), i64::MAX));
    extreme.tables = full_page(&[worst(), LONG.into()]);
    extreme.filter =
        ConflictFilter { scope: worst(), source: worst(), from: HOSTILE.into(), ..ConflictFilter::default() };
    (extreme.is_continued, extreme.kept) = (true, Kept { days: 1, conflicts: i64::MAX });
    vec![
        sample("conflicts-empty", &list(app_shell(), vec![])),
        sample("conflicts-typical", &typical),
        sample("conflicts-extreme", &extreme),
        sample("conflicts-none", &none),
    ]
}

fn details() -> Vec<Sample> {
    let rows = rows();
    let site = ConflictRow { op: Op::Update, ..rows[1].clone() };
    vec![
        sample("conflict-empty", &barest(rows[2].clone())),
        sample("conflict-typical", &usual(rows[0].clone())),
        sample("conflict-extreme", &extreme(extreme_owner())),
        sample("conflict-extreme-viewer", &extreme(extreme_shell())),
        sample("conflict-by-hand", &by_hand(rows[3].clone())),
        sample("conflict-deleted", &deleted(site)),
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

fn rows() -> Vec<ConflictRow> {
    vec![
        row("observation", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001", Op::Update, Outcome::Open),
        row("site", "north-meadow", Op::Delete, Outcome::AcceptedServer),
        ConflictRow { attempts: 1, ..row("site", "south-meadow", Op::Insert, Outcome::GaveUp) },
        row("observation", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40002", Op::Update, Outcome::Merged),
    ]
}

pub(super) fn extreme_rows() -> Vec<ConflictRow> {
    let row = |table: &str, key: &str, outcome| ConflictRow {
        scope: worst(),
        source: worst(),
        attempts: i64::MAX,
        ..row(table, key, Op::Update, outcome)
    };
    vec![
        row(LONG, RIGHT_TO_LEFT, Outcome::GaveUp),
        row(HOSTILE, LONG, Outcome::KeptLocal),
        row(RIGHT_TO_LEFT, HOSTILE, Outcome::SettledByHand),
        row(&worst(), &worst(), Outcome::Open),
    ]
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

/// Of a table that is nothing but its key, and nothing is known any more.
fn barest(conflict: ConflictRow) -> ConflictPage {
    let facts = ConflictFacts { user: None, server_writer: None, ..facts(false) };
    ConflictPage {
        facts,
        base: Side::Absent,
        server: Side::Absent,
        columns: vec![column("id", [None, Some("1"), None])],
        ..usual(conflict)
    }
}

fn by_hand(conflict: ConflictRow) -> ConflictPage {
    let page = usual(ConflictRow { outcome: Outcome::SettledByHand, ..conflict });
    ConflictPage {
        facts: ConflictFacts { settled_by: Some("maya@fieldnotes.example".into()), ..facts(true) },
        ..page
    }
}

fn statistics(table: &str, key: &str, many: i64) -> Statistics {
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
            HotTable { table: table.into(), conflicts: many, rows: 12 },
            HotTable { table: "site".into(), conflicts: 1, rows: 1 },
        ],
        rows: vec![HotRow {
            scope: if many > 100 { worst() } else { "ada@example.org".into() },
            table: table.into(),
            key: key.into(),
            conflicts: many,
            attempts: many,
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

fn extreme(shell: Shell) -> ConflictPage {
    let value = |number: usize| [Some(HOSTILE), Some(LONG), Some(RIGHT_TO_LEFT)][number % 3];
    let columns =
        (0..COLUMNS).map(|n| column(&format!("{n} {}", worst()), [value(n), value(n + 1), value(n / 2)]));
    ConflictPage {
        shell: shell.at(Area::Conflicts),
        conflict: extreme_rows().remove(3),
        facts: ConflictFacts {
            user: Some(worst()),
            server_writer: Some(Writer::Server { source: worst(), on_behalf_of: Some(worst_email()) }),
            settled_by: Some(worst_email()),
            ..facts(true)
        },
        base: Side::Unknown { version: i64::MAX },
        device: Side::Row { version: None },
        server: Side::Row { version: Some(i64::MAX) },
        columns: columns.collect(),
    }
}
