//! Push cycles of one row (create, chunk, commit, read back), a number of users at once, each as fast as it can.

use anyhow::Result;
use tokio::time::Instant;

use super::{Run, at_once, finished, push_cycles};
use crate::figures::Figures;

pub(crate) async fn run(run: &Run, users: usize) -> Result<Figures> {
    let devices = run.devices(users).await?;
    let recorder = run.recorder();
    let end = Instant::now() + run.duration;
    drop(at_once(devices, |_, device| push_cycles(device, end, recorder.clone())).await);
    let recorder = finished(recorder);
    let cycles = recorder.succeeded();
    Ok(recorder.end("push1", &run.target.base_url, cycles, "cycles/s").with("users", users))
}
