//! Time series as pictures: drawn by the server as SVG, without script or inline style.
//!
//! A [`Chart`] is one to three [`Series`] over equal steps of time. It is as wide as its place and its text is never
//! scaled: what lies across is given in per cent, what stands up in pixels. Colours are classes (`css/charts.css`), so a
//! chart follows the theme. Each step says its values on hover, and a table that unfolds says them all to those who
//! read or hear rather than look.
//!
//! `{{ chart|safe }}` puts it into a page; its `id` has to be unique there.

mod axis;

use std::fmt::Write as _;

use askama::Template;
use time::{Duration, OffsetDateTime};

use self::axis::{Scale, XLabel, short, step_in_words, x_labels};

/// How high the plot is, in pixels.
const HEIGHT: f64 = 132.0;
/// How wide the drawing of lines is in its own units, whatever its place.
const WIDTH: f64 = 1000.0;
/// The part of a step that its bar fills.
const BAR: f64 = 0.72;

/// One to three series over time.
#[derive(Debug, Clone, PartialEq, Template)]
#[template(path = "components/_chart.html")]
pub struct Chart {
    /// For the ids of its parts: letters and hyphens, unique on the page.
    pub id: String,
    pub title: String,
    /// What it comes to, in a word or two, beside the title: `1 204`, `p95 38 ms`. May be empty.
    pub headline: String,
    pub shape: Shape,
    pub unit: Unit,
    /// When the first step begins.
    pub start: OffsetDateTime,
    /// How long each step is: a minute or more.
    pub step: Duration,
    pub series: Vec<Series>,
    /// What to say in place of the drawing when no step has a value but zero.
    pub empty: String,
}

/// The values of one kind, a step each.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    pub hue: Hue,
    /// None: not measured in this step, which breaks a line.
    pub values: Vec<Option<f64>>,
}

/// How the values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A bar a step; several series are stacked.
    Bars,
    /// A line for each series.
    Lines,
}

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Milliseconds,
}

/// The colour of a series, by what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    First,
    Second,
    Third,
    Heed,
    Wrong,
}

impl Hue {
    /// The class in `css/charts.css`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "hue-1",
            Self::Second => "hue-2",
            Self::Third => "hue-3",
            Self::Heed => "hue-heed",
            Self::Wrong => "hue-wrong",
        }
    }
}

/// A step with everything that is drawn in it or said of it.
struct Slot {
    /// Where it begins and how wide it is, in per cent.
    x: f64,
    width: f64,
    bars: Vec<Bar>,
    /// `15 Jul, 12:30 UTC: 4 commits, 2 conflicts`.
    said: String,
}

struct Bar {
    hue: &'static str,
    /// In per cent.
    x: f64,
    width: f64,
    /// In pixels.
    y: f64,
    height: f64,
}

impl Chart {
    fn steps(&self) -> usize {
        self.series.iter().map(|series| series.values.len()).max().unwrap_or(0)
    }

    fn at(&self, step: usize) -> OffsetDateTime {
        self.start.saturating_add(self.step * i32::try_from(step).unwrap_or(i32::MAX))
    }

    fn is_empty(&self) -> bool {
        !self.series.iter().any(|series| series.values.iter().flatten().any(|value| *value > 0.0))
    }

    /// The highest that is drawn: of a stack, its top.
    fn highest(&self) -> f64 {
        let in_step = |step: usize| {
            let values = self.series.iter().filter_map(move |series| series.value(step));
            match self.shape {
                Shape::Bars => values.sum::<f64>(),
                Shape::Lines => values.fold(0.0, f64::max),
            }
        };
        (0..self.steps()).map(in_step).fold(0.0, f64::max)
    }

    fn scale(&self) -> Scale {
        Scale::up_to(self.highest())
    }

    fn height(&self) -> f64 {
        HEIGHT
    }

    /// Where the lines across lie, in pixels from above, the highest first.
    fn grid(&self) -> Vec<f64> {
        let scale = self.scale();
        scale.ticks().map(|tick| scale.y(tick, HEIGHT)).collect()
    }

    /// What stands beside those lines.
    fn y_labels(&self) -> Vec<String> {
        self.scale().ticks().map(|tick| short(tick, self.unit)).collect()
    }

    fn x_labels(&self) -> Vec<XLabel> {
        x_labels(self.start, self.step, self.steps())
    }

    /// The steps that have something to say.
    fn slots(&self) -> Vec<Slot> {
        let (steps, scale) = (self.steps(), self.scale());
        let width = 100.0 / steps.max(1) as f64;
        let slot = |step: usize| {
            let x = step as f64 * width;
            Slot { x, width, bars: self.bars(step, x, width, &scale), said: self.said(step) }
        };
        (0..steps).filter(|step| self.has_something(*step)).map(slot).collect()
    }

    fn has_something(&self, step: usize) -> bool {
        self.series.iter().any(|series| series.value(step).is_some_and(|value| value > 0.0))
    }

    fn bars(&self, step: usize, x: f64, width: f64, scale: &Scale) -> Vec<Bar> {
        if self.shape != Shape::Bars {
            return Vec::new();
        }
        let mut below = 0.0;
        let mut bars = Vec::new();
        for series in &self.series {
            let value = series.value(step).unwrap_or(0.0);
            if value <= 0.0 {
                continue;
            }
            let (bottom, top) = (scale.y(below, HEIGHT), scale.y(below + value, HEIGHT));
            // However little it is, it can be seen.
            let height = (bottom - top).max(2.0);
            bars.push(Bar {
                hue: series.hue.as_str(),
                x: x + width * (1.0 - BAR) / 2.0,
                width: width * BAR,
                y: (bottom - height).max(0.0),
                height,
            });
            below += value;
        }
        bars
    }

    /// The line of a series as the data of a path, and its values between two gaps, which are dots.
    fn paths(&self, series: &Series) -> (String, String) {
        let (scale, width) = (self.scale(), WIDTH / self.steps().max(1) as f64);
        let (mut line, mut dots) = (String::new(), String::new());
        let mut before = None;
        for step in 0..series.values.len() {
            let value = series.value(step);
            if let Some(value) = value {
                let (x, y) = ((step as f64 + 0.5) * width, scale.y(value, HEIGHT));
                let _ = match (before, series.value(step + 1)) {
                    (None, None) => write!(dots, "M{x:.1} {y:.1}h0"),
                    (None, Some(_)) => write!(line, "M{x:.1} {y:.1}"),
                    (Some(_), _) => write!(line, "L{x:.1} {y:.1}"),
                };
            }
            before = value;
        }
        (line, dots)
    }

    fn said(&self, step: usize) -> String {
        let values: Vec<String> = self
            .series
            .iter()
            .map(|series| format!("{} {}", series.name, self.value_in_words(series.value(step))))
            .collect();
        format!("{}: {}", step_in_words(self.at(step), self.step), values.join(", "))
    }

    fn value_in_words(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| axis::exact(value, self.unit))
    }

    /// The steps that have something, the latest first: what the table shows.
    fn table(&self) -> Vec<(String, Vec<String>)> {
        (0..self.steps())
            .rev()
            .filter(|step| self.has_something(*step))
            .map(|step| {
                let values = self.series.iter().map(|series| self.value_in_words(series.value(step)));
                (step_in_words(self.at(step), self.step), values.collect())
            })
            .collect()
    }

    /// What the picture shows, in a sentence.
    fn description(&self) -> String {
        let steps = self.steps();
        if steps == 0 || self.is_empty() {
            return self.empty.clone();
        }
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        format!(
            "{}, from {} to {}. Highest: {}. The values are in the table below.",
            names.join(", "),
            step_in_words(self.at(0), self.step),
            step_in_words(self.at(steps - 1), self.step),
            axis::exact(self.highest(), self.unit),
        )
    }
}

impl Series {
    pub fn new(name: impl Into<String>, hue: Hue, values: Vec<Option<f64>>) -> Self {
        Self { name: name.into(), hue, values }
    }

    /// Of counts: a step without any is zero and not a gap.
    pub fn of_counts(name: impl Into<String>, hue: Hue, counts: impl IntoIterator<Item = i64>) -> Self {
        Self::new(name, hue, counts.into_iter().map(|count| Some(count as f64)).collect())
    }

    /// What can be drawn: neither below zero nor without end.
    fn value(&self, step: usize) -> Option<f64> {
        self.values.get(step).copied().flatten().filter(|value| value.is_finite()).map(|value| value.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn chart(shape: Shape, series: Vec<Series>) -> Chart {
        Chart {
            id: "commits".into(),
            title: "Commits".into(),
            headline: String::new(),
            shape,
            unit: Unit::Count,
            start: datetime!(2026-07-15 11:00 UTC),
            step: Duration::minutes(1),
            series,
            empty: "No device has pushed in this time.".into(),
        }
    }

    #[test]
    fn bars_stand_on_the_ground_and_on_each_other() {
        let series = vec![
            Series::of_counts("sealed", Hue::First, [0, 6]),
            Series::of_counts("lost", Hue::Heed, [0, 2]),
        ];
        let slots = chart(Shape::Bars, series).slots();
        let [slot] = &slots[..] else { panic!("one step has something") };
        let [sealed, lost] = &slot.bars[..] else { panic!("two bars") };
        assert!((sealed.y + sealed.height - HEIGHT).abs() < 1e-9);
        assert!((lost.y + lost.height - sealed.y).abs() < 1e-9);
        assert!((sealed.height / lost.height - 3.0).abs() < 1e-9);
        assert_eq!(slot.said, "15 Jul, 11:01 UTC: sealed 6, lost 2");
    }

    #[test]
    fn what_was_not_measured_breaks_a_line_and_a_lonely_value_is_a_dot() {
        let series = Series::new("p50", Hue::First, vec![Some(1.0), Some(2.0), None, Some(4.0)]);
        let chart = chart(Shape::Lines, vec![series.clone()]);
        let (line, dots) = chart.paths(&series);
        assert_eq!((line.as_str(), dots.as_str()), ("M125.0 99.0L375.0 66.0", "M875.0 0.0h0"));
    }

    #[test]
    fn nothing_and_a_single_step_can_be_drawn() {
        let nothing = chart(Shape::Bars, vec![]);
        assert!(nothing.render().unwrap().contains("No device has pushed in this time."));
        let zeros = chart(Shape::Lines, vec![Series::of_counts("sealed", Hue::First, [0, 0])]);
        assert!(zeros.render().unwrap().contains("No device has pushed in this time."));
        let one = chart(Shape::Bars, vec![Series::of_counts("sealed", Hue::First, [1])]).render().unwrap();
        assert!(!one.contains("No device has pushed") && one.contains("15 Jul, 11:00 UTC"));
    }

    #[test]
    fn what_is_no_number_is_not_drawn() {
        let odd = vec![Some(f64::NAN), Some(f64::INFINITY), Some(-3.0), Some(1e300)];
        let html = chart(Shape::Lines, vec![Series::new("odd", Hue::First, odd)]).render().unwrap();
        assert!(!html.contains("NaN") && !html.contains("inf\""));
    }

    #[test]
    fn names_are_escaped() {
        let html = chart(Shape::Bars, vec![Series::of_counts("<b>", Hue::First, [1])]).render().unwrap();
        assert!(!html.contains("<b>"));
    }
}
