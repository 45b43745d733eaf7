//! Pushes of many rows: create, chunks of 1,000, commit, read back in pages of 1,000. Bodies are built beforehand.

use std::{collections::VecDeque, time::Instant};

use anyhow::Result;

use super::{Run, at_once, finished, push_cycle};
use crate::rows::PreparedPush;
use crate::{figures::Figures, rows::Keys};

/// `pushes` pushes of `rows` rows by each of `users` users.
pub(crate) async fn run(run: &Run, users: usize, rows: usize, pushes: usize) -> Result<Figures> {
    let mut devices = run.devices(users).await?;
    let mut keys = Keys::new();
    let mut prepared = || PreparedPush::new(&run.target, &keys.rows(rows));
    // One before the clock starts: the first in a scope makes what later ones find.
    for device in &mut devices {
        push_cycle(device, &prepared()).await?;
    }
    let mut queues: VecDeque<Vec<PreparedPush>> =
        (0..users).map(|_| (0..pushes).map(|_| prepared()).collect()).collect();

    let recorder = run.recorder();
    drop(
        at_once(devices, |_, mut device| {
            let recorder = recorder.clone();
            let queue = queues.pop_front().unwrap_or_default();
            async move {
                for push in queue {
                    let began = Instant::now();
                    let outcome = push_cycle(&mut device, &push).await;
                    recorder.borrow_mut().note(began, outcome);
                }
            }
        })
        .await,
    );
    let recorder = finished(recorder);
    let pushed = recorder.succeeded() * rows as u64;
    let name = format!("push{rows}");
    Ok(recorder.end(name, &run.target.base_url, pushed, "rows/s").with("users", users))
}
