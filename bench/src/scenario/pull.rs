//! Pulling 2,000 bundles of 5 rows from the beginning, in pages of 1,000, by a number of devices of that user at once.

use std::{rc::Rc, time::Instant};

use anyhow::{Result, ensure};

use super::{Run, at_once, finished};
use crate::{
    device::Device,
    figures::{Figures, round},
    rows::{Keys, PreparedPush},
};

const BUNDLES: usize = 2_000;
const ROWS_A_BUNDLE: usize = 5;
const BUNDLES_A_PAGE: usize = 1_000;

/// Fill the scope that [`run`] reads; answers nothing but takes a while.
pub(crate) async fn prepare(run: &Run) -> Result<()> {
    let mut device = Device::ready(&run.target, &run.user(0), "bench-writer").await?;
    let mut keys = Keys::new();
    for _ in 0..BUNDLES {
        device.push(&PreparedPush::new(&run.target, &keys.rows(ROWS_A_BUNDLE))).await?;
    }
    Ok(())
}

pub(crate) async fn run(run: &Run, clients: usize) -> Result<Figures> {
    let mut devices = Vec::with_capacity(clients);
    for number in 0..clients {
        devices.push(Device::open(&run.target, &run.user(0), &format!("bench-reader-{number}")).await?);
    }
    let recorder = run.recorder();
    let bytes = Rc::new(std::cell::Cell::new(0));
    let end = Instant::now() + run.duration;
    drop(
        at_once(devices, |_, mut device| {
            let (recorder, bytes) = (recorder.clone(), bytes.clone());
            async move {
                while Instant::now() < end {
                    let began = Instant::now();
                    let outcome = pull_all(&mut device).await;
                    let Some(read) = recorder.borrow_mut().note(began, outcome) else { return };
                    bytes.set(bytes.get() + read);
                }
            }
        })
        .await,
    );
    let recorder = finished(recorder);
    let bundles = recorder.succeeded() * BUNDLES as u64;
    let figures = recorder.end("pull", &run.target.base_url, bundles, "bundles/s");
    let rows_rate = round(figures.rate * ROWS_A_BUNDLE as f64);
    let mib_rate = round(bytes.get() as f64 / figures.seconds / (1024.0 * 1024.0));
    Ok(figures.with("clients", clients).with("rows_a_second", rows_rate).with("mib_a_second", mib_rate))
}

async fn pull_all(device: &mut Device) -> Result<usize> {
    let received = device.pull(0, BUNDLES_A_PAGE).await?;
    ensure!(received.bundles == BUNDLES, "{} bundles pulled", received.bundles);
    ensure!(received.rows == BUNDLES * ROWS_A_BUNDLE, "{} rows pulled", received.rows);
    Ok(received.bytes)
}
