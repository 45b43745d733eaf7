//! The processes of a PostgreSQL that an earlier server left behind, and their end.
//!
//! Called with the data folder's lock held, so whatever runs on the cluster belongs to no living server.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{EmbeddedPostgresError, SHUTDOWN_PATIENCE, folder::DataFolder};

/// How long processes may take to end after SIGQUIT, and again after SIGKILL.
const QUIT_PATIENCE: Duration = Duration::from_secs(5);

/// End every PostgreSQL process of the folder's cluster and remove what they leave: the pid file and the socket.
pub(super) fn clear_leftovers(folder: &DataFolder) -> Result<(), EmbeddedPostgresError> {
    let left = of_cluster(folder);
    if !left.is_empty() {
        tracing::warn!(processes = left.len(), "Stopping a PostgreSQL that an earlier server left running.");
        match postmaster_pid(&folder.cluster()).filter(|pid| left.contains(pid)) {
            Some(postmaster) => {
                signal(&[postmaster], Signal::SIGINT);
                if !ended_within(folder, SHUTDOWN_PATIENCE) {
                    signal(&of_cluster(folder), Signal::SIGQUIT);
                }
            }
            // Without a postmaster they would end by themselves once they look up from their work.
            None => signal(&left, Signal::SIGQUIT),
        }
        if !ended_within(folder, QUIT_PATIENCE) {
            signal(&of_cluster(folder), Signal::SIGKILL);
        }
        if !ended_within(folder, QUIT_PATIENCE) {
            return Err(EmbeddedPostgresError::StillRunning { folder: folder.root().to_owned() });
        }
    }
    // PostgreSQL takes a pid file for its own when another process has got that pid by now.
    let socket = folder.socket_file();
    let mut socket_lock = socket.clone().into_os_string();
    socket_lock.push(".lock");
    for stale in [folder.cluster().join("postmaster.pid"), socket, socket_lock.into()] {
        // Whether it was there does not matter; if it cannot be removed, PostgreSQL's start says so.
        let _ = fs::remove_file(stale);
    }
    Ok(())
}

/// The first line of `postmaster.pid`.
pub(super) fn postmaster_pid(cluster: &Path) -> Option<Pid> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    (pid > 1).then(|| Pid::from_raw(pid))
}

fn signal(processes: &[Pid], signal: Signal) {
    for process in processes {
        // One that ended meanwhile is what we want.
        let _ = kill(*process, signal);
    }
}

fn ended_within(folder: &DataFolder, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if of_cluster(folder).is_empty() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The processes that are PostgreSQL's by name, run as the folder's owner, and work in the cluster's folder. All
/// three, because a pid alone may have been given to a stranger since.
#[cfg(target_os = "linux")]
fn of_cluster(folder: &DataFolder) -> Vec<Pid> {
    use std::os::unix::fs::MetadataExt;

    let cluster = folder.cluster();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let process = entry.path();
            let comm = fs::read_to_string(process.join("comm")).ok()?;
            let is_postgres = matches!(comm.trim_end(), "postgres" | "postmaster");
            let is_owners =
                is_postgres && fs::metadata(&process).is_ok_and(|it| it.uid() == folder.owner.uid);
            let is_here = is_owners && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == cluster);
            is_here.then(|| Pid::from_raw(pid))
        })
        .collect()
}

/// Without `/proc`: the postmaster of the pid file, when a process of that pid is a PostgreSQL.
#[cfg(not(target_os = "linux"))]
fn of_cluster(folder: &DataFolder) -> Vec<Pid> {
    let Some(pid) = postmaster_pid(&folder.cluster()) else { return Vec::new() };
    let ps = std::process::Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
    let is_postgres = ps.is_ok_and(|output| {
        Path::new(String::from_utf8_lossy(&output.stdout).trim())
            .file_name()
            .is_some_and(|name| name == "postgres")
    });
    if is_postgres { vec![pid] } else { Vec::new() }
}
