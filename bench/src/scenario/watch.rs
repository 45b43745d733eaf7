//! Many open watch streams: what one costs the server in memory, and how soon after a commit its watchers hear of it.

use std::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Run, SharedRecorder, finished};
use crate::{
    device::Device,
    figures::{Figures, Times, histogram, round},
    process::resident_mib,
    rows::{Keys, PreparedPush},
};

/// Streams that share one local address: well below the ephemeral ports of one.
const STREAMS_AN_ADDRESS: usize = 5_000;
/// Streams that are being opened at the same time.
const OPENING_AT_ONCE: usize = 32;
/// Connections that commit, each in scopes of its own.
const WRITERS: usize = 32;

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) streams: usize,
    pub(crate) scopes: usize,
    /// Commits a second over all scopes.
    pub(crate) commits: f64,
}

/// One scope: its commits, and when they happened. Bundle `n` is at index `n - 1`.
#[derive(Default)]
struct Scope {
    asked: RefCell<Vec<Instant>>,
    answered: RefCell<Vec<Instant>>,
}

/// What all streams find.
struct Wakes {
    scopes: Vec<Scope>,
    /// Microseconds from asking for the commit to its event.
    since_asked: RefCell<Histogram<u64>>,
    /// Microseconds from the commit's answer to its event; 0 where the event came first.
    since_answered: RefCell<Histogram<u64>>,
    events: Cell<u64>,
    /// The latest bundle that each stream has heard of.
    heard: Vec<Cell<u64>>,
    broken: Cell<u64>,
}

pub(crate) async fn run(run: &Run, load: Load) -> Result<Figures> {
    ensure!(
        load.scopes >= WRITERS && load.streams >= load.scopes,
        "at least {WRITERS} scopes, a stream each"
    );
    let wakes = Rc::new(Wakes {
        scopes: (0..load.scopes).map(|_| Scope::default()).collect(),
        since_asked: RefCell::new(histogram()),
        since_answered: RefCell::new(histogram()),
        events: Cell::new(0),
        heard: (0..load.streams).map(|_| Cell::new(0)).collect(),
        broken: Cell::new(0),
    });
    let mut writers = Vec::with_capacity(WRITERS);
    for _ in 0..WRITERS {
        writers.push(Device::open(&run.target, &run.user(0), "bench-writer").await?);
    }
    for scope in 0..load.scopes {
        let writer = &mut writers[scope % WRITERS];
        writer.turn_to(&run.target, &run.user(scope), 0).await?;
        writer.connect().await?;
    }

    let memory = |pid: Option<u32>| pid.map_or(0.0, resident_mib);
    let before = memory(run.watched.server);
    let mut streams = open_streams(run, load, &wakes).await?;
    let open = memory(run.watched.server);

    let recorder = run.recorder();
    commit_for(run, load, writers, &wakes, &recorder).await;
    let missing = wait_for_the_last(load, &wakes).await;
    let after = memory(run.watched.server);
    let recorder = finished(recorder);
    let commits = recorder.succeeded();
    let mut figures = recorder.end("watch", &run.target.base_url, commits, "commits/s");
    streams.abort_all();
    while streams.join_next().await.is_some() {}

    figures.errors += missing + wakes.broken.get();
    let a_stream = |mib: f64| round((mib - before) * 1024.0 / load.streams as f64);
    Ok(figures
        .with("streams", load.streams)
        .with("scopes", load.scopes)
        .with("kib_a_stream_open", a_stream(open))
        .with("kib_a_stream_after", a_stream(after))
        .with("events", wakes.events.get())
        .with("streams_missing_the_last", missing)
        .with("wake_since_commit_asked", Times::of(&wakes.since_asked.borrow()))
        .with("wake_since_commit_answered", Times::of(&wakes.since_answered.borrow())))
}

/// Open all streams; each is read by a task of its own until aborted.
async fn open_streams(run: &Run, load: Load, wakes: &Rc<Wakes>) -> Result<JoinSet<()>> {
    let mut reading = JoinSet::new();
    let mut opening = JoinSet::new();
    for stream in 0..load.streams {
        let (target, user) = (run.target.clone(), run.user(stream % load.scopes));
        opening.spawn_local(async move {
            let address = Ipv4Addr::new(127, 0, 0, 2 + (stream / STREAMS_AN_ADDRESS) as u8);
            let source = format!("bench-watcher-{stream}");
            let mut device = Device::open_from(&target, &user, &source, address).await?;
            let body = device.watch(0).await?;
            anyhow::Ok((stream, device, body))
        });
        if opening.len() >= OPENING_AT_ONCE {
            keep(&mut reading, &mut opening, load, wakes).await?;
        }
    }
    while !opening.is_empty() {
        keep(&mut reading, &mut opening, load, wakes).await?;
    }
    Ok(reading)
}

async fn keep(
    reading: &mut JoinSet<()>,
    opening: &mut JoinSet<Result<(usize, Device, Incoming)>>,
    load: Load,
    wakes: &Rc<Wakes>,
) -> Result<()> {
    let (stream, device, body) =
        opening.join_next().await.context("BUG: nothing to wait for")??.context("open")?;
    let wakes = wakes.clone();
    reading.spawn_local(async move {
        // Closes the connection when the task ends.
        let _device = device;
        if listen(stream, stream % load.scopes, body, &wakes).await.is_err() {
            wakes.broken.set(wakes.broken.get() + 1);
        }
    });
    Ok(())
}

async fn listen(stream: usize, scope: usize, mut body: Incoming, wakes: &Wakes) -> Result<()> {
    let mut pending = Vec::new();
    while let Some(frame) = body.frame().await {
        let now = Instant::now();
        let Some(data) = frame?.into_data().ok() else { continue };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.windows(2).position(|two| two == b"\n\n") {
            if let Some(seq) = bundle_seq(&pending[..end]) {
                wakes.heard(stream, scope, seq, now)?;
            }
            pending.drain(..end + 2);
        }
    }
    bail!("the server ended the stream")
}

/// The bundle that an event names; None for a comment.
fn bundle_seq(event: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(event).ok()?;
    let (_, rest) = text.split_once("\"bundle_seq\":")?;
    let digits = rest.trim_start_matches([' ', '"']);
    digits[..digits.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()
}

impl Wakes {
    fn heard(&self, stream: usize, scope: usize, seq: u64, now: Instant) -> Result<()> {
        let micros = |since: Instant| now.saturating_duration_since(since).as_micros() as u64;
        let index = (seq as usize).checked_sub(1).context("an event for bundle 0")?;
        ensure!(seq > self.heard[stream].get(), "an event twice or out of order");
        self.heard[stream].set(seq);
        self.events.set(self.events.get() + 1);
        let scope = &self.scopes[scope];
        let asked = *scope.asked.borrow().get(index).context("an event for a commit not asked for")?;
        self.since_asked.borrow_mut().saturating_record(micros(asked));
        let answered = scope.answered.borrow().get(index).copied();
        self.since_answered.borrow_mut().saturating_record(answered.map_or(0, micros));
        Ok(())
    }
}

/// Commit at the wanted pace, each writer going round its own scopes.
async fn commit_for(
    run: &Run,
    load: Load,
    writers: Vec<Device>,
    wakes: &Rc<Wakes>,
    recorder: &SharedRecorder,
) {
    let end = Instant::now() + run.duration;
    let period = Duration::from_secs_f64(WRITERS as f64 / load.commits);
    super::at_once(writers, |number, mut device| {
        let (run, wakes, recorder) = (run.clone(), wakes.clone(), recorder.clone());
        async move {
            tokio::time::sleep(period.mul_f64(number as f64 / WRITERS as f64)).await;
            let mut keys = Keys::new();
            let mut pace = interval(period);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut turn = 0..;
            while Instant::now() < end {
                pace.tick().await;
                let turn = turn.next().unwrap_or_default();
                let scope = number + WRITERS * (turn % (load.scopes - number).div_ceil(WRITERS));
                let began = Instant::now();
                let outcome = commit(&run, &mut device, &wakes.scopes[scope], scope, &mut keys).await;
                recorder.borrow_mut().note(began, outcome);
            }
        }
    })
    .await;
}

async fn commit(run: &Run, device: &mut Device, times: &Scope, scope: usize, keys: &mut Keys) -> Result<()> {
    let committed = times.answered.borrow().len() as u64;
    device.turn_to(&run.target, &run.user(scope), committed).await?;
    let push_id = device.stage(&PreparedPush::new(&run.target, &keys.rows(1))).await?;
    times.asked.borrow_mut().push(Instant::now());
    match device.commit(&push_id, 1).await {
        Ok(_) => {
            times.answered.borrow_mut().push(Instant::now());
            Ok(())
        }
        Err(error) => {
            times.asked.borrow_mut().pop();
            Err(error)
        }
    }
}

/// Give the last events two seconds; answers how many streams never heard of their scope's last commit.
async fn wait_for_the_last(load: Load, wakes: &Wakes) -> u64 {
    let mut missing = 0;
    for _ in 0..200 {
        let last = |scope: usize| wakes.scopes[scope].answered.borrow().len() as u64;
        missing = (0..load.streams)
            .filter(|stream| wakes.heard[*stream].get() < last(stream % load.scopes))
            .count();
        if missing == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    missing as u64
}
