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
    vec![
        sample("write-preview", &page(Previewed::Ready(usual()))),
        sample(
            "write-preview-renewed",
            &page(Previewed::Ready(WritePreview { is_renewed: true, ..usual() })),
        ),
        sample(
            "undo-preview",
            &WritePreviewPage { choices: Some(choices("note")), ..page(Previewed::Ready(usual())) },
        ),
        sample("row-history", &history(app_shell())),
        sample("row-history-pruned", &pruned()),
        sample("row-history-extreme", &extreme_history()),
        sample("write-refused", &page(Previewed::Refused(refused()))),
        sample("write-preview-extreme", &extreme()),
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

fn extreme() -> WritePreviewPage {
    let columns: Vec<_> = (0..40)
        .map(|n| {
            column(&format!("{LONG}{n}"), Some(HOSTILE), Some(if n % 2 == 0 { RIGHT_TO_LEFT } else { LONG }))
        })
        .collect();
    let preview = WritePreview {
        scope: HOSTILE.into(),
        bundle_seq: i64::MAX,
        devices: 100_000,
        rows: vec![
            PreviewRow { key: HOSTILE.into(), table: LONG.into(), ..row("t", Op::Update, columns) },
            PreviewRow {
                key: RIGHT_TO_LEFT.into(),
                too_large: Some(1 << 30),
                ..row(HOSTILE, Op::Delete, vec![])
            },
            row(LONG, Op::Update, vec![]),
        ],
        tables: vec![
            TableChanges { table: LONG.into(), inserted: 0, updated: 49_000, deleted: 0 },
            TableChanges { table: HOSTILE.into(), inserted: 1, updated: 2, deleted: 3 },
        ],
        remarks: vec![HOSTILE.into(), LONG.into()],
        confirm: Confirm {
            label: HOSTILE.into(),
            fields: vec![(HOSTILE.into(), HOSTILE.into())],
            ..usual().confirm
        },
        is_renewed: true,
    };
    WritePreviewPage {
        shell: extreme_shell().at(Area::Tables),
        title: LONG.into(),
        back: WayOut { label: HOSTILE.into(), href: "/".into() },
        choices: Some(choices(HOSTILE)),
        lede: RIGHT_TO_LEFT.into(),
        outcome: Previewed::Ready(preview),
    }
}

fn choices(table: &str) -> RowChoices {
    let row = |n: i64| ChosenRow {
        field: format!("overwrite-{n}"),
        table: table.into(),
        key: format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4000{n}"),
        touched_by: 14 + n,
        is_chosen: n == 2,
    };
    RowChoices {
        action: "/d/field-notes/survey/history/ada/12/undo/preview".into(),
        scope: "ada@example.org".into(),
        rows: vec![row(1), row(2), row(3)],
        not_listed: 0,
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
    let page = history(extreme_shell());
    let row = RowPlace { scope: HOSTILE.into(), table: LONG.into(), key: RIGHT_TO_LEFT.into() };
    let mut versions = RowVersions { row: row.clone(), ..page.versions };
    for version in &mut versions.versions {
        version.columns = (0..40).map(|n| column(&format!("{LONG}{n}"), Some(LONG), Some(HOSTILE))).collect();
        version.writer = Writer::Server { source: LONG.into(), on_behalf_of: Some(HOSTILE.into()) };
    }
    versions.versions[2].too_large = Some(1 << 33);
    RowHistoryPage { row, versions, ..page }
}
