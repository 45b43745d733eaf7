//! Pages about writes to rows: what they would do, and why they cannot be done.

use syncline_web::pages::{
    errors::WayOut,
    history::{Op, Writer},
    row_history::*,
    values::Value,
    write_preview::*,
};

use super::*;

pub fn samples() -> Vec<Sample> {
    [previews(), histories()].concat()
}

fn previews() -> Vec<Sample> {
    let touched = WritePreview { tables: vec![], rows: vec![], devices: 0, remarks: vec![], ..usual() };
    let row = row("observation", Op::Update, vec![column("count", Some("3"), Some("3"))]);
    let tables = vec![TableChanges { table: "observation".into(), inserted: 0, updated: 1, deleted: 0 }];
    let chosen = WritePreviewPage { choices: Some(choices("note", 3, 0)), ..page(Previewed::Ready(usual())) };
    vec![
        // A row that is written as it was is the least that there can be.
        sample(
            "write-preview-empty",
            &WritePreviewPage {
                lede: String::new(),
                ..page(Previewed::Ready(WritePreview { tables, rows: vec![row], ..touched }))
            },
        ),
        sample("write-preview-typical", &page(Previewed::Ready(usual()))),
        sample("write-preview-extreme", &extreme_page(Previewed::Ready(extreme()))),
        sample(
            "write-preview-renewed",
            &page(Previewed::Ready(WritePreview { is_renewed: true, ..usual() })),
        ),
        sample("write-preview-choices", &chosen),
        sample("write-preview-refused", &page(Previewed::Refused(refused()))),
        sample("write-preview-extreme-refused", &extreme_page(Previewed::Refused(extremely_refused()))),
    ]
}

fn histories() -> Vec<Sample> {
    let page = history(app_shell());
    let none = RowVersions { versions: vec![], ..page.versions };
    vec![
        sample("row-history-empty", &RowHistoryPage { versions: none, ..page }),
        sample("row-history-typical", &history(app_shell())),
        sample("row-history-extreme", &extreme_history()),
        sample("row-history-pruned", &pruned()),
    ]
}

fn back() -> WayOut {
    WayOut { label: "Bundle 12".into(), href: "/d/field-notes/survey/history/ada/12".into() }
}

fn page(outcome: Previewed) -> WritePreviewPage {
    WritePreviewPage {
        shell: app_shell().at(Area::History),
        title: "Restore version 12 of the row".into(),
        back: back(),
        choices: None,
        lede: "The row becomes what it was after bundle 12. Nothing that happened since is lost from its history."
            .into(),
        outcome,
    }
}

fn column(name: &str, before: Option<&str>, after: Option<&str>) -> ChangedColumn {
    ChangedColumn {
        name: name.into(),
        is_key: name == "id",
        changed: before.is_some() && after.is_some() && before != after,
        before: before.map(Value::text),
        after: after.map(Value::text),
    }
}

fn row(table: &str, op: Op, columns: Vec<ChangedColumn>) -> PreviewRow {
    PreviewRow {
        table: table.into(),
        key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001".into(),
        op,
        version: (op != Op::Insert).then_some(17),
        is_consequence: false,
        columns,
        too_large: None,
    }
}

fn usual() -> WritePreview {
    let changes = |table: &str, inserted, updated, deleted| TableChanges {
        table: table.into(),
        inserted,
        updated,
        deleted,
    };
    let observation = vec![
        column("id", Some("0197f0c2"), Some("0197f0c2")),
        column("species", Some("Parus major"), Some("Parus caeruleus")),
        column("note", Some(""), Some("On the fence, did not leave it.")),
        column("count", Some("3"), Some("3")),
    ];
    let site = vec![column("id", Some("s1"), None), column("name", Some("Meadow"), None)];
    WritePreview {
        scope: "ada@example.org".into(),
        bundle_seq: 18,
        devices: 2,
        tables: vec![changes("observation", 1, 1, 0), changes("site", 0, 0, 1)],
        rows: vec![
            row("observation", Op::Update, observation),
            row(
                "observation",
                Op::Insert,
                vec![column("id", None, Some("o2")), column("count", None, Some("1"))],
            ),
            PreviewRow { is_consequence: true, ..row("site", Op::Delete, site) },
        ],
        is_renewed: false,
        remarks: vec!["2 rows are left out, because later bundles touched them.".into()],
        confirm: Confirm {
            action: "/d/field-notes/survey/history/ada/12/undo".into(),
            label: "Restore version 12".into(),
            fields: vec![(Confirm::TOKEN.into(), "0".repeat(64))],
            cancel: back().href,
        },
    }
}

fn refused() -> WriteRefused {
    WriteRefused {
        title: "The table’s rules refuse this".into(),
        sentence: "Written like this, another row has the same value already.".into(),
        place: Some(RefusedPlace {
            table: "site".into(),
            key: Some("s1".into()),
            columns: Some("name".into()),
            constraint: Some("_sync_t3_unique_name".into()),
        }),
        ways_out: vec![WayOut { label: "Go back".into(), href: back().href }],
    }
}

fn extremely_refused() -> WriteRefused {
    WriteRefused {
        title: worst(),
        sentence: worst(),
        place: Some(RefusedPlace {
            table: worst(),
            key: Some(worst()),
            columns: Some(vec![worst(); COLUMNS].join(", ")),
            constraint: Some(LONG.into()),
        }),
        ways_out: vec![WayOut { label: worst(), href: back().href }; 2],
    }
}

fn extreme() -> WritePreview {
    let columns: Vec<_> = (0..COLUMNS)
        .map(|n| {
            let after = if n % 2 == 0 { RIGHT_TO_LEFT } else { LONG };
            column(&format!("{n} {}", worst()), Some(HOSTILE), Some(after))
        })
        .collect();
    let named = |row| PreviewRow { key: worst(), table: worst(), ..row };
    let too_large = PreviewRow { too_large: Some(1 << 40), ..row("", Op::Delete, vec![]) };
    let changes = |inserted, updated, deleted| TableChanges { table: worst(), inserted, updated, deleted };
    let mut rows = vec![named(row("", Op::Update, columns)), named(row("", Op::Update, vec![]))];
    rows.extend(vec![named(PreviewRow { is_consequence: true, ..too_large }); PAGE - 2]);
    WritePreview {
        scope: worst(),
        bundle_seq: i64::MAX,
        devices: i64::MAX,
        rows,
        tables: vec![changes(0, 49_000_000, 0), changes(1, 2, 3)],
        remarks: vec![worst(), LONG.into()],
        confirm: Confirm { label: worst(), fields: vec![(worst(), worst())], ..usual().confirm },
        is_renewed: true,
    }
}

fn extreme_page(outcome: Previewed) -> WritePreviewPage {
    let many = choices(&worst(), 20, 9_999);
    WritePreviewPage {
        shell: extreme_owner().at(Area::Tables),
        title: worst(),
        back: WayOut { label: worst(), href: "/".into() },
        choices: matches!(outcome, Previewed::Ready(_)).then_some(many),
        lede: worst(),
        outcome,
    }
}

fn choices(table: &str, many: i64, not_listed: usize) -> RowChoices {
    let is_worst = not_listed > 0;
    let row = |n: i64| ChosenRow {
        field: format!("overwrite-{n}"),
        table: table.into(),
        key: if is_worst { worst() } else { format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4000{n}") },
        touched_by: if is_worst { i64::MAX } else { 14 + n },
        is_chosen: n == 2,
    };
    RowChoices {
        action: "/d/field-notes/survey/history/ada/12/undo/preview".into(),
        scope: if is_worst { worst() } else { "ada@example.org".into() },
        rows: (1..=many).map(row).collect(),
        not_listed,
    }
}

fn version(number: i64, op: Op, writer: Writer, columns: Vec<ChangedColumn>) -> RowVersion {
    RowVersion {
        version: number,
        op,
        writer,
        user: Some("ada".into()),
        committed_at: ago(time::Duration::hours(100 - number)),
        columns,
        too_large: None,
        is_current: number == 41,
    }
}

fn history(shell: Shell) -> RowHistoryPage {
    let phone = Writer::Device { source: "pixel-9-4f1c".into() };
    let maya = Writer::Server {
        source: "server:dashboard".into(),
        on_behalf_of: Some("maya@fieldnotes.example".into()),
    };
    let row = RowPlace {
        scope: "ada@example.org".into(),
        table: "observation".into(),
        key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001".into(),
    };
    let inserted = [("id", "0197f0c2"), ("species", "Parus major"), ("count", "3"), ("note", "")];
    let inserted = inserted.map(|(name, value)| column(name, None, Some(value))).to_vec();
    let changed = vec![
        column("species", Some("Parus major"), Some("Parus caeruleus")),
        column("count", Some("3"), Some("4")),
    ];
    let gone = vec![column("id", Some("0197f0c2"), None), column("species", Some("Parus caeruleus"), None)];
    let versions = RowVersions {
        shell: shell.clone().at(Area::History),
        row: row.clone(),
        versions: vec![
            version(41, Op::Delete, phone.clone(), gone),
            version(38, Op::Update, maya, changed),
            version(12, Op::Insert, phone, inserted),
        ],
        next: None,
        is_pruned: false,
    };
    RowHistoryPage {
        shell: shell.at(Area::History),
        row,
        current: 41,
        is_deleted: true,
        versions,
        is_continued: false,
    }
}

fn pruned() -> RowHistoryPage {
    let page = history(app_shell());
    let mut versions = page.versions;
    versions.is_pruned = true;
    versions.next = Some("?from=3".into());
    versions.versions.truncate(2);
    RowHistoryPage { versions, is_continued: true, ..page }
}

fn extreme_history() -> RowHistoryPage {
    let page = history(extreme_owner());
    let row = RowPlace { scope: worst(), table: worst(), key: worst() };
    let columns = |many: usize| {
        (0..many).map(|n| column(&format!("{n} {}", worst()), Some(LONG), Some(RIGHT_TO_LEFT))).collect()
    };
    let server = Writer::Server { source: worst(), on_behalf_of: Some(worst_email()) };
    let (nobody, device) =
        (Writer::Server { source: worst(), on_behalf_of: None }, Writer::Device { source: worst() });
    let version = |number, op, writer, many| RowVersion {
        user: Some(worst()),
        ..version(number, op, writer, columns(many))
    };
    let large = RowVersion { too_large: Some(1 << 40), ..version(3, Op::Insert, device.clone(), 0) };
    let mut versions = vec![
        version(41, Op::Update, server, COLUMNS),
        version(40, Op::Update, device, 1),
        version(39, Op::Delete, nobody, 0),
    ];
    versions.extend(vec![large; 17]);
    let versions = RowVersions {
        row: row.clone(),
        versions,
        next: Some("?from=3".into()),
        is_pruned: true,
        ..page.versions
    };
    RowHistoryPage { row, versions, current: i64::MAX, is_continued: true, ..page }
}
