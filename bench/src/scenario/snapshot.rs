//! Snapshots of a big scope: the first build with all its chunks, the same again by a second device at the same bundle, and
//! by several at once right after a new commit.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Run, at_once, fill, finished};
use crate::{
    device::{Device, Received},
    figures::Figures,
    rows::{Keys, PreparedPush},
};

/// Fill the scope with `rows` rows.
pub(crate) async fn prepare(run: &Run, rows: usize) -> Result<()> {
    let mut device = Device::ready(&run.target, &run.user(0), "bench-writer").await?;
    fill(&mut device, &mut Keys::new(), rows).await.map(drop)
}

/// One device reads the whole scope; `first` says whether the snapshot has to be built, which a commit sees to.
pub(crate) async fn run(
    run: &Run,
    rows: usize,
    chunk_rows: usize,
    clients: usize,
    first: bool,
) -> Result<Figures> {
    let mut expected = rows;
    if first {
        let name = format!("bench-writer-{}", uuid::Uuid::new_v4().simple());
        let mut writer = Device::ready(&run.target, &run.user(0), &name).await?;
        writer.push(&PreparedPush::new(&run.target, &Keys::new().rows(1))).await?;
        expected += 1;
    }
    let mut devices = Vec::with_capacity(clients);
    for number in 0..clients {
        devices.push(Device::open(&run.target, &run.user(0), &format!("bench-reader-{number}")).await?);
    }

    let recorder = run.recorder();
    let received = at_once(devices, |_, mut device| {
        let recorder = recorder.clone();
        async move {
            let began = Instant::now();
            let outcome = hydrate(&mut device, expected, chunk_rows).await;
            recorder.borrow_mut().note(began, outcome)
        }
    })
    .await;
    let received: Vec<_> = received.into_iter().flatten().collect();
    let read: usize = received.iter().map(|(_, received)| received.rows).sum();
    let built = received.iter().map(|(build, _)| *build).fold(0.0, f64::max);
    let name = if first { "snapshot-first" } else { "snapshot-again" };
    let figures = finished(recorder).end(name, &run.target.base_url, read as u64, "rows/s");
    Ok(figures.with("clients", clients).with("rows", rows).with("longest_post_ms", built))
}

/// Open a session and read all of it; answers how long the POST took (ms) and what came.
async fn hydrate(device: &mut Device, rows: usize, chunk_rows: usize) -> Result<(f64, Received)> {
    let began = Instant::now();
    let session = device.open_snapshot().await?;
    let build = began.elapsed().as_secs_f64() * 1e3;
    // Earlier rounds may have added a row each.
    ensure!(
        session.row_count >= rows,
        "a snapshot of {} rows at {}",
        session.row_count,
        session.snapshot_bundle_seq
    );
    Ok((build, device.read_snapshot(&session, chunk_rows).await?))
}
