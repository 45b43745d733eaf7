//! Durations in fixed buckets: adding two histograms is adding their counts, whichever nodes and times they are of.
//!
//! The buckets grow by a fourth root of two, from a quarter of a millisecond to about a minute, so a percentile is told
//! within a fifth of what it is.

use std::time::Duration;

const BUCKETS: usize = 72;
/// Buckets in which durations double.
const PER_DOUBLING: f64 = 4.0;
/// The end of the first bucket.
const FIRST_ENDS_MS: f64 = 0.25;

/// How often durations of each bucket were measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram([u64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Histogram {
    pub fn measured(&mut self, took: Duration) {
        self.0[bucket(took.as_secs_f64() * 1_000.0)] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The duration in milliseconds that `part` of those measured did not exceed (0.95: p95). None: nothing was
    /// measured.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = (part * total as f64).ceil().clamp(1.0, total as f64);
        let mut below = 0.0;
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= rank {
                let begins = if bucket == 0 { 0.0 } else { ends_ms(bucket - 1) };
                return Some(begins + (ends_ms(bucket) - begins) * (rank - below) / count);
            }
            below += count;
        }
        None
    }

    /// The counts as they are stored: without the zeros at the end.
    pub(super) fn counts(&self) -> &[u64] {
        let used = self.0.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        &self.0[..used]
    }

    pub(super) fn of_counts(counts: &[i64]) -> Self {
        let mut histogram = Self::default();
        for (own, count) in histogram.0.iter_mut().zip(counts) {
            *own = u64::try_from(*count).unwrap_or(0);
        }
        histogram
    }
}

fn bucket(ms: f64) -> usize {
    let place = (PER_DOUBLING * (ms / FIRST_ENDS_MS).log2()).ceil();
    // What is shorter than the first bucket's end is below zero here.
    place.clamp(0.0, (BUCKETS - 1) as f64) as usize
}

fn ends_ms(bucket: usize) -> f64 {
    FIRST_ENDS_MS * (bucket as f64 / PER_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        micros.iter().for_each(|micros| histogram.measured(Duration::from_micros(*micros)));
        histogram
    }

    /// By the nearest rank, in milliseconds.
    fn exact(micros: &[u64], part: f64) -> f64 {
        let mut sorted = micros.to_vec();
        sorted.sort_unstable();
        let rank = (part * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted[rank - 1] as f64 / 1_000.0
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_fifth_of_the_exact_ones(
            micros in vec(prop_oneof![1_u64..2_000, 250_u64..100_000, 50_000_u64..50_000_000], 1..300),
            part in 0.01_f64..1.0,
        ) {
            let (told, exact) = (of(&micros).quantile(part).unwrap(), exact(&micros, part));
            // Below a quarter of a millisecond there is one bucket only.
            let slack = 0.25 + exact * 0.19;
            prop_assert!((told - exact).abs() <= slack, "told {told}, exact {exact}");
            if exact > 0.25 {
                prop_assert!(told / exact < 1.1893 && exact / told < 1.1893, "told {told}, exact {exact}");
            }
        }

        #[test]
        fn halves_that_are_added_are_the_whole(micros in vec(1_u64..60_000_000, 0..200), cut in 0_usize..200) {
            let (one, other) = micros.split_at(cut.min(micros.len()));
            let mut sum = of(one);
            sum.add(&of(other));
            prop_assert_eq!(&sum, &of(&micros));
            let stored: Vec<i64> = sum.counts().iter().map(|count| *count as i64).collect();
            prop_assert_eq!(Histogram::of_counts(&stored), sum);
        }
    }

    #[test]
    fn nothing_has_no_percentiles_and_extremes_have_a_bucket() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(Histogram::default().counts(), [] as [u64; 0]);
        assert_eq!(of(&[0]).total(), 1);
        let hour = of(&[3_600_000_000]).quantile(0.99).unwrap();
        assert!((50_000.0..60_000.0).contains(&hour), "{hour}");
    }
}
