//! What the rollups of an app look like.

use syncline_web::chart::{Chart, Hue, Series, Shape, Unit};
use time::Duration;

use crate::sync::rollup::{
    Tally,
    histogram::Histogram,
    read::{Point, Rollups},
};

/// One chart for each thing that is counted.
pub(super) fn of(rollups: &Rollups) -> Vec<Chart> {
    let sum = rollups.sum();
    let make = Maker { rollups };
    let commits = make.counted(
        "commits",
        "Commits",
        grouped(sum.commits),
        "No bundle was committed.",
        &[("commits", Hue::First, |point| point.tally.commits)],
    );
    let rows = make.counted(
        "rows",
        "Rows",
        format!("{} in, {} out", grouped(sum.rows_pushed), grouped(sum.rows_served)),
        "No row was pushed or served.",
        &[
            ("pushed", Hue::First, |point| point.tally.rows_pushed),
            ("served", Hue::Third, |point| point.tally.rows_served),
        ],
    );
    let pulls = make.counted(
        "pulls",
        "Pulls",
        grouped(sum.pulls),
        "No device pulled.",
        &[("pulls", Hue::Third, |point| point.tally.pulls)],
    );
    let failures = make.counted(
        "failures",
        "Conflicts and refusals",
        format!("{} and {}", grouped(sum.conflicts), grouped(sum.refusals)),
        "No conflict, and no request was refused.",
        &[
            ("conflicts", Hue::Heed, |point| point.tally.conflicts),
            ("refusals", Hue::Wrong, |point| point.tally.refusals),
        ],
    );
    let most = rollups.points.iter().map(|point| point.active_devices).max().unwrap_or(0);
    let devices = make.counted(
        "devices",
        "Active devices",
        if most > 0 { format!("up to {}", grouped(most)) } else { String::new() },
        "No device called.",
        &[("devices", Hue::Second, |point| point.active_devices)],
    );
    let commit =
        make.latency("commit-latency", "Latency of push commits", &sum, |tally| &tally.commit_latency);
    let pull = make.latency("pull-latency", "Latency of pulls", &sum, |tally| &tally.pull_latency);
    vec![commits, rows, pulls, failures, devices, commit, pull]
}

struct Maker<'a> {
    rollups: &'a Rollups,
}

/// The name of a series, its colour, and where its counts are.
type Counted = (&'static str, Hue, fn(&Point) -> i64);

impl Maker<'_> {
    fn counted(&self, id: &str, title: &str, headline: String, empty: &str, series: &[Counted]) -> Chart {
        let series = series
            .iter()
            .map(|(name, hue, of)| Series::of_counts(*name, *hue, self.rollups.points.iter().map(of)))
            .collect();
        Chart { headline, series, ..self.chart(id, title, empty) }
    }

    fn latency(&self, id: &str, title: &str, sum: &Tally, of: fn(&Tally) -> &Histogram) -> Chart {
        let line = |name: &str, hue, part| {
            let values = self.rollups.points.iter().map(|point| of(&point.tally).quantile(part)).collect();
            Series::new(name, hue, values)
        };
        let headline = of(sum).quantile(0.95).map_or_else(String::new, |p95| format!("p95 {}", spoken(p95)));
        Chart {
            headline,
            shape: Shape::Lines,
            unit: Unit::Milliseconds,
            series: vec![line("p50", Hue::First, 0.5), line("p95", Hue::Second, 0.95)],
            ..self.chart(id, title, "Nothing was measured.")
        }
    }

    fn chart(&self, id: &str, title: &str, empty: &str) -> Chart {
        let step: Duration = self.rollups.step();
        Chart {
            id: id.to_owned(),
            title: title.to_owned(),
            headline: String::new(),
            shape: Shape::Bars,
            unit: Unit::Count,
            start: self.rollups.start,
            step,
            series: Vec::new(),
            empty: empty.to_owned(),
        }
    }
}

fn grouped(count: i64) -> String {
    syncline_web::filters::grouped(&count.to_string())
}

fn spoken(ms: f64) -> String {
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        10.0..1_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}
