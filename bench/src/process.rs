//! What the server's processes use, read from /proc: CPU seconds and memory of the server, and of the PostgreSQL under it.

use std::{collections::HashMap, fs, time::Duration};

use serde::Serialize;
use tokio::{task::JoinHandle, time::interval};

/// Ticks a second of the times in /proc/PID/stat; 100 on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes to watch; nothing is measured of what is not named.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watched {
    pub(crate) server: Option<u32>,
    /// The postmaster.
    pub(crate) postgres: Option<u32>,
}

/// One side's use over a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// Resident memory when the run began, in MiB (PostgreSQL: shared buffers counted once).
    pub(crate) memory_start_mib: f64,
    /// The highest seen in the run.
    pub(crate) memory_peak_mib: f64,
}

/// A run under way.
pub(crate) struct Observation {
    watched: Watched,
    server_cpu: f64,
    server_start: f64,
    postgres_cpu: f64,
    postgres_start: f64,
    postgres_peak: Option<JoinHandle<()>>,
    peak: std::rc::Rc<std::cell::Cell<f64>>,
}

impl Watched {
    /// `server`'s own PostgreSQL, if it runs one and none was named.
    pub(crate) fn new(server: Option<u32>, postgres: Option<u32>) -> Self {
        let postgres = postgres.or_else(|| {
            let parents = parents();
            let server = server?;
            parents.iter().find(|(pid, parent)| **parent == server && is_postgres(**pid)).map(|(pid, _)| *pid)
        });
        Self { server, postgres }
    }

    pub(crate) fn observe(self) -> Observation {
        if let Some(server) = self.server {
            // 5 resets the peak (proc(5)); where that is not allowed the peak is that of the process's life.
            let _ = fs::write(format!("/proc/{server}/clear_refs"), "5");
        }
        let postgres_start = self.postgres.map_or(0.0, postgres_memory);
        let peak = std::rc::Rc::new(std::cell::Cell::new(postgres_start));
        let sampler = self.postgres.map(|postmaster| {
            let peak = peak.clone();
            tokio::task::spawn_local(async move {
                let mut every = interval(Duration::from_secs(2));
                loop {
                    every.tick().await;
                    peak.set(peak.get().max(postgres_memory(postmaster)));
                }
            })
        });
        Observation {
            watched: self,
            server_cpu: self.server.map_or(0.0, cpu_seconds),
            server_start: self.server.map_or(0.0, |pid| status_mib(pid, "VmRSS:")),
            postgres_cpu: self.postgres.map_or(0.0, postgres_cpu),
            postgres_start,
            postgres_peak: sampler,
            peak,
        }
    }
}

impl Observation {
    /// The server's use and PostgreSQL's since [`Watched::observe`].
    pub(crate) fn end(self) -> (Option<Usage>, Option<Usage>) {
        if let Some(sampler) = self.postgres_peak {
            sampler.abort();
        }
        let server = self.watched.server.map(|pid| Usage {
            cpu_seconds: cpu_seconds(pid) - self.server_cpu,
            memory_start_mib: self.server_start,
            memory_peak_mib: status_mib(pid, "VmHWM:"),
        });
        let postgres = self.watched.postgres.map(|postmaster| Usage {
            cpu_seconds: postgres_cpu(postmaster) - self.postgres_cpu,
            memory_start_mib: self.postgres_start,
            memory_peak_mib: self.peak.get().max(postgres_memory(postmaster)),
        });
        (server, postgres)
    }
}

/// Resident memory of a process now, in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

fn is_postgres(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
}

/// Every process's parent.
fn parents() -> HashMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, *stat(pid)?.get(1)? as u32)))
        .collect()
}

fn family(postmaster: u32) -> Vec<u32> {
    let children = parents().into_iter().filter(|(_, parent)| *parent == postmaster).map(|(pid, _)| pid);
    children.chain([postmaster]).collect()
}

/// The numbers of /proc/PID/stat from the process's state on (which reads as 0): 1 is the parent, 11 and 12 the process's
/// own ticks, 13 and 14 those of its children that have ended.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect())
}

fn cpu_seconds(pid: u32) -> f64 {
    stat(pid).map_or(0.0, |stat| (stat[11] + stat[12]) as f64 / TICKS_PER_SECOND)
}

/// Of the postmaster, its processes, and those that it has seen end.
fn postgres_cpu(postmaster: u32) -> f64 {
    let ended = stat(postmaster).map_or(0.0, |stat| (stat[13] + stat[14]) as f64 / TICKS_PER_SECOND);
    ended + family(postmaster).into_iter().map(cpu_seconds).sum::<f64>()
}

/// What each process has for itself, and once what of the shared buffers any of them has touched. From the kernel's counters:
/// `smaps_rollup` would be exact to the page, but walks all of them, which with gigabytes stops the driver for a tenth of a second.
fn postgres_memory(postmaster: u32) -> f64 {
    let family = family(postmaster);
    let own: f64 = family.iter().map(|pid| status_mib(*pid, "RssAnon:")).sum();
    own + family.iter().map(|pid| status_mib(*pid, "RssShmem:")).fold(0.0, f64::max)
}

fn status_mib(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kib_of(&text, name) / 1024.0
}

fn kib_of(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}
