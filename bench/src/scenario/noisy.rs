//! A quiet app beside a noisy one: the quiet app's push cycles, at a steady pace, alone and while another app's devices push
//! as fast as they can.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use super::{Run, at_once, finished, push_cycle, push_cycles};
use crate::{
    device::Device,
    figures::{Figures, round},
    rows::{Keys, PreparedPush},
    target::Target,
};

/// How hard both press.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) quiet_users: usize,
    /// Cycles a second of each quiet user.
    pub(crate) quiet_rate: f64,
    pub(crate) noisy_users: usize,
}

/// The quiet app alone, then beside the noise; answers both lines, the second with the growth of the p95.
pub(crate) async fn run(run: &Run, noisy: &Rc<Target>, load: Load) -> Result<[Figures; 2]> {
    let alone = quiet(run, load, "noisy-before").await?;

    let noise = Run { target: noisy.clone(), name: format!("{}-noise", run.name), ..run.clone() };
    let devices = noise.devices(load.noisy_users).await?;
    let recorder = noise.recorder();
    // Noise before the first and after the last measured cycle.
    let end = tokio::time::Instant::now() + run.duration + Duration::from_secs(2);
    let noise_recorder = recorder.clone();
    let making = tokio::task::spawn_local(async move {
        drop(at_once(devices, |_, device| push_cycles(device, end, noise_recorder.clone())).await);
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let beside = quiet(run, load, "noisy-beside").await?;
    making.await?;
    let recorder = finished(recorder);
    let cycles = recorder.succeeded();
    let noise = recorder.end("noise", &noisy.base_url, cycles, "cycles/s");

    let growth = round(beside.times.p95_ms / alone.times.p95_ms);
    let beside = beside
        .with("p95_growth", growth)
        .with("noise_rate", noise.rate)
        .with("noise_users", load.noisy_users);
    Ok([alone, beside.with("noise_errors", noise.errors)])
}

async fn quiet(run: &Run, load: Load, name: &str) -> Result<Figures> {
    let mut devices = Vec::new();
    for number in 0..load.quiet_users {
        let source = format!("bench-{name}-{number}");
        devices.push(Device::ready(&run.target, &run.user(number), &source).await?);
    }
    let recorder = run.recorder();
    let end = Instant::now() + run.duration;
    let period = Duration::from_secs_f64(1.0 / load.quiet_rate);
    drop(
        at_once(devices, |_, mut device| {
            let recorder = recorder.clone();
            async move {
                let mut keys = Keys::new();
                let mut pace = interval(period);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while Instant::now() < end {
                    pace.tick().await;
                    let push = PreparedPush::new(device.target(), &keys.rows(1));
                    let began = Instant::now();
                    let outcome = push_cycle(&mut device, &push).await;
                    recorder.borrow_mut().note(began, outcome);
                }
            }
        })
        .await,
    );
    let recorder = finished(recorder);
    let cycles = recorder.succeeded();
    let figures = recorder.end(name, &run.target.base_url, cycles, "cycles/s");
    Ok(figures.with("quiet_users", load.quiet_users))
}
