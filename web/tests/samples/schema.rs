//! The schema: published, about to be, and drawn.

use std::iter;

use syncline_web::pages::{schema::*, schema_map::*, tables::*};
use time::Duration;

use super::*;

pub fn samples() -> Vec<Sample> {
    [schema(), maps()].concat()
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

pub(super) fn observation(declared: bool) -> TableShape {
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
pub(super) fn wide() -> TableShape {
    let columns = (1..COLUMNS)
        .map(|number| column(&format!("{}_{number}", &LONG[..24]), HOSTILE, "timestamp without time zone"));
    let mut columns: Vec<_> = columns.chain(iter::once(column(RIGHT_TO_LEFT, HOSTILE, "text"))).collect();
    columns[1] = column(&worst(), &worst(), "text");
    columns[1].is_new = true;
    columns[3].reference = Some(ForeignKey { table: worst(), on_delete: Some("set null".into()) });
    columns[4].default = Some(worst());
    TableShape { name: worst(), is_new: true, columns, rules: vec![LONG.into(), HOSTILE.into(), worst()] }
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
    let nothing = Outcome::Preview(Box::new(Preview {
        base_version: 2,
        next_version: 2,
        changes: vec![],
        devices: String::new(),
        ..match preview(vec![], 0) {
            Outcome::Preview(preview) => Preview { warnings: vec![], ..*preview },
            _ => unreachable!("it is one"),
        }
    }));
    vec![
        sample("schema-empty", &page(app_shell(), None, "", Outcome::None)),
        sample("schema-typical", &page(app_shell(), Some(published.clone()), "", Outcome::None)),
        sample("schema-extreme", &page(extreme_owner(), Some(extreme_published()), &worst(), Outcome::None)),
        sample("schema-viewer-empty", &page(extreme_shell(), None, "", Outcome::None)),
        sample("schema-viewer", &page(extreme_shell(), Some(extreme_published()), "", Outcome::None)),
        sample(
            "schema-refused",
            &page(app_shell(), Some(published.clone()), ddl, Outcome::Refused(problems)),
        ),
        sample(
            "schema-extreme-refused",
            &page(extreme_owner(), None, &worst(), Outcome::Refused(extreme_problems())),
        ),
        sample("schema-preview-empty", &page(app_shell(), Some(published), ddl, nothing)),
        sample("schema-preview-typical", &page(app_shell(), None, ddl, preview(vec![observation(true)], 1))),
        sample("schema-preview-extreme", &page(extreme_owner(), None, HOSTILE, extreme_preview())),
    ]
}

fn extreme_published() -> Published {
    Published {
        version: i64::MAX,
        at: ago(Duration::days(4)),
        by: worst_email(),
        tables: vec![wide()],
        ddl: worst(),
    }
}

fn extreme_problems() -> Vec<Problem> {
    let problem = |place| Problem { place, reason: worst(), remedy: worst() };
    let text = [HOSTILE, LONG, RIGHT_TO_LEFT].concat();
    vec![
        problem(Some(Place::new(&text, 1, 60))),
        problem(Some(Place::new(&text, u64::MAX, u64::MAX))),
        problem(None),
    ]
}

fn extreme_preview() -> Outcome {
    let remarks = |line| vec![Remark { line, text: worst() }; COLUMNS];
    Outcome::Preview(Box::new(Preview {
        dialect: "PostgreSQL".into(),
        base_version: i64::MAX - 1,
        next_version: i64::MAX,
        changes: vec![worst(); COLUMNS],
        devices: worst(),
        tables: vec![wide()],
        warnings: remarks(u64::MAX),
        notes: remarks(1),
    }))
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
        sample("map-typical", &page(app_shell(), &[site, observation(false)])),
        sample("map-extreme", &page(extreme_shell(), &[hostile, wide()])),
        sample("map-forty", &page(app_shell(), &many)),
    ]
}
