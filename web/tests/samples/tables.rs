//! Tables and the rows in them.

use syncline_web::{
    chart::{Chart, Hue, Series, Shape, Unit},
    forms::Field,
    pages::{tables::*, values::*},
};
use time::Duration;

use super::{
    schema::{observation, wide},
    *,
};

pub fn samples() -> Vec<Sample> {
    [lists(), details()].concat()
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
        next: None,
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

/// The rows of a user.
fn filter(scope: &str, columns: &TableShape) -> FilterForm {
    let columns = columns.columns.iter().map(|column| column.name.clone()).collect();
    FilterForm { scope: Field::new(scope), conditions: vec![], columns }
}

/// Conditions that are all refused.
fn extreme_filter(columns: &TableShape) -> FilterForm {
    let mut filter = filter(&worst(), columns);
    filter.scope.reject("This is too long.");
    let condition = ConditionForm {
        column: worst(),
        test: "at-least".into(),
        value: worst(),
        error: Some(worst()),
        without: "?".into(),
    };
    FilterForm { conditions: vec![condition; 3], ..filter }
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

fn lists() -> Vec<Sample> {
    let row = |name: &str, parents: &[&str], rows| TableRow {
        name: name.into(),
        key_column: "id".into(),
        key_kind: "uuid".into(),
        columns: 6,
        parents: parents.iter().map(|parent| (*parent).into()).collect(),
        rows,
        rows_exact: rows < 10_000,
        bytes: rows.saturating_mul(210),
        rows_written: rows / 3,
    };
    let list = |shell: Shell, schema_version, tables| TablesPage {
        shell: shell.at(Area::Tables),
        schema_version,
        tables,
    };
    let typical = vec![row("site", &[], 312), row("observation", &["site"], 128_440), row("tag", &[], 0)];
    let extreme_row = |name: &str, rows| TableRow {
        key_column: worst(),
        columns: COLUMNS as i64,
        bytes: i64::MAX,
        ..row(name, &[LONG, HOSTILE, RIGHT_TO_LEFT], rows)
    };
    let extreme = full_page(&[
        extreme_row(LONG, i64::MAX),
        extreme_row(HOSTILE, 1),
        extreme_row(RIGHT_TO_LEFT, 0),
        extreme_row(&worst(), i64::MAX),
    ]);
    vec![
        sample("tables-empty", &list(app_shell(), 0, vec![])),
        sample("tables-typical", &list(app_shell(), 3, typical)),
        sample("tables-viewer-empty", &list(extreme_shell(), 0, vec![])),
        sample("tables-extreme", &list(extreme_shell(), i64::MAX, extreme)),
    ]
}

fn table_page(shell: Shell, shape: TableShape, rows: Vec<GridRow>) -> TablePage {
    TablePage {
        grid: grid(shell.clone(), &shape, rows),
        shell: shell.at(Area::Tables),
        filter: filter("", &shape),
        shape,
        rows: 128_440,
        rows_exact: false,
        bytes: 48_120_332,
        writes: writes(),
        is_filtered: false,
        is_right: true,
        exports: ["?csv".into(), "?ndjson".into()],
        problem: None,
    }
}

fn details() -> Vec<Sample> {
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
    let mut typical = table_page(app_shell(), observation(false), rows);
    typical.grid.next = Some("?after=x".into());
    let mut empty = table_page(app_shell(), observation(false), vec![]);
    (empty.rows, empty.rows_exact, empty.bytes) = (0, true, 16_384);
    empty.writes.headline.clear();
    empty.writes.series.iter_mut().for_each(|series| series.values.fill(Some(0.0)));
    let mut none = table_page(app_shell(), observation(false), vec![]);
    (none.filter, none.is_filtered) = (filter("nobody", &none.shape), true);
    let mut refused = table_page(extreme_shell(), wide(), vec![]);
    (refused.filter, refused.is_filtered) = (extreme_filter(&refused.shape), true);
    let slow = TablePage { problem: Some(worst()), ..table_page(extreme_shell(), wide(), vec![]) };
    vec![
        sample("table-empty", &empty),
        sample("table-typical", &typical),
        sample("table-extreme", &extreme_table()),
        sample("table-extreme-refused", &TablePage { is_right: false, ..refused }),
        sample("table-extreme-slow", &slow),
        sample("table-none", &none),
    ]
}

fn extreme_table() -> TablePage {
    let values = [
        Value::text(&LONG.repeat(9)),
        Value::Binary { bytes: i64::MAX },
        Value::text(HOSTILE),
        Value::text(RIGHT_TO_LEFT),
        Value::text(&worst()),
    ];
    let row =
        |scope: &str, values| GridRow { key: worst(), version: Some(i64::MAX), ..grid_row(1, scope, values) };
    let rows = full_page(&[
        row(&worst(), values.iter().cycle().take(COLUMNS - 1).cloned().collect()),
        row(LONG, vec![Value::Null; COLUMNS - 1]),
        GridRow { too_large: Some(i64::MAX), ..row(HOSTILE, vec![]) },
    ]);
    let mut page = table_page(extreme_owner(), wide(), rows);
    page.grid = RowGrid {
        first: Some(format!("?{HOSTILE}")),
        previous: Some(format!("?{HOSTILE}")),
        next: Some(format!("?{HOSTILE}")),
        looked_at: Some(i64::MAX),
        ..page.grid
    };
    (page.rows, page.bytes) = (i64::MAX, i64::MAX);
    (page.filter, page.is_filtered) = (extreme_filter(&page.shape), true);
    page
}
