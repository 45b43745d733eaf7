//! What a run found: one line of JSON a run.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::process::{Observation, Usage, Watched};

/// Collects the times and failures of one run.
pub(crate) struct Recorder {
    micros: Histogram<u64>,
    started: Instant,
    errors: u64,
    first_error: Option<String>,
    observation: Observation,
}

/// One run's line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) scenario: String,
    pub(crate) target: String,
    pub(crate) seconds: f64,
    /// Operations a second that succeeded.
    pub(crate) rate: f64,
    /// What an operation is.
    pub(crate) unit: &'static str,
    #[serde(flatten)]
    pub(crate) times: Times,
    pub(crate) errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<Usage>,
    /// Figures that only this scenario has.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Times in microseconds, up to ten minutes.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("BUG: the histogram's bounds are wrong")
}

impl Times {
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        let ms = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: micros.len(),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            max_ms: micros.max() as f64 / 1e3,
        }
    }
}

impl Recorder {
    pub(crate) fn start(watched: Watched) -> Self {
        Self {
            micros: histogram(),
            started: Instant::now(),
            errors: 0,
            first_error: None,
            observation: watched.observe(),
        }
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.micros.saturating_record(time.as_micros() as u64);
    }

    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Operations that were timed, which is those that succeeded.
    pub(crate) fn succeeded(&self) -> u64 {
        self.micros.len()
    }

    /// Record what came of one operation that began at `began`; answers what it brought.
    pub(crate) fn note<T>(&mut self, began: Instant, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.took(began.elapsed());
                Some(value)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// The run is over: `operations` of `unit` succeeded in it.
    pub(crate) fn end(
        self,
        scenario: impl Into<String>,
        target: &str,
        operations: u64,
        unit: &'static str,
    ) -> Figures {
        let seconds = self.started.elapsed().as_secs_f64();
        let (server, postgres) = self.observation.end();
        Figures {
            scenario: scenario.into(),
            target: target.to_owned(),
            seconds: round(seconds),
            rate: round(operations as f64 / seconds),
            unit,
            times: Times::of(&self.micros),
            errors: self.errors,
            first_error: self.first_error,
            server,
            postgres,
            more: Map::new(),
        }
    }
}

impl Figures {
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("BUG: a figure is not JSON");
        self.more.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn print(&self) -> Result<()> {
        print_line(self)
    }
}

/// Write one line of JSON to standard output.
pub(crate) fn print_line(line: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    Ok(out.flush()?)
}

/// Three decimals are enough for every figure here.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Write a line with the medians of several runs, of `one` before those of `other`, and ratios of the first to the second.
pub(crate) fn print_comparison(what: &str, one: &[Figures], other: &[Figures]) -> Result<()> {
    let medians = |of: fn(&Figures) -> f64| [one, other].map(|figures| median(figures, of));
    let ratio = |[one, other]: [f64; 2]| round(one / other);
    let rates = medians(|figures| figures.rate);
    let p50 = medians(|figures| figures.times.p50_ms);
    let p95 = medians(|figures| figures.times.p95_ms);
    let errors = [one, other].map(|figures| figures.iter().map(|figures| figures.errors).sum::<u64>());
    print_line(&json!({
        "compare": what,
        "rounds": one.len(),
        "rates": rates,
        "rate_ratio": ratio(rates),
        "p50_ms": p50,
        "p50_ratio": ratio(p50),
        "p95_ms": p95,
        "p95_ratio": ratio(p95),
        "errors": errors,
    }))
}

/// Of none, not a number.
fn median(figures: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}
