//! A quiet app beside a noisy one: the quiet app's push cycles, at times that do not depend on the answers, alone and while
//! another app's devices push as fast as they can.

use std::{
    rc::Rc,
    sync::mpsc::{self, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tokio::{runtime::Builder, task::LocalSet};

use super::{Run, at_once, finished, push_cycle, push_cycles};
use crate::{
    device::Device,
    figures::{Figures, print_comparison},
    pace::Pace,
    rows::{Keys, PreparedPush},
    target::Target,
};

/// Quiet devices push flat out for so long before the clock starts.
const WARM_UP: Duration = Duration::from_millis(500);

/// How hard both press.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) quiet_users: usize,
    /// Cycles a second of each quiet user, at random times.
    pub(crate) quiet_rate: f64,
    pub(crate) noisy_users: usize,
}

/// The quiet app alone and beside the noise, turn by turn, and a last line with the medians of both.
pub(crate) async fn run(run: &Run, noisy: &Rc<Target>, load: Load, rounds: usize) -> Result<()> {
    let mut found = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let alone = quiet(run, load, &format!("noisy-before-{round}")).await?;
        alone.print()?;
        let noise = format!("{}-noise-{round}", run.name);
        let beside = beside_noise(run, noisy, load, noise, &format!("noisy-beside-{round}")).await?;
        beside.print()?;
        found[0].push(alone);
        found[1].push(beside);
    }
    let [alone, beside] = &found;
    print_comparison(&format!("beside {} noisy users against alone", load.noisy_users), beside, alone)
}

async fn beside_noise(
    run: &Run,
    noisy: &Rc<Target>,
    load: Load,
    noise: String,
    name: &str,
) -> Result<Figures> {
    let (target, watched) = (Target::clone(noisy), run.watched);
    // Noise before the first and after the last measured cycle.
    let duration = run.duration + Duration::from_secs(3);
    let (started, starts) = mpsc::channel();
    // On a thread of its own: a quiet device must not wait for what the driver does for the noisy ones.
    let making = thread::spawn(move || {
        let noise = Run { target: Rc::new(target), watched, duration, name: noise };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(LocalSet::new().run_until(make_noise(noise, load.noisy_users, started)))
    });
    // If it failed before it began, its own error says why.
    if starts.recv().is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let beside = quiet(run, load, name).await?;
    let noise = making.join().map_err(|_| anyhow!("the noise panicked"))?.context("there was no noise")?;
    Ok(beside
        .with("noise_rate", noise.rate)
        .with("noise_users", load.noisy_users)
        .with("noise_errors", noise.errors))
}

/// Push as fast as `users` devices can; `started` hears when they are ready.
async fn make_noise(run: Run, users: usize, started: Sender<()>) -> Result<Figures> {
    let devices = run.devices(users).await?;
    started.send(())?;
    let recorder = run.recorder();
    let end = tokio::time::Instant::now() + run.duration;
    drop(at_once(devices, |_, device| push_cycles(device, end, recorder.clone())).await);
    let recorder = finished(recorder);
    let cycles = recorder.succeeded();
    Ok(recorder.end("noise", &run.target.base_url, cycles, "cycles/s"))
}

async fn quiet(run: &Run, load: Load, name: &str) -> Result<Figures> {
    let mut devices = Vec::new();
    for number in 0..load.quiet_users {
        let source = format!("bench-{name}-{number}");
        devices.push(Device::ready(&run.target, &run.user(number), &source).await?);
    }
    // What a connection's first push costs is not what is asked.
    let devices = at_once(devices, |_, device| {
        let end = tokio::time::Instant::now() + WARM_UP;
        push_cycles(device, end, run.recorder())
    })
    .await;
    let recorder = run.recorder();
    let end = Instant::now() + run.duration;
    drop(
        at_once(devices, |_, mut device| {
            let recorder = recorder.clone();
            async move {
                let (mut keys, mut pace) = (Keys::new(), Pace::of(load.quiet_rate));
                while Instant::now() < end {
                    pace.turn().await;
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
