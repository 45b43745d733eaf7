//! Pages about single rows and files of rows.

use syncline_web::{
    forms::Field,
    pages::{table_import::*, table_rows::*, values::Value},
};

use super::*;

pub fn samples() -> Vec<Sample> {
    [rows(), imports()].concat()
}

fn field(name: &str, ty: &str, control: Control, state: &str, value: &str) -> ColumnField {
    ColumnField {
        name: name.into(),
        ty: ty.into(),
        control,
        nullable: true,
        state: state.into(),
        value: value.into(),
        ..ColumnField::default()
    }
}

fn rows() -> Vec<Sample> {
    let typical = || {
        vec![
            ColumnField {
                reference: Some("site".into()),
                ..field("site_id", "uuid", Control::Line, "value", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001")
            },
            field("species", "text", Control::Area, "value", "Erithacus rubecula"),
            ColumnField {
                nullable: false,
                error: Some(
                    "It must be a whole number without sign +, leading zeros, fraction or exponent.".into(),
                ),
                ..field("count", "bigint", Control::Line, "value", "three")
            },
            ColumnField {
                default: Some("false".into()),
                ..field("confirmed", "boolean", Control::Boolean, "value", "true")
            },
            ColumnField {
                hint: "2024-05-06T07:08:09Z, or another zone’s +02:00".into(),
                ..field("seen_at", "timestamp with time zone", Control::Line, "null", "")
            },
        ]
    };
    let facts = |scope: &str, key: &str, too_large| RowFacts {
        scope: scope.into(),
        key: key.into(),
        version: Some(41),
        too_large,
    };
    let page = |shell: Shell, row, form| RowPage {
        shell: shell.at(Area::Tables),
        table: "observation".into(),
        row,
        form,
    };
    let form = |columns| RowForm { columns, ..RowForm::default() };
    let new = RowForm {
        key_column: "id (uuid)".into(),
        key_type: "A UUID that no other row of the user has. Empty: a random one.".into(),
        scope: Field::new("ada@example.org"),
        columns: typical(),
        ..RowForm::default()
    };
    let hostile = (0..40).map(|n| {
        field(&format!("{}{n}{HOSTILE}", &LONG[..40]), "text", Control::Area, "value", &LONG.repeat(4))
    });
    let conflict = RowConflictPage {
        shell: app_shell().at(Area::Tables),
        table: "observation".into(),
        scope: "ada@example.org".into(),
        key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001".into(),
        base: "41".into(),
        version: Some(44),
        columns: vec![
            ConflictColumn {
                name: "species".into(),
                yours: Some(Value::text("Parus major")),
                now: Some(Value::text("Erithacus rubecula")),
            },
            ConflictColumn { name: "count".into(), yours: None, now: Some(Value::Null) },
        ],
        fields: vec![("op".into(), "UPDATE".into())],
    };
    vec![
        sample(
            "row",
            &page(
                app_shell(),
                Some(facts("ada@example.org", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001", None)),
                form(typical()),
            ),
        ),
        sample("row-new", &page(app_shell(), None, new)),
        sample("row-large", &page(app_shell(), Some(facts("ada", "k", Some(8_000_000))), form(vec![]))),
        sample(
            "row-extreme",
            &page(
                extreme_shell(),
                Some(facts(RIGHT_TO_LEFT, &format!("{LONG}{HOSTILE}"), None)),
                form(hostile.collect()),
            ),
        ),
        sample("row-conflict", &conflict),
    ]
}

fn imports() -> Vec<Sample> {
    let page = |shell: Shell, csv: &str, outcome| ImportPage {
        shell: shell.at(Area::Tables),
        table: "observation".into(),
        key_column: "id".into(),
        columns: vec!["id".into(), "species".into(), "count".into()],
        form: ImportForm { csv: Field::new(csv), ..ImportForm::default() },
        outcome,
    };
    let line = |line, is_insert| ImportLine {
        line,
        scope: "ada@example.org".into(),
        key: format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4{line:04}"),
        is_insert,
        columns: vec!["species".into(), "count".into()],
    };
    let problem = |line, sentence: &str| LineProblem { line, sentence: sentence.into() };
    let run = DryRun {
        inserts: 1,
        updates: 1,
        unchanged: 310,
        scopes: 1,
        lines: vec![line(2, true), line(7, false)],
        seen: "abc".into(),
        ..DryRun::default()
    };
    let refused = DryRun {
        problems: vec![
            problem(Some(3), "count: It must be a whole number."),
            problem(None, "Lines 2 to 90, user ada: another row has the same value already (species)."),
        ],
        problem_count: 2,
        ..run.clone()
    };
    let extreme = DryRun {
        problems: (0..100).map(|n| problem(Some(n), &format!("{LONG}{HOSTILE}{RIGHT_TO_LEFT}"))).collect(),
        problem_count: 49_999,
        is_renewed: true,
        tried_scopes: Some(25),
        ..run.clone()
    };
    let report = ImportReport {
        bundles: vec![WrittenPart { scope: "ada@example.org".into(), seq: 44, rows: 5_000 }],
        rows: 5_000,
        stopped: Some("Lines 5002 to 9120 of user bob could not be written: another row has the same value already (species).".into()),
    };
    vec![
        sample("import-empty", &page(app_shell(), "", ImportOutcome::None)),
        sample("import", &page(app_shell(), "id,species\n1,Parus major\n", ImportOutcome::DryRun(run))),
        sample("import-refused", &page(app_shell(), "id,species\n", ImportOutcome::DryRun(refused))),
        sample("import-stopped", &page(app_shell(), "", ImportOutcome::Done(report))),
        sample("import-extreme", &page(extreme_shell(), HOSTILE, ImportOutcome::DryRun(extreme))),
    ]
}
