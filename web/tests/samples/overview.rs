//! The overview: with nothing, while somebody sets it up, busy, and beyond measure.

use syncline_web::{
    chart::{Chart, Hue, Series, Shape, Unit},
    pages::{conflicts::Outcome, history::Op, overview::*, rejected_writes::*, values::Tone},
};
use time::Duration;

use super::{conflicts, devices, *};

const TABLES: [(&str, &str); 2] = [("site", "id"), ("observation", "id")];

pub fn samples() -> Vec<Sample> {
    let setup = |steps: [bool; 4]| Setup {
        has_tables: steps[0],
        has_key: steps[1],
        has_device: steps[2],
        has_bundle: steps[3],
        newcomer: (steps[2] && !steps[3]).then(|| FirstDevice {
            scope: "ada@example.org".into(),
            source: "pixel-9-4f1c".into(),
            last_seen_at: ago(Duration::seconds(3)),
        }),
    };
    let calm = figures(app_shell(), 42);
    let mut quiet = figures(app_shell(), 1);
    (quiet.trouble, quiet.conflicts, quiet.rejections) = (vec![], vec![], vec![]);
    quiet.last_commit_at = Some(ago(Duration::days(20)));
    let mut newcomer = figures(app_shell(), 1);
    (newcomer.trouble, newcomer.conflicts, newcomer.rejections) = (vec![], vec![], vec![]);
    newcomer.last_commit_at = None;
    let one = |charts: Vec<Chart>| charts.into_iter().map(single).collect();
    vec![
        sample(
            "overview-typical",
            &page(app_shell(), None, calm, Range::Day, charts(24, Duration::hours(1), 40.0), &TABLES),
        ),
        sample(
            "overview-quiet",
            &page(app_shell(), None, quiet, Range::Week, charts(28, Duration::hours(6), 0.0), &TABLES),
        ),
        sample(
            "overview-empty",
            &page(app_shell(), Some(setup([false; 4])), nothing(), Range::Hour, vec![], &[]),
        ),
        sample(
            "overview-waiting",
            &page(
                app_shell(),
                Some(setup([true, true, false, false])),
                nothing(),
                Range::Hour,
                vec![],
                &TABLES,
            ),
        ),
        sample(
            "overview-newcomer",
            &page(
                app_shell(),
                Some(setup([true, true, true, false])),
                newcomer,
                Range::Hour,
                one(charts(60, Duration::minutes(1), 1.0)),
                &TABLES,
            ),
        ),
        sample("overview-extreme", &extreme_overview()),
        sample("overview-extreme-newcomer", &extreme_newcomer()),
    ]
}

fn page(
    shell: Shell,
    setup: Option<Setup>,
    figures: Figures,
    range: Range,
    charts: Vec<Chart>,
    tables: &[(&str, &str)],
) -> OverviewPage {
    OverviewPage {
        shell: shell.clone().at(Area::Overview),
        base_url: BASE_URL.into(),
        steps: setup.map(|setup| Steps { shell: shell.clone(), setup }),
        figures,
        activity: Activity { shell, range, charts },
        quick_start: QuickStart {
            base_url: BASE_URL.into(),
            logical_schema: "main".into(),
            tables: tables.iter().map(|(table, key)| ((*table).into(), (*key).into())).collect(),
            numbers_profile: false,
        },
    }
}

fn figures(shell: Shell, many: i64) -> Figures {
    let write = |message: &str, state| RejectedWriteRow {
        id: "rej_0197f0c2a4f87c3eb1d2f60a9be41d55".into(),
        last_at: ago(Duration::minutes(3)),
        code: "push_commit_invalid".into(),
        message: message.into(),
        table: Some("observation".into()),
        scope: "ada@example.org".into(),
        source: "pixel-9-4f1c".into(),
        attempts: 14,
        state,
    };
    let troubled = |source, scope| devices::device(source, scope, devices::rejected(), 3);
    Figures {
        counted: 10_000,
        shell: shell.at(Area::Overview),
        status: Status {
            tone: if many > 1 { Tone::Bad } else { Tone::Good },
            label: if many > 1 { "Needs attention" } else { "Syncing" }.into(),
            sentence: "2 refused writes block their devices: they download nothing until these are settled."
                .into(),
        },
        users: many * 3,
        devices: Devices { all: many * 7, today: many * 5, refused: many / 20, silent: many / 4 },
        tables: 4,
        open_conflicts: many / 7,
        open_rejections: many / 9,
        last_commit_at: Some(ago(Duration::seconds(34))),
        last_hour: LastHour {
            commits: many * 31,
            rows_pushed: many * 140,
            pulls: many * 93,
            rows_served: many * 811,
        },
        trouble: vec![
            troubled("pixel-9-4f1c", "ada@example.org"),
            troubled("8d1f0b52-5e17-4d3c-9d86-6f7a4c1c0f1e", "grace@example.org"),
        ],
        conflicts: vec![
            conflicts::row("observation", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001", Op::Update, Outcome::Open),
            conflicts::row(
                "site",
                "0197f0c2-a4f8-7c3e-b1d2-f60a9be40002",
                Op::Delete,
                Outcome::AcceptedServer,
            ),
            conflicts::row("site", "north-meadow", Op::Update, Outcome::Merged),
        ],
        rejections: vec![
            write(
                "A row of \"observation\" breaks the unique constraint on site_id, species.",
                WriteState::Open,
            ),
            write("The column count of \"observation\" must be a whole number.", WriteState::Open),
        ],
    }
}

/// Before any device has called.
fn nothing() -> Figures {
    Figures {
        counted: 10_000,
        users: 0,
        devices: Devices::default(),
        tables: 0,
        open_conflicts: 0,
        open_rejections: 0,
        last_commit_at: None,
        last_hour: LastHour::default(),
        trouble: vec![],
        conflicts: vec![],
        rejections: vec![],
        ..figures(app_shell(), 0)
    }
}

/// Waves, so that every run draws the same.
fn wave(steps: usize, most: f64, shift: f64) -> Vec<f64> {
    (0..steps)
        .map(|step| {
            let at = step as f64 + shift;
            (most * (0.5 + 0.3 * (at / 4.7).sin() + 0.2 * (at * 1.9).cos())).max(0.0).round()
        })
        .collect()
}

fn charts(steps: usize, step: Duration, most: f64) -> Vec<Chart> {
    let chart = |id: &str, title: &str, headline: &str, shape, unit, series| Chart {
        id: id.into(),
        title: title.into(),
        headline: headline.into(),
        shape,
        unit,
        start: NOW - step * (steps as i32 - 1),
        step,
        series,
        empty: "Nothing in this time.".into(),
    };
    let counts = |name: &str, hue, part, shift| {
        Series::new(name, hue, wave(steps, most * part, shift).into_iter().map(Some).collect())
    };
    let seldom = |name: &str, hue, every: usize| {
        let values = wave(steps, most / 8.0, 3.0).into_iter().enumerate();
        Series::new(
            name,
            hue,
            values.map(|(at, value)| Some(if at % every == 0 { value } else { 0.0 })).collect(),
        )
    };
    let latency = |name: &str, hue, scale: f64| {
        let values = wave(steps, most, 1.0).into_iter().enumerate();
        Series::new(
            name,
            hue,
            values
                .map(|(at, value)| (!(8..12).contains(&at) && most > 0.0).then_some(value * scale + scale))
                .collect(),
        )
    };
    let lines =
        |factor: f64| vec![latency("p50", Hue::First, 0.2 * factor), latency("p95", Hue::Second, factor)];
    vec![
        chart(
            "commits",
            "Commits",
            "1 302",
            Shape::Bars,
            Unit::Count,
            vec![counts("commits", Hue::First, 1.0, 0.0)],
        ),
        chart(
            "rows",
            "Rows",
            "5 880 in, 34 062 out",
            Shape::Bars,
            Unit::Count,
            vec![counts("pushed", Hue::First, 4.0, 0.0), counts("served", Hue::Third, 26.0, 2.0)],
        ),
        chart(
            "pulls",
            "Pulls",
            "3 906",
            Shape::Bars,
            Unit::Count,
            vec![counts("pulls", Hue::Third, 3.0, 1.0)],
        ),
        chart(
            "failures",
            "Conflicts and refusals",
            "12 and 7",
            Shape::Bars,
            Unit::Count,
            vec![seldom("conflicts", Hue::Heed, 5), seldom("refusals", Hue::Wrong, 7)],
        ),
        chart(
            "devices",
            "Active devices",
            "up to 38",
            Shape::Bars,
            Unit::Count,
            vec![counts("devices", Hue::Second, 1.0, 4.0)],
        ),
        chart(
            "commit-latency",
            "Latency of push commits",
            "p95 38 ms",
            Shape::Lines,
            Unit::Milliseconds,
            lines(1.0),
        ),
        chart("pull-latency", "Latency of pulls", "p95 9.1 ms", Shape::Lines, Unit::Milliseconds, lines(0.3)),
    ]
}

/// Only its last step has something.
fn single(mut chart: Chart) -> Chart {
    for series in &mut chart.series {
        let last = series.values.len() - 1;
        series.values.iter_mut().take(last).for_each(|value| *value = None);
        series.values[last] = Some(1.0);
    }
    chart.headline = String::new();
    chart
}

fn extreme_overview() -> OverviewPage {
    let mut figures = figures(extreme_owner(), 98_765_432_109);
    (figures.status.label, figures.status.sentence) = (LONG.into(), worst());
    figures.trouble = devices::extreme_rows();
    figures.conflicts = conflicts::extreme_rows();
    for write in &mut figures.rejections {
        (write.message, write.source, write.attempts) = (worst(), worst(), i64::MAX);
    }
    let mut charts = charts(30, Duration::days(1), 9.9e12);
    charts[0].title = worst();
    charts[0].headline = worst();
    charts[5].series.push(Series::new(LONG, Hue::Third, vec![Some(f64::INFINITY), None, Some(8.0e7), None]));
    let mut page = page(extreme_owner(), None, figures, Range::Month, charts, &[]);
    page.base_url = format!("https://{0}.example.org/t/{0}/{0}", "x".repeat(40));
    page.quick_start = QuickStart {
        base_url: page.base_url.clone(),
        logical_schema: LONG.into(),
        tables: vec![(worst(), worst()); COLUMNS],
        numbers_profile: true,
    };
    page
}

fn extreme_newcomer() -> OverviewPage {
    let newcomer = FirstDevice { scope: worst(), source: worst(), last_seen_at: ago(Duration::days(1)) };
    let setup = Setup {
        has_tables: true,
        has_key: false,
        has_device: true,
        has_bundle: false,
        newcomer: Some(newcomer),
    };
    page(extreme_owner(), Some(setup), nothing(), Range::Hour, vec![], &TABLES)
}
