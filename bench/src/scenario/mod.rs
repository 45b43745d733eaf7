//! The scenarios, a file each. A scenario sets up what it needs under user names that no other run has, then measures.

use std::{cell::RefCell, future::Future, rc::Rc, time::Duration};

use anyhow::Result;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    device::Device,
    figures::Recorder,
    process::Watched,
    rows::{Keys, PreparedPush, Row},
    target::Target,
};

pub(crate) mod apps;
pub(crate) mod bulk;
pub(crate) mod first_request;
pub(crate) mod growth;
pub(crate) mod noisy;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod snapshot;
pub(crate) mod watch;

/// What every scenario gets.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) target: Rc<Target>,
    pub(crate) watched: Watched,
    /// How long a closed loop runs.
    pub(crate) duration: Duration,
    /// Begins every user name of this run.
    pub(crate) name: String,
}

/// Shared by the workers of one run: all on one thread.
pub(crate) type SharedRecorder = Rc<RefCell<Recorder>>;

impl Run {
    pub(crate) fn new(target: Rc<Target>, watched: Watched, duration: Duration) -> Self {
        let name = uuid::Uuid::new_v4().simple().to_string();
        Self { target, watched, duration, name: format!("bench-{}", &name[..10]) }
    }

    pub(crate) fn user(&self, number: usize) -> String {
        format!("{}-u{number}", self.name)
    }

    pub(crate) fn recorder(&self) -> SharedRecorder {
        Rc::new(RefCell::new(Recorder::start(self.watched)))
    }

    /// Devices of as many users, connected and ready to push.
    pub(crate) async fn devices(&self, count: usize) -> Result<Vec<Device>> {
        let mut devices = Vec::with_capacity(count);
        for number in 0..count {
            devices.push(Device::ready(&self.target, &self.user(number), "bench-device").await?);
        }
        Ok(devices)
    }
}

/// The only owner's recorder.
pub(crate) fn finished(recorder: SharedRecorder) -> Recorder {
    Rc::into_inner(recorder).expect("BUG: a worker outlived the run").into_inner()
}

/// Run one worker a device, all at once, until all are done; answers their answers, in the order in which they came.
pub(crate) async fn at_once<D, T: 'static, F: Future<Output = T> + 'static>(
    devices: Vec<D>,
    mut work: impl FnMut(usize, D) -> F,
) -> Vec<T> {
    let mut workers = JoinSet::new();
    for (number, device) in devices.into_iter().enumerate() {
        workers.spawn_local(work(number, device));
    }
    workers.join_all().await
}

/// Push one row, commit, read it back, over and over until `end`.
pub(crate) async fn push_cycles(mut device: Device, end: Instant, recorder: SharedRecorder) -> Device {
    let mut keys = Keys::new();
    while Instant::now() < end {
        let push = PreparedPush::new(device.target(), &keys.rows(1));
        let began = std::time::Instant::now();
        let outcome = push_cycle(&mut device, &push).await;
        if recorder.borrow_mut().note(began, outcome).is_none() {
            // A failing server must not be hammered.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    device
}

/// One push cycle: create, chunks, commit, read back.
pub(crate) async fn push_cycle(device: &mut Device, push: &PreparedPush) -> Result<u64> {
    let committed = device.push(push).await?;
    device.read_back(&committed).await?;
    Ok(committed.bundle_seq)
}

/// Bring `rows` rows into the device's scope, in pushes of 5,000; answers one in 500 of them, with their versions.
pub(crate) async fn fill(device: &mut Device, keys: &mut Keys, rows: usize) -> Result<Vec<Row>> {
    let mut sample = Vec::new();
    let mut left = rows;
    while left > 0 {
        let count = left.min(5_000);
        let rows = keys.rows(count);
        let committed = device.push(&PreparedPush::new(device.target(), &rows)).await?;
        let versioned = |row: &Row| Row { base_version: committed.bundle_seq, ..row.clone() };
        sample.extend(rows.iter().step_by(500).map(versioned));
        left -= count;
    }
    Ok(sample)
}
