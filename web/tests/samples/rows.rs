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

/// The fields of an observation, one of them wrong.
fn typical() -> Vec<ColumnField> {
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
}

/// 40 of every kind, all refused.
fn hostile() -> Vec<ColumnField> {
    let controls = [Control::Area, Control::Line, Control::Boolean];
    let column = |n: usize| ColumnField {
        default: Some(worst()),
        reference: Some(worst()),
        hint: worst(),
        error: n.is_multiple_of(2).then(worst),
        ..field(&format!("{n} {}", worst()), "text", controls[n % 3], "value", &worst())
    };
    (0..COLUMNS).map(column).collect()
}

fn rows() -> Vec<Sample> {
    let facts = |scope: &str, key: &str| RowFacts {
        scope: scope.into(),
        key: key.into(),
        version: Some(41),
        too_large: None,
    };
    let page = |shell: Shell, table: &str, row, form| RowPage {
        shell: shell.at(Area::Tables),
        table: table.into(),
        row,
        form,
    };
    let form = |columns| RowForm { columns, ..RowForm::default() };
    let new = |columns| RowForm {
        key_column: "id (uuid)".into(),
        key_type: "A UUID that no other row of the user has. Empty: a random one.".into(),
        ..form(columns)
    };
    let ada = || facts("ada@example.org", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001");
    let mut extreme_new = new(hostile());
    (extreme_new.key_column, extreme_new.key_type) = (worst(), worst());
    for field in [&mut extreme_new.scope, &mut extreme_new.key] {
        *field = Field::new(worst());
        field.reject("This is too long.");
    }
    extreme_new.error = Some(worst());
    let extreme = || Some(RowFacts { version: Some(i64::MAX), ..facts(&worst(), &worst()) });
    let bare = RowFacts { version: None, ..facts("ada", "k") };
    let large = RowFacts { too_large: Some(8_000_000), ..facts("ada", "k") };
    let typed = RowForm { scope: Field::new("ada@example.org"), ..new(typical()) };
    [
        vec![
            sample("row-empty", &page(app_shell(), "tag", Some(bare), form(vec![]))),
            sample("row-typical", &page(app_shell(), "observation", Some(ada()), form(typical()))),
            sample("row-extreme", &page(extreme_owner(), &worst(), extreme(), form(hostile()))),
            sample("row-viewer", &page(extreme_shell(), &worst(), extreme(), form(typical()))),
            sample("row-large", &page(app_shell(), "observation", Some(large), form(vec![]))),
            sample("row-new-empty", &page(app_shell(), "tag", None, new(vec![]))),
            sample("row-new-typical", &page(app_shell(), "observation", None, typed)),
            sample("row-new-extreme", &page(extreme_owner(), &worst(), None, extreme_new)),
        ],
        row_conflicts(),
    ]
    .concat()
}

fn row_conflicts() -> Vec<Sample> {
    let column = |name: &str, yours: Option<&str>, now: Option<&str>| ConflictColumn {
        name: name.into(),
        yours: yours.map(Value::text),
        now: now.map(Value::text),
    };
    let typical = || RowConflictPage {
        shell: app_shell().at(Area::Tables),
        table: "observation".into(),
        scope: "ada@example.org".into(),
        key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001".into(),
        base: "41".into(),
        version: Some(44),
        columns: vec![
            column("species", Some("Parus major"), Some("Erithacus rubecula")),
            ConflictColumn { now: Some(Value::Null), ..column("count", None, None) },
        ],
        fields: vec![("op".into(), "UPDATE".into())],
    };
    let gone = RowConflictPage { version: None, columns: vec![], ..typical() };
    let columns = (0..COLUMNS).map(|n| column(&format!("{n} {}", worst()), Some(LONG), Some(RIGHT_TO_LEFT)));
    let extreme = RowConflictPage {
        shell: extreme_owner().at(Area::Tables),
        table: worst(),
        scope: worst(),
        key: worst(),
        base: i64::MAX.to_string(),
        version: Some(i64::MAX),
        columns: columns.collect(),
        fields: vec![(worst(), worst()); COLUMNS],
    };
    vec![
        sample("row-conflict-empty", &gone),
        sample("row-conflict-typical", &typical()),
        sample("row-conflict-extreme", &extreme),
    ]
}

fn run() -> DryRun {
    let line = |line, is_insert| ImportLine {
        line,
        scope: "ada@example.org".into(),
        key: format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4{line:04}"),
        is_insert,
        columns: vec!["species".into(), "count".into()],
    };
    DryRun {
        inserts: 1,
        updates: 1,
        unchanged: 310,
        scopes: 1,
        lines: vec![line(2, true), line(7, false)],
        seen: "abc".into(),
        ..DryRun::default()
    }
}

fn extreme_run() -> DryRun {
    let line = |line, is_insert| ImportLine {
        line,
        scope: worst(),
        key: worst(),
        is_insert,
        columns: vec![worst(); COLUMNS],
    };
    DryRun {
        inserts: i64::MAX / 2,
        updates: i64::MAX / 2,
        unchanged: i64::MAX,
        scopes: i64::MAX,
        lines: vec![line(2, true), line(i64::MAX, false)],
        is_renewed: true,
        tried_scopes: Some(25),
        seen: worst(),
        ..DryRun::default()
    }
}

fn imports() -> Vec<Sample> {
    let page = |csv: &str, outcome| ImportPage {
        shell: app_shell().at(Area::Tables),
        table: "observation".into(),
        key_column: "id".into(),
        columns: vec!["id".into(), "species".into(), "count".into()],
        form: ImportForm { csv: Field::new(csv), ..ImportForm::default() },
        outcome,
    };
    let extreme = |outcome| {
        let mut form = ImportForm { csv: Field::new(worst()), scope: Field::new(worst()), literal: true };
        form.csv.reject("The file has no such column.");
        form.scope.reject("This is too long.");
        ImportPage {
            shell: extreme_owner().at(Area::Tables),
            table: worst(),
            key_column: worst(),
            columns: vec![worst(); COLUMNS],
            form,
            ..page("", outcome)
        }
    };
    let problem = |line, sentence: &str| LineProblem { line, sentence: sentence.into() };
    let refused = DryRun {
        problems: vec![
            problem(Some(3), "count: It must be a whole number."),
            problem(None, "Lines 2 to 90, user ada: another row has the same value already (species)."),
        ],
        problem_count: 2,
        ..run()
    };
    let refused_throughout = DryRun {
        problems: vec![problem(Some(i64::MAX), &worst()); 100],
        problem_count: i64::MAX,
        ..extreme_run()
    };
    let report = |scope: &str, stopped: Option<String>| ImportReport {
        bundles: vec![WrittenPart { scope: scope.into(), seq: 44, rows: 5_000 }],
        rows: 5_000,
        stopped,
    };
    let stopped = "Lines 5002 to 9120 of user bob could not be written: another row has the same value already (species).";
    let usual = report("ada@example.org", Some(stopped.into()));
    let extreme_report = ImportReport {
        bundles: vec![report(&worst(), None).bundles.remove(0); PAGE],
        ..report("", Some(worst()))
    };
    let csv = "id,species\n1,Parus major\n";
    vec![
        sample("import-empty", &page("", ImportOutcome::None)),
        sample("import-typical", &page(csv, ImportOutcome::DryRun(run()))),
        sample("import-extreme", &extreme(ImportOutcome::DryRun(extreme_run()))),
        sample("import-refused", &page(csv, ImportOutcome::DryRun(refused))),
        sample("import-extreme-refused", &extreme(ImportOutcome::DryRun(refused_throughout))),
        sample("import-nothing", &page(csv, ImportOutcome::DryRun(DryRun::default()))),
        sample("import-stopped", &page("", ImportOutcome::Done(usual))),
        sample("import-extreme-stopped", &extreme(ImportOutcome::Done(extreme_report))),
    ]
}
