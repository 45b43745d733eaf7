//! The thread that starts PostgreSQL, restarts it when it dies, and stops it.
//!
//! It is one thread for the whole life of the process, because the parent-death signal (Linux) comes when the
//! *thread* that spawned the child ends, whatever the other threads do.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::watch;

use super::{
    EmbeddedPostgresError, SHUTDOWN_PATIENCE,
    folder::{DataFolder, FolderLock, Owner},
    processes,
    programs::Programs,
};

/// How often the thread looks whether PostgreSQL is still there.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// This many deaths within [`CRASH_WINDOW`] and we give up.
const MAX_CRASHES: usize = 5;
const CRASH_WINDOW: Duration = Duration::from_secs(60);

/// How PostgreSQL is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresState {
    /// Its process runs. It may still be recovering and refuse connections for a while.
    Running { pid: u32 },
    /// It died and is being started again.
    Restarting,
    /// It could not be started, or died too often: the sentence says what it said last. Final.
    Failed(String),
    /// It was told to stop and did. Final.
    Stopped,
}

enum Order {
    /// It has accepted a connection: from now on a death means restart and no longer that it cannot start.
    Started,
    Stop,
}

/// Our end of the thread. Dropped: PostgreSQL is stopped without anybody waiting for it.
#[derive(Debug)]
pub(super) struct Supervisor {
    orders: mpsc::Sender<Order>,
    pub(super) state: watch::Receiver<PostgresState>,
}

impl Supervisor {
    /// Start the thread, and on it PostgreSQL. The thread keeps `lock` until PostgreSQL has ended.
    pub(super) fn start(
        programs: Programs,
        folder: DataFolder,
        lock: FolderLock,
    ) -> Result<Self, EmbeddedPostgresError> {
        let (orders, receiver) = mpsc::channel();
        let (sender, state) = watch::channel(PostgresState::Restarting);
        let root = folder.root().to_owned();
        let watched = Watched { programs, folder, lock, state: sender, orders: receiver, started: false };
        thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || watched.run())
            .map_err(|source| EmbeddedPostgresError::io("cannot watch over", root, source))?;
        Ok(Self { orders, state })
    }

    pub(super) fn has_started(&self) {
        // A thread that has ended has said so in `state`.
        let _ = self.orders.send(Order::Started);
    }

    /// Stop PostgreSQL and wait for its end.
    pub(super) async fn stop(mut self) {
        let _ = self.orders.send(Order::Stop);
        let ended =
            |state: &PostgresState| matches!(state, PostgresState::Stopped | PostgresState::Failed(_));
        // An error means that the thread is gone, and PostgreSQL with it.
        let _ = self.state.wait_for(ended).await;
    }
}

/// What the thread owns.
struct Watched {
    programs: Programs,
    folder: DataFolder,
    lock: FolderLock,
    state: watch::Sender<PostgresState>,
    orders: mpsc::Receiver<Order>,
    started: bool,
}

impl Watched {
    fn run(mut self) {
        let mut crashes: Vec<Instant> = Vec::new();
        loop {
            let mut child = match self.launch() {
                Ok(child) => child,
                Err(error) => return self.end(PostgresState::Failed(error.to_string())),
            };
            self.state.send_replace(PostgresState::Running { pid: child.id() });
            let Some(status) = self.watch(&mut child) else {
                stop(&mut child);
                return self.end(PostgresState::Stopped);
            };
            let said = self.last_words(&status);
            crashes.retain(|crash| crash.elapsed() < CRASH_WINDOW);
            crashes.push(Instant::now());
            if !self.started || crashes.len() >= MAX_CRASHES {
                return self.end(PostgresState::Failed(said));
            }
            tracing::error!(said, "PostgreSQL ended unexpectedly and is started again.");
            self.state.send_replace(PostgresState::Restarting);
        }
    }

    /// Wait until PostgreSQL dies, and tell how; None when somebody wants it stopped.
    fn watch(&mut self, child: &mut Child) -> Option<String> {
        loop {
            match self.orders.recv_timeout(WATCH_EVERY) {
                Ok(Order::Started) => self.started = true,
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => match child.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => return Some(status.to_string()),
                    Err(error) => return Some(error.to_string()),
                },
            }
        }
    }

    fn launch(&self) -> Result<Child, EmbeddedPostgresError> {
        processes::clear_leftovers(&self.folder)?;
        let output = self.output_path();
        let failed =
            |source| EmbeddedPostgresError::io("cannot start PostgreSQL, output in", &output, source);
        let log = File::create(&output).map_err(failed)?;
        let mut command = command(self.programs.postgres(), &self.folder.owner);
        command.arg("-D").arg(self.folder.cluster()).stderr(log);
        die_with_parent(&mut command);
        command
            .spawn()
            .map_err(|source| EmbeddedPostgresError::io("cannot run", self.programs.postgres(), source))
    }

    /// Whoever waits for the end may use the folder at once, so the lock goes first.
    fn end(self, state: PostgresState) {
        drop(self.lock);
        self.state.send_replace(state);
    }

    /// What PostgreSQL writes before its log files are open: why it cannot start.
    fn output_path(&self) -> PathBuf {
        self.folder.root().join("postgres-start.log")
    }

    /// What it complained about last, or else how it ended; for people to read.
    fn last_words(&self, status: &str) -> String {
        let text = fs::read_to_string(self.output_path()).unwrap_or_default();
        let complaint = text.lines().rev().find(|line| line.contains("FATAL:") || line.contains("PANIC:"));
        match complaint {
            Some(line) => line.trim().to_owned(),
            None => format!("{status}; see {}", self.folder.cluster().join("log").display()),
        }
    }
}

/// What glibc is told (mallopt(3)): a process of PostgreSQL keeps what it frees after a statement, up to this many bytes, because the
/// next one needs as much. By default it goes back to the kernel, page by page, and comes again page by page.
const KEEPS_MEMORY: [(&str, &str); 3] = [
    ("MALLOC_TRIM_THRESHOLD_", "16777216"),
    ("MALLOC_TOP_PAD_", "1048576"),
    ("MALLOC_MMAP_THRESHOLD_", "8388608"),
];

/// A command that runs as the cluster's owner, in a process group of its own (a Ctrl-C in the terminal is for us, not
/// for PostgreSQL), with nothing of our environment that would change its ways or that is secret.
pub(super) fn command(program: PathBuf, owner: &Owner) -> Command {
    const KEPT: [&str; 6] =
        ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];
    let mut command = Command::new(program);
    command.env_clear();
    command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("LC_ALL", if cfg!(target_os = "linux") { "C.UTF-8" } else { "C" });
    command.envs(KEEPS_MEMORY);
    // The folder we were started in may be closed to the owner.
    command.current_dir("/").process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    if owner.switch {
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

/// SIGINT (fast shutdown: transactions are rolled back, everything is written); SIGQUIT when that takes too long (the
/// next start recovers from the log, nothing acknowledged is lost).
fn stop(child: &mut Child) {
    for (signal, patience) in [
        (Signal::SIGINT, SHUTDOWN_PATIENCE),
        (Signal::SIGQUIT, SHUTDOWN_PATIENCE),
        (Signal::SIGKILL, Duration::MAX),
    ] {
        // The child is not reaped before `try_wait` says so, so the pid is still its own.
        let _ = kill(Pid::from_raw(child.id() as i32), signal);
        let since = Instant::now();
        while since.elapsed() < patience {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        tracing::warn!(?signal, "PostgreSQL does not end and gets a stronger signal.");
    }
}

/// Have the kernel send SIGINT to the child when our thread ends, that is, when we are killed.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "only code that runs between fork and exec can ask for the parent-death signal"
)]
pub(super) fn die_with_parent(command: &mut Command) {
    use nix::{sys::prctl::set_pdeathsig, unistd::getppid};

    let parent = Pid::this();
    let ask = move || {
        set_pdeathsig(Signal::SIGINT)?;
        // We may have died before the child asked.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(nix::Error::ESRCH)) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing, so it is sound in a child of a
    // multi-threaded process. The standard library runs it after setuid, which would undo it.
    unsafe { command.pre_exec(ask) };
}

/// Elsewhere there is no such signal; the next start stops what it finds.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent(_command: &mut Command) {}
