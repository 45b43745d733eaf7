//! A range of time, step by step, as the overview draws it.

use std::collections::HashMap;

use sqlx::FromRow;
use time::{Duration, OffsetDateTime};

use super::{Step, Tally, histogram::Histogram};
use crate::{ops::database::in_schema, sync::Engine, tables::catalog::AppCatalog};

/// How far back one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Hour,
    Day,
    Week,
    Month,
}

impl Range {
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    pub const fn step(self) -> Step {
        match self {
            Self::Hour => Step::Minute,
            Self::Day => Step::Hour,
            Self::Week => Step::QuarterDay,
            Self::Month => Step::Day,
        }
    }

    const fn steps(self) -> i32 {
        match self {
            Self::Hour => 60,
            Self::Day => 24,
            Self::Week => 28,
            Self::Month => 30,
        }
    }
}

/// A range of time, its steps in order and none left out; the last one is not over yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollups {
    pub range: Range,
    /// When the first step begins.
    pub start: OffsetDateTime,
    pub points: Vec<Point>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Point {
    pub tally: Tally,
    pub active_devices: i64,
}

impl Rollups {
    /// The whole range in one. Devices cannot be added up: one that called in two steps would count twice.
    pub fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.points.iter().for_each(|point| sum.add(&point.tally));
        sum
    }
}

const STEPS: &str = "select r.at, r.commits, r.rows_pushed, r.pulls, r.rows_served, r.conflicts, r.refusals,
        r.active_devices, r.commit_latency, r.pull_latency
    from {schema}._sync_rollup r
    where r.step = $1 and r.at >= $2
    order by r.at
    limit $3";

#[derive(Debug, FromRow)]
struct Row {
    at: OffsetDateTime,
    commits: i64,
    rows_pushed: i64,
    pulls: i64,
    rows_served: i64,
    conflicts: i64,
    refusals: i64,
    active_devices: i64,
    commit_latency: Vec<i64>,
    pull_latency: Vec<i64>,
}

impl Engine {
    /// What happened in an app within a range that ends now.
    pub async fn rollups(&self, app: &AppCatalog, range: Range) -> Result<Rollups, sqlx::Error> {
        let (step, steps) = (range.step(), range.steps());
        let start = step.begin(self.clock.now()) - step.duration() * (steps - 1);
        let query = sqlx::query_as(in_schema(&app.schema, STEPS))
            .bind(step.seconds())
            .bind(start)
            // One more: another node's clock may have begun the next step.
            .bind(i64::from(steps) + 1);
        let rows: Vec<Row> = self.apps.all(&app.schema, query).await?;
        let mut known: HashMap<OffsetDateTime, Row> = rows.into_iter().map(|row| (row.at, row)).collect();
        let begins = (0..steps).map(|index| start + step.duration() * index);
        let points = begins.map(|at| known.remove(&at).map(Row::into_point).unwrap_or_default()).collect();
        Ok(Rollups { range, start, points })
    }
}

impl Rollups {
    pub fn step(&self) -> Duration {
        self.range.step().duration()
    }
}

impl Row {
    fn into_point(self) -> Point {
        Point {
            tally: Tally {
                commits: self.commits,
                rows_pushed: self.rows_pushed,
                pulls: self.pulls,
                rows_served: self.rows_served,
                conflicts: self.conflicts,
                refusals: self.refusals,
                commit_latency: Histogram::of_counts(&self.commit_latency),
                pull_latency: Histogram::of_counts(&self.pull_latency),
            },
            active_devices: self.active_devices,
        }
    }
}
