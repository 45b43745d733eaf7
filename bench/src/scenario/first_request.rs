//! How long until a server that is being started serves an authenticated request: knock until it does.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Run, finished};
use crate::{device::Device, figures::Figures};

/// After this it is not coming.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(run: &Run) -> Result<Figures> {
    let recorder = run.recorder();
    let began = Instant::now();
    while let Err(error) = knock(run).await {
        if began.elapsed() > PATIENCE {
            bail!(error.context("the server did not come up"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    recorder.borrow_mut().took(began.elapsed());
    Ok(finished(recorder).end("first-request", &run.target.base_url, 1, "requests/s"))
}

async fn knock(run: &Run) -> Result<()> {
    Device::open(&run.target, &run.user(0), "bench-device").await?.capabilities().await
}
