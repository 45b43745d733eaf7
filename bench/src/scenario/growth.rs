//! Does a push cost the same whatever is there already? One scope grows from 1,000 rows by factors of ten, and cycles of one
//! row, inserts and updates in turn, are measured at each size.

use std::time::Instant;

use anyhow::Result;

use super::{Run, fill, finished, push_cycle};
use crate::{
    device::Device,
    figures::Figures,
    rows::{Keys, PreparedPush, Row},
};

/// Cycles measured at each size.
const CYCLES: usize = 1_000;

/// One line a size.
pub(crate) async fn run(
    run: &Run,
    most_rows: usize,
    mut found: impl FnMut(Figures) -> Result<()>,
) -> Result<()> {
    let mut device = Device::ready(&run.target, &run.user(0), "bench-writer").await?;
    let mut keys = Keys::new();
    let mut known = Vec::new();
    let mut there = 0;
    let mut size = 1_000;
    while size <= most_rows {
        known.extend(fill(&mut device, &mut keys, size - there).await?);
        there = size;
        if size == 1_000 {
            // Cycles that nobody counts: connections and plans get warm.
            measure(run, &mut device, &mut keys, &mut known, there).await?;
        }
        found(measure(run, &mut device, &mut keys, &mut known, there).await?)?;
        size *= 10;
    }
    Ok(())
}

/// `known`: rows of the scope with their versions, from which the updated ones are drawn.
async fn measure(
    run: &Run,
    device: &mut Device,
    keys: &mut Keys,
    known: &mut [Row],
    there: usize,
) -> Result<Figures> {
    let recorder = run.recorder();
    for cycle in 0..CYCLES {
        let old = (cycle % 2 == 1).then(|| (keys.number() % known.len() as u64) as usize);
        let row = old.map_or_else(|| keys.row(), |old| known[old].clone());
        let push = PreparedPush::new(&run.target, std::slice::from_ref(&row));
        let began = Instant::now();
        let outcome = push_cycle(device, &push).await;
        let committed = recorder.borrow_mut().note(began, outcome);
        if let (Some(old), Some(version)) = (old, committed) {
            known[old].base_version = version;
            known[old].amount += 1;
        }
    }
    let recorder = finished(recorder);
    let cycles = recorder.succeeded();
    Ok(recorder.end("growth", &run.target.base_url, cycles, "cycles/s").with("rows_there", there))
}
