//! An acknowledged commit survives kill -9 of the server and of its database, and is there once (DESIGN.md, promise 1).
//!
//! The real program runs with its private, durable PostgreSQL. Devices of two users push without pause while it is
//! killed and started again; they know nothing of that and recover by the protocol. Then history is read from its
//! beginning and held against everything that was tried and acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use tokio::task::JoinHandle;

use crate::{
    convergence::values,
    support::{
        app_for_devices::{AppForDevices, app_for_devices_on},
        device::{
            Appetite, Device, Resolution, Trouble,
            schema::{self, Profile, TABLES},
        },
        history::Historian,
        server::RealServer,
    },
};

const USERS: usize = 2;
const DEVICES: usize = 5;
/// Commits that must be acknowledged between two blows.
const COMMITS_BETWEEN: usize = 25;

/// What the devices share: how far they are, and whether they may stop.
#[derive(Debug, Default)]
struct Progress {
    acknowledged: AtomicUsize,
    pushing: AtomicUsize,
    writes: AtomicU32,
    enough: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_kill_9_of_the_server() {
    survive(Profile::Strings, Victim::Server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_kill_9_of_the_database() {
    survive(Profile::Numbers, Victim::Postgres).await;
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Server,
    Postgres,
}

async fn survive(profile: Profile, victim: Victim) {
    let mut server = RealServer::start().await;
    let app = app_for_devices_on(&server, profile).await;
    let progress = Arc::new(Progress::default());
    let mut tasks = Vec::new();
    for n in 0..DEVICES {
        let device = new_device(&app, n).await;
        tasks.push(tokio::spawn(work(device, user(n), Arc::clone(&progress))));
    }
    for round in 1..=4 {
        let wanted = round * COMMITS_BETWEEN;
        until(&tasks, || {
            progress.acknowledged.load(Ordering::SeqCst) >= wanted
                && progress.pushing.load(Ordering::SeqCst) > 0
        })
        .await;
        match victim {
            Victim::Server => {
                server.kill9();
                server.restart().await;
            }
            // The server starts it again by itself.
            Victim::Postgres => kill(server.postgres_pid(), Signal::SIGKILL).unwrap(),
        }
    }
    until(&tasks, || progress.acknowledged.load(Ordering::SeqCst) >= 5 * COMMITS_BETWEEN).await;
    progress.enough.store(true, Ordering::SeqCst);
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await.expect("a device that is not confused"));
    }
    come_to_rest(&mut devices).await;
    for user in 0..USERS {
        check(&app, &format!("user {user}"), devices.iter().skip(user).step_by(USERS)).await;
    }
}

fn user(device: usize) -> String {
    format!("user {}", device % USERS)
}

async fn new_device(app: &AppForDevices, n: usize) -> Device {
    let token = app.token(&user(n)).await;
    let mut device = app.device(&format!("device-{n}"), &token);
    device.transport.server_may_vanish = true;
    device.resolution = [Resolution::ServerWins, Resolution::ClientWins, Resolution::Merge][n % 3];
    device.appetite = Appetite { rows_per_chunk: 2, ..Appetite::default() };
    device
}

/// Write and sync without pause, until it is enough and nothing is left over.
async fn work(mut device: Device, marker: String, progress: Arc<Progress>) -> Device {
    while !progress.enough.load(Ordering::SeqCst) {
        let number = progress.writes.fetch_add(1, Ordering::SeqCst);
        for n in 0..4_u32 {
            let seed = number.wrapping_mul(2_654_435_761).wrapping_add(n);
            let id = values::key(&TABLES[(seed >> 8) as usize % TABLES.len()], (seed >> 16) as u8);
            let marker = format!("{marker} #{number}.{n}");
            if let Some(row) = values::row(&id, &marker, seed, device.rows()) {
                device.put(id, row);
            }
        }
        let before = acknowledged(&device);
        progress.pushing.fetch_add(1, Ordering::SeqCst);
        let synced = device.sync().await;
        progress.pushing.fetch_sub(1, Ordering::SeqCst);
        progress.acknowledged.fetch_add(acknowledged(&device) - before, Ordering::SeqCst);
        if synced.is_err() {
            // Down, or starting.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    device
}

fn acknowledged(device: &Device) -> usize {
    device.journal.attempts().iter().filter(|attempt| attempt.acknowledged.is_some()).count()
}

async fn come_to_rest(devices: &mut [Device]) {
    for round in 0.. {
        assert!(round < 200, "the devices do not come to rest");
        let before: Vec<_> = devices.iter().map(Device::checkpoint).collect();
        let mut at_rest = true;
        for device in &mut *devices {
            match device.sync().await {
                Ok(()) => {}
                Err(Trouble::Later | Trouble::Lost) => {
                    at_rest = false;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(trouble) => panic!("{}: {trouble:?}", device.name),
            }
        }
        if at_rest && devices.iter().map(Device::checkpoint).eq(before) {
            return;
        }
    }
}

async fn check(app: &AppForDevices, user: &str, devices: impl Iterator<Item = &Device>) {
    let devices: Vec<_> = devices.collect();
    let attempts: Vec<_> = devices.iter().flat_map(|device| device.journal.attempts()).collect();
    let token = app.token(user).await;
    let mut historian = Historian::new(app.device("historian", &token));
    historian.catch_up(&attempts, user).await;
    let past = historian.past();
    past.assert_acknowledged(app.profile, &attempts);

    let mut newcomer = app.device("newcomer", &token);
    newcomer.rebuild().await.expect("a snapshot");
    for device in devices.into_iter().chain([&newcomer]) {
        assert_eq!(device.checkpoint(), historian.latest(), "{} is behind", device.name);
        let differences = past.rows.differences(device.rows());
        assert!(differences.is_empty(), "{} differs:\n{}", device.name, differences.join("\n"));
        past.assert_versions(device.known());
    }
    assert!(schema::TABLES.iter().any(|table| !past.rows.keys(table.name).is_empty()), "nothing was written");
}

/// Poll until it is so, or a device has found a lie.
async fn until(tasks: &[JoinHandle<Device>], mut so: impl FnMut() -> bool) {
    while !so() {
        assert!(tasks.iter().all(|task| !task.is_finished()), "a device has given up");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
