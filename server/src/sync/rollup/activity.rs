//! Which steps a device is new in: how devices are counted once a step without keeping who they were.
//!
//! Whoever writes down what a device did (`device/flush.rs`) holds its row and knows when it had been seen before, so
//! it is the only one to count it in the steps that have begun since.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::Step;

/// The steps in which a device counts that called from `first` to `last` and had been seen at `before`.
pub(in crate::sync) fn newly_active(
    before: Option<OffsetDateTime>,
    first: OffsetDateTime,
    last: OffsetDateTime,
) -> BTreeSet<(Step, OffsetDateTime)> {
    Step::ALL
        .into_iter()
        .flat_map(|step| [first, last].map(|at| (step, step.begin(at))))
        .filter(|(_, begin)| before.is_none_or(|before| before < *begin))
        .collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_device_is_new_once_in_every_step() {
        let at = datetime!(2026-07-15 12:30:59 UTC);
        let steps = |before, first, last| {
            newly_active(before, first, last).into_iter().map(|(step, _)| step).collect::<Vec<_>>()
        };
        assert_eq!(steps(None, at, at), Step::ALL);
        assert_eq!(steps(Some(at), at, at), []);
        let later = datetime!(2026-07-15 12:31:01 UTC);
        assert_eq!(steps(Some(at), later, later), [Step::Minute]);
        // Two minutes are touched between two flushes, the first of them was known.
        assert_eq!(steps(Some(at), at, later), [Step::Minute]);
        assert_eq!(
            steps(None, at, later),
            [Step::Minute, Step::Minute, Step::Hour, Step::QuarterDay, Step::Day]
        );
        let tomorrow = datetime!(2026-07-16 0:00 UTC);
        assert_eq!(steps(Some(at), tomorrow, tomorrow), Step::ALL);
    }
}
