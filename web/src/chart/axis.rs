//! What stands at the edges of a chart: round numbers beside it, readable times below it.

use time::{
    Duration, OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description,
};

use super::Unit;

const DAY_AND_TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[day padding:none] [month repr:short], [hour]:[minute]");
const DAY: &[BorrowedFormatItem<'static>] = format_description!("[day padding:none] [month repr:short]");
const WEEKDAY: &[BorrowedFormatItem<'static>] =
    format_description!("[weekday repr:short] [day padding:none] [month repr:short]");
const TIME: &[BorrowedFormatItem<'static>] = format_description!("[hour]:[minute]");

/// More lines than this across a chart are a fence.
const MOST_TICKS: f64 = 4.0;
/// More times than this below a chart run into each other.
const MOST_LABELS: i64 = 7;
/// Between two labels, in minutes: what divides hours, days and weeks evenly.
const STRIDES: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 10_080, 20_160, 40_320, 80_640, 161_280,
    524_160,
];

/// From zero up in equal steps of a round size.
pub(super) struct Scale {
    step: f64,
    steps: usize,
}

impl Scale {
    /// The smallest that has room for `highest`.
    pub(super) fn up_to(highest: f64) -> Self {
        let highest = if highest.is_finite() { highest.max(1.0) } else { 1.0 };
        let rough = highest / MOST_TICKS;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|it| it * power).into_iter().find(|step| *step >= rough);
        // Nothing counted here comes in halves.
        let step = step.unwrap_or(10.0 * power).max(1.0);
        Self { step, steps: (highest / step).ceil().clamp(1.0, MOST_TICKS) as usize }
    }

    /// From the top down to zero.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = self.step;
        (0..=self.steps).rev().map(move |tick| tick as f64 * step)
    }

    /// How far below the top of a plot a value lies.
    pub(super) fn y(&self, value: f64, height: f64) -> f64 {
        let top = self.step * self.steps as f64;
        height * (1.0 - (value / top).clamp(0.0, 1.0))
    }
}

/// A time below a chart.
#[derive(Debug, PartialEq)]
pub(super) struct XLabel {
    /// In per cent.
    pub(super) x: f64,
    /// How the text lies about its place: `start`, `middle` or `end`.
    pub(super) anchor: &'static str,
    pub(super) text: String,
    /// On a phone there is no room for it.
    pub(super) is_minor: bool,
}

/// A few times that are round, each below the middle of the step that begins then.
pub(super) fn x_labels(start: OffsetDateTime, step: Duration, steps: usize) -> Vec<XLabel> {
    let minutes = step.whole_minutes().max(1);
    let whole = minutes.saturating_mul(i64::try_from(steps).unwrap_or(i64::MAX));
    let stride = STRIDES
        .into_iter()
        .filter(|stride| *stride >= minutes && stride % minutes == 0)
        .find(|stride| whole / stride <= MOST_LABELS)
        .unwrap_or_else(|| minutes.saturating_mul((steps as i64 / MOST_LABELS).max(1)));
    // Weeks begin on Monday; the epoch was a Thursday.
    let origin = if stride % 10_080 == 0 { 4 * 1440 } else { 0 };
    let is_round = |at: &OffsetDateTime| (at.unix_timestamp() / 60 - origin).rem_euclid(stride) < minutes;
    let mut labels: Vec<XLabel> = (0..steps)
        .map(|index| (index, start.saturating_add(step * i32::try_from(index).unwrap_or(i32::MAX))))
        .filter(|(_, at)| is_round(at))
        .map(|(index, at)| {
            let x = (index as f64 + 0.5) * 100.0 / steps as f64;
            let anchor = match x {
                ..4.0 => "start",
                96.0.. => "end",
                _ => "middle",
            };
            XLabel { x, anchor, text: label(at, stride), is_minor: false }
        })
        .collect();
    if labels.is_empty() && steps > 0 {
        labels.push(XLabel { x: 50.0, anchor: "middle", text: label(start, stride), is_minor: false });
    }
    if labels.len() > 4 {
        labels.iter_mut().skip(1).step_by(2).for_each(|label| label.is_minor = true);
    }
    labels
}

fn label(at: OffsetDateTime, stride: i64) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let is_midnight = at.hour() == 0 && at.minute() == 0;
    let format = if stride >= 1440 || is_midnight { DAY } else { TIME };
    at.format(format).unwrap_or_default()
}

/// A step as a person says it: `15 Jul, 12:30 UTC`, `15 Jul, 12:00–13:00 UTC`, `Wed 15 Jul`, `week of 13 Jul`.
pub(super) fn step_in_words(at: OffsetDateTime, step: Duration) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let said = |at: OffsetDateTime, format: &[BorrowedFormatItem<'_>]| at.format(format).unwrap_or_default();
    if step <= Duration::minutes(1) {
        format!("{} UTC", said(at, DAY_AND_TIME))
    } else if step < Duration::days(1) {
        format!("{}–{} UTC", said(at, DAY_AND_TIME), said(at.saturating_add(step), TIME))
    } else if step == Duration::days(1) {
        said(at, WEEKDAY)
    } else if step == Duration::weeks(1) {
        format!("week of {}", said(at, DAY))
    } else {
        format!("{} – {}", said(at, DAY), said(at.saturating_add(step), DAY))
    }
}

/// A number for the edge of a chart: `40`, `1.5k`, `20M`; `250 ms`, `1.5 s`.
pub(super) fn short(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds if value >= 1000.0 => format!("{} s", one_decimal(value / 1000.0)),
        Unit::Milliseconds => format!("{} ms", one_decimal(value)),
        Unit::Count => {
            let sizes = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
            sizes.into_iter().find(|(size, _)| value >= *size).map_or_else(
                || one_decimal(value),
                |(size, letter)| format!("{}{letter}", one_decimal(value / size)),
            )
        }
    }
}

/// A value in full: `12 480`, `3.4 ms`.
pub(super) fn exact(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds if value >= 1000.0 => format!("{:.2} s", value / 1000.0),
        Unit::Milliseconds if value < 10.0 => format!("{} ms", one_decimal(value)),
        Unit::Milliseconds => format!("{value:.0} ms"),
        Unit::Count => crate::filters::grouped(&format!("{value:.0}")),
    }
}

fn one_decimal(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_scale_is_round_and_has_room() {
        let of = |highest: f64| Scale::up_to(highest).ticks().collect::<Vec<_>>();
        assert_eq!(of(0.0), [1.0, 0.0]);
        assert_eq!(of(1.0), [1.0, 0.0]);
        assert_eq!(of(3.0), [3.0, 2.0, 1.0, 0.0]);
        assert_eq!(of(7.0), [8.0, 6.0, 4.0, 2.0, 0.0]);
        assert_eq!(of(1234.0), [1500.0, 1000.0, 500.0, 0.0]);
        for highest in (1..20_000).map(|number| f64::from(number) * 0.7) {
            let top = of(highest)[0];
            assert!(top >= highest.max(1.0) && top <= highest.max(1.0) * 2.5, "{highest}: {top}");
        }
    }

    #[test]
    fn times_below_a_chart_are_round_and_few() {
        let texts = |start, step, steps| -> Vec<String> {
            x_labels(start, step, steps).into_iter().map(|label| label.text).collect()
        };
        let noon = datetime!(2026-07-15 12:00 UTC);
        assert_eq!(
            texts(noon - Duration::minutes(59), Duration::minutes(1), 60),
            ["11:10", "11:20", "11:30", "11:40", "11:50", "12:00"]
        );
        assert_eq!(
            texts(noon - Duration::hours(23), Duration::hours(1), 24),
            ["16:00", "20:00", "15 Jul", "04:00", "08:00", "12:00"]
        );
        let midnight = datetime!(2026-07-15 0:00 UTC);
        assert_eq!(
            texts(midnight - Duration::days(29), Duration::days(1), 30),
            ["22 Jun", "29 Jun", "6 Jul", "13 Jul"]
        );
        assert_eq!(texts(noon, Duration::minutes(1), 1), ["12:00"]);
        assert!(texts(noon, Duration::minutes(1), 0).is_empty());
        for steps in 1..1000 {
            assert!((1..=9).contains(&texts(noon, Duration::hours(1), steps).len()), "{steps}");
        }
    }

    #[test]
    fn steps_are_said_as_a_person_says_them() {
        let at = datetime!(2026-07-15 12:30 UTC);
        assert_eq!(step_in_words(at, Duration::minutes(1)), "15 Jul, 12:30 UTC");
        assert_eq!(step_in_words(at, Duration::hours(1)), "15 Jul, 12:30–13:30 UTC");
        assert_eq!(step_in_words(at, Duration::days(1)), "Wed 15 Jul");
        assert_eq!(step_in_words(at, Duration::weeks(1)), "week of 15 Jul");
    }

    #[test]
    fn numbers_are_short_at_the_edge_and_whole_in_the_table() {
        assert_eq!(short(1500.0, Unit::Count), "1.5k");
        assert_eq!(short(20_000_000.0, Unit::Count), "20M");
        assert_eq!(short(250.0, Unit::Milliseconds), "250 ms");
        assert_eq!(short(1500.0, Unit::Milliseconds), "1.5 s");
        assert_eq!(exact(12_480.0, Unit::Count), "12\u{202f}480");
        assert_eq!(exact(3.42, Unit::Milliseconds), "3.4 ms");
    }
}
