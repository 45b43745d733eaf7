//! Many apps: a load on one app, then spread over all of them, each cycle in the next app.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Run, at_once, finished, push_cycle};
use crate::{
    device::Device,
    figures::{Figures, round},
    pace::Pace,
    process::resident_mib,
    rows::{Keys, PreparedPush},
    target::Target,
};

/// What asks for cycles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) users: usize,
    /// Cycles a second of each user, so that one app and many get the same load; None: as fast as they can, so that each gets
    /// what it can take.
    pub(crate) rate: Option<f64>,
}

/// Devices whose cycles go round `apps`. With one app in the list that is the figure to compare with.
pub(crate) async fn run(run: &Run, apps: &[Rc<Target>], load: Load) -> Result<Figures> {
    let users = load.users;
    let first = apps.first().context("no app given")?;
    let mut devices = Vec::with_capacity(users);
    for number in 0..users {
        devices.push(Device::open(first, &run.user(number), "bench-device").await?);
    }
    // Everybody is there before the clock starts: what is measured is pushing, not the first visit.
    let apps: Rc<[Rc<Target>]> = apps.into();
    warm_up(run, &mut devices, &apps).await?;

    let recorder = run.recorder();
    let turn = Rc::new(Cell::new(0_usize));
    let end = Instant::now() + run.duration;
    drop(
        at_once(devices, |number, mut device| {
            let (recorder, turn, apps) = (recorder.clone(), turn.clone(), apps.clone());
            let user = run.user(number);
            async move {
                let mut keys = Keys::new();
                let mut pace = load.rate.map(Pace::of);
                // The next number of this device's source in each app.
                let mut committed = vec![1_u64; apps.len()];
                while Instant::now() < end {
                    if let Some(pace) = &mut pace {
                        pace.turn().await;
                    }
                    let app = turn.get() % apps.len();
                    turn.set(turn.get() + 1);
                    let outcome = cycle_in(&mut device, &apps[app], &user, committed[app], &mut keys).await;
                    match outcome {
                        Ok(took) => {
                            committed[app] += 1;
                            recorder.borrow_mut().took(took);
                        }
                        Err(error) => recorder.borrow_mut().failed(&error),
                    }
                }
            }
        })
        .await,
    );
    let recorder = finished(recorder);
    let cycles = recorder.succeeded();
    let figures = recorder.end("apps", &first.base_url, cycles, "cycles/s");
    let memory = run.watched.server.map(|pid| round(resident_mib(pid)));
    let figures = figures.with("apps", apps.len()).with("users", users).with("rate_of_each", load.rate);
    Ok(figures.with("server_memory_after_mib", memory))
}

/// One cycle of every user in every app.
async fn warm_up(run: &Run, devices: &mut [Device], apps: &[Rc<Target>]) -> Result<()> {
    let mut keys = Keys::new();
    for (number, device) in devices.iter_mut().enumerate() {
        for app in apps {
            device.turn_to(app, &run.user(number), 0).await?;
            device.connect().await?;
            push_cycle(device, &PreparedPush::new(app, &keys.rows(1))).await?;
        }
    }
    Ok(())
}

async fn cycle_in(
    device: &mut Device,
    app: &Rc<Target>,
    user: &str,
    committed: u64,
    keys: &mut Keys,
) -> Result<Duration> {
    device.turn_to(app, user, committed).await?;
    let push = PreparedPush::new(app, &keys.rows(1));
    let began = Instant::now();
    push_cycle(device, &push).await?;
    Ok(began.elapsed())
}
