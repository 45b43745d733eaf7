//! Pages about what an app syncs: schema, tables, API reference.

use std::iter;

use syncline_web::{
    chart::{Chart, Hue, Series, Shape, Unit},
    forms::Field,
    pages::{docs::*, schema::*, schema_map::*, tables::*, values::*},
};
use time::Duration;

use super::*;

pub fn samples() -> Vec<Sample> {
    [schema(), maps(), tables(), docs()].concat()
}

fn column(name: &str, declared: &str, ty: &str) -> ColumnShape {
    ColumnShape {
        name: name.into(),
        declared: (!declared.is_empty()).then(|| declared.into()),
        ty: ty.into(),
        nullable: true,
        ..ColumnShape::default()
    }
}

fn observation(declared: bool) -> TableShape {
    let as_declared = |text: &'static str| if declared { text } else { "" };
    let mut columns = vec![
        column("id", as_declared("BLOB"), "uuid"),
        column("site_id", as_declared("BLOB"), "uuid"),
        column("species", as_declared("TEXT"), "text"),
        column("count", as_declared("INTEGER"), "bigint"),
        column("confirmed", as_declared("BOOLEAN"), "boolean"),
        column("seen_at", as_declared("DATETIME"), "text"),
    ];
    columns[0].is_key = true;
    columns[0].nullable = false;
    columns[1].reference = Some(ForeignKey { table: "site".into(), on_delete: Some("cascade".into()) });
    columns[4].default = Some("false".into());
    columns[5].is_new = declared;
    TableShape {
        name: "observation".into(),
        is_new: false,
        columns,
        rules: vec!["UNIQUE (site_id, species)".into(), "CHECK (count >= 0)".into()],
    }
}

/// 40 columns with names that are not of this world.
fn wide() -> TableShape {
    let columns = (0..40)
        .map(|number| column(&format!("{}_{number}", &LONG[..24]), HOSTILE, "timestamp without time zone"));
    let mut columns: Vec<_> = columns.chain(iter::once(column(RIGHT_TO_LEFT, HOSTILE, "text"))).collect();
    columns[3].reference = Some(ForeignKey { table: LONG.into(), on_delete: None });
    columns[4].default = Some(HOSTILE.into());
    TableShape {
        name: format!("{LONG}{HOSTILE}"),
        is_new: true,
        columns,
        rules: vec![LONG.into(), HOSTILE.into()],
    }
}

fn schema() -> Vec<Sample> {
    let ddl = "CREATE TABLE observation (\n  id BLOB PRIMARY KEY NOT NULL,\n  count INTEGR,\n  seen_at DATETIME\n);";
    let published = Published {
        version: 2,
        at: ago(Duration::days(4)),
        by: "maya@fieldnotes.example".into(),
        tables: vec![observation(false)],
        ddl: ddl.into(),
    };
    let page = |shell: Shell, published, ddl: &str, outcome| SchemaPage {
        shell: shell.at(Area::Schema),
        published,
        form: SchemaForm { ddl: ddl.into(), ..SchemaForm::default() },
        outcome,
    };
    let problems = vec![
        Problem {
            place: Some(Place::new(ddl, 3, 9)),
            reason: "INTEGR is no type that SQLite or PostgreSQL knows".into(),
            remedy: "Use INTEGER, REAL, TEXT, BLOB, BOOLEAN or NUMERIC.".into(),
        },
        Problem {
            place: None,
            reason: "column species of observation would be dropped, but devices with the older app version still send it".into(),
            remedy: "Keep the column; new app versions may leave it alone.".into(),
        },
    ];
    let preview = |tables, notes: usize| {
        Outcome::Preview(Box::new(Preview {
            dialect: "SQLite".into(),
            base_version: 2,
            next_version: 3,
            changes: vec!["Adds column seen_at to observation".into(), "Adds an index on observation (site_id)".into()],
            devices: "Devices built for version 2 go on syncing with the tables and columns they know. New builds use version 3.".into(),
            tables,
            warnings: vec![Remark { line: 5, text: "DATETIME becomes text, because devices write nanoseconds and PostgreSQL keeps microseconds.".into() }],
            notes: (0..notes).map(|_| Remark { line: 9, text: HOSTILE.into() }).collect(),
        }))
    };
    vec![
        sample("schema-empty", &page(app_shell(), None, "", Outcome::None)),
        sample("schema", &page(app_shell(), Some(published.clone()), "", Outcome::None)),
        sample("schema-refused", &page(app_shell(), Some(published), ddl, Outcome::Refused(problems))),
        sample("schema-preview", &page(app_shell(), None, ddl, preview(vec![observation(true)], 2))),
        sample("schema-extreme", &page(extreme_shell(), None, HOSTILE, preview(vec![wide()], 40))),
    ]
}

/// A schema of so many tables with references all over, circles among them.
fn maps() -> Vec<Sample> {
    let reference = |name: String, table: String| ColumnShape {
        reference: Some(ForeignKey { table, on_delete: None }),
        ..column(&name, "", "uuid")
    };
    let table = |number: usize, count: usize| {
        let mut columns = vec![ColumnShape { is_key: true, ..column("id", "", "uuid") }];
        for step in [3, 7, 11].into_iter().take(number % 4) {
            let parent = if number == 12 { 20 } else { number / step };
            columns.push(reference(format!("parent_{step}_id"), format!("table_{}", parent % count)));
        }
        columns.extend((0..number % 9).map(|n| column(&format!("column_{n}"), "", "text")));
        TableShape { name: format!("table_{number}"), columns, ..TableShape::default() }
    };
    let page = |shell: Shell, tables: &[TableShape]| SchemaMapPage {
        shell: shell.at(Area::Schema),
        map: SchemaMap::of(tables),
    };
    let many: Vec<TableShape> = (0..40).map(|number| table(number, 40)).collect();
    let mut site = observation(false);
    site.name = "site".into();
    site.columns = vec![
        ColumnShape { is_key: true, ..column("id", "", "uuid") },
        reference("parent_id".into(), "site".into()),
        column("name", "", "text"),
    ];
    let mut hostile = wide();
    hostile.columns.push(reference(HOSTILE.into(), hostile.name.clone()));
    vec![
        sample("map-empty", &page(app_shell(), &[])),
        sample("map", &page(app_shell(), &[site, observation(false)])),
        sample("map-forty", &page(app_shell(), &many)),
        sample("map-extreme", &page(extreme_shell(), &[hostile, wide()])),
    ]
}

fn grid(shell: Shell, shape: &TableShape, rows: Vec<GridRow>) -> RowGrid {
    let mut columns =
        shape.columns.iter().map(|column| GridColumn { name: column.name.clone(), ty: column.ty.clone() });
    let key = columns.next().expect("a table has a key");
    RowGrid {
        shell,
        table: shape.name.clone(),
        key,
        columns: columns.collect(),
        rows,
        first: None,
        previous: None,
        next: Some("?after=x".into()),
        looked_at: None,
        goes_on: false,
    }
}

fn grid_row(number: i64, scope: &str, values: Vec<Value>) -> GridRow {
    GridRow {
        scope: scope.into(),
        key: format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4{number:04}"),
        version: Some(40 + number),
        values,
        too_large: None,
    }
}

/// The rows of a user, with a condition that is refused.
fn filter(scope: &str) -> FilterForm {
    let conditions = if scope.is_empty() {
        vec![]
    } else {
        vec![ConditionForm {
            column: "count".into(),
            test: "at-least".into(),
            value: scope.into(),
            error: Some(format!("This is no number: {scope}")),
            without: "?".into(),
        }]
    };
    FilterForm {
        scope: Field::new(scope),
        conditions,
        columns: vec!["id".into(), "count".into(), format!("{scope}x")],
    }
}

fn writes() -> Chart {
    let series = |name: &str, hue, most: f64| Series {
        name: name.into(),
        hue,
        values: (0..30).map(|day| Some((most * f64::from(day % 7) / 6.0).round())).collect(),
    };
    Chart {
        id: "writes".into(),
        title: "Rows written".into(),
        headline: "31 882".into(),
        shape: Shape::Bars,
        unit: Unit::Count,
        start: NOW - Duration::days(29),
        step: Duration::DAY,
        series: vec![
            series("inserted", Hue::First, 1_204.0),
            series("changed", Hue::Third, 311.0),
            series("deleted", Hue::Wrong, 12.0),
        ],
        empty: "Nothing was written in these 30 days.".into(),
    }
}

fn tables() -> Vec<Sample> {
    let row = |name: &str, parents: &[&str], rows| TableRow {
        name: name.into(),
        key_column: "id".into(),
        key_kind: "uuid".into(),
        columns: 6,
        parents: parents.iter().map(|parent| (*parent).into()).collect(),
        rows,
        rows_exact: rows < 10_000,
        bytes: rows * 210,
        rows_written: rows / 3,
    };
    let list =
        |schema_version, tables| TablesPage { shell: app_shell().at(Area::Tables), schema_version, tables };
    let page = |shell: Shell, shape: TableShape, rows: Vec<GridRow>, scope: &str| TablePage {
        grid: grid(shell.clone(), &shape, rows),
        shell: shell.at(Area::Tables),
        shape,
        rows: 128_440,
        rows_exact: false,
        bytes: 48_120_332,
        writes: writes(),
        filter: filter(scope),
        is_filtered: !scope.is_empty(),
        is_right: true,
        exports: ["?csv".into(), "?ndjson".into()],
        problem: None,
    };
    let values = |number: i64| {
        vec![
            Value::text("0197f0c2-a4f8-7c3e-b1d2-f60a9be40001"),
            Value::text(["Erithacus rubecula", "Parus major", ""][(number % 3) as usize]),
            if number % 4 == 0 { Value::Null } else { Value::text(&number.to_string()) },
            Value::text("true"),
            Value::text("2026-07-15T11:58:04Z"),
        ]
    };
    let rows = (1..=14).map(|number| grid_row(number, "ada@example.org", values(number))).collect();
    let extreme = [
        Value::text(&LONG.repeat(9)),
        Value::Binary { bytes: 123_456_789 },
        Value::text(HOSTILE),
        Value::text(RIGHT_TO_LEFT),
    ];
    let extreme = vec![
        grid_row(1, RIGHT_TO_LEFT, extreme.iter().cycle().take(40).cloned().collect()),
        grid_row(2, HOSTILE, vec![Value::Null; 40]),
    ];
    vec![
        sample(
            "tables",
            &list(
                3,
                vec![
                    row("site", &[], 312),
                    row("observation", &["site"], 128_440),
                    row(LONG, &["site", "observation"], 0),
                ],
            ),
        ),
        sample("tables-empty", &list(0, vec![])),
        sample("table", &page(app_shell(), observation(false), rows, "")),
        sample("table-empty", &page(app_shell(), observation(false), vec![], "nobody")),
        sample("table-extreme", &page(extreme_shell(), wide(), extreme, HOSTILE)),
    ]
}

fn docs() -> Vec<Sample> {
    let document = include_str!("../../../openapi/syncline.json").replace("/t/{tenant}/{app}", "");
    let mut document: serde_json::Value =
        serde_json::from_str(&document).expect("the committed document is JSON");
    document["servers"][0]["url"] = BASE_URL.into();
    let page =
        |reference| DocsPage { shell: app_shell().at(Area::Docs), base_url: BASE_URL.into(), reference };
    vec![sample("docs", &page(Reference::read(&document))), sample("docs-empty", &page(Reference::default()))]
}
