//! The real program in a process of its own, with a data folder of its own, to be killed.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use syncline::ops::embedded_postgres::EmbeddedPostgres;
use tokio::sync::oneshot;

use super::scratch::ScratchFolder;

/// `syncline serve` with a private PostgreSQL. Killed and its folder removed when dropped, or when the test dies.
#[derive(Debug)]
pub(crate) struct RealServer {
    folder: ScratchFolder,
    settings: Vec<(String, String)>,
    child: Child,
    /// Where it listens; the same after a restart.
    pub(crate) address: SocketAddr,
    log: Log,
}

/// The last lines of a server's log.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl RealServer {
    /// Start one on a new data folder, and wait until it is ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Start one with some more variables of the environment.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut folder = ScratchFolder::new("syncline-server");
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let log = Log::default();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, address) = launch(&mut folder, &settings, any_port, &log).await;
        Self { folder, settings, child, address, log }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its database, as the server's own role sees it.
    pub(crate) fn database_url(&self) -> String {
        EmbeddedPostgres::url_of_running(self.data_dir()).unwrap().expect("the server runs")
    }

    /// The process of its PostgreSQL.
    pub(crate) fn postgres_pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.data_dir().join("pg/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
    }

    /// SIGKILL the server, as a crash or a full memory would. Returns when it is dead.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.kill_at_the_end(None);
    }

    /// Start it again after [`RealServer::kill9`] or [`RealServer::terminate`], and wait until it is ready.
    pub(crate) async fn restart(&mut self) {
        (self.child, _) = launch(&mut self.folder, &self.settings, self.address, &self.log).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// SIGTERM, as a supervisor does, and wait for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Wait until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.folder.kill_at_the_end(None);
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Wait until its log says this.
    pub(crate) async fn logged(&self, words: &str) {
        while !self.log().contains(words) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The last lines that it logged.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It may be dead already. PostgreSQL stops by itself; whoever removes the folder waits for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.folder.kill_at_the_end(None);
    }
}

async fn launch(
    folder: &mut ScratchFolder,
    settings: &[(String, String)],
    address: SocketAddr,
    log: &Log,
) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_syncline"))
        .env_remove("DATABASE_URL")
        .env("SYNCLINE_DATA_DIR", folder.path())
        .env("SYNCLINE_LISTEN", address.to_string())
        .env("SYNCLINE_TELEMETRY_FORMAT", "json")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    folder.kill_at_the_end(Some(child.id()));
    let stderr = child.stderr.take().unwrap();
    let (ready, is_ready) = oneshot::channel();
    let follower = log.clone();
    std::thread::spawn(move || follower.follow(stderr, ready));
    match is_ready.await {
        Ok(address) => (child, address),
        Err(_) => {
            let status = child.wait().unwrap();
            panic!("the server did not start: {status}\n{}", log.text());
        }
    }
}

impl Log {
    const LINES: usize = 200;

    /// Read the log to its end, so that the server never waits for a reader; say when it is ready.
    fn follow(&self, stderr: ChildStderr, ready: oneshot::Sender<SocketAddr>) {
        let mut ready = Some(ready);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = event["http.address"].as_str().and_then(|text| text.parse().ok())
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(address);
            }
            let mut lines = self.0.lock().unwrap();
            lines.push_back(line);
            if lines.len() > Self::LINES {
                lines.pop_front();
            }
        }
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
