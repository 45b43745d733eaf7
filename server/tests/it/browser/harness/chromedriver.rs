//! The run's chromedriver: one process, started by the first test that looks at a screen.

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::support::scratch::ScratchFolder;

/// As many browsers run at once: each is a dozen processes.
const BROWSERS: usize = 2;

static DRIVER: OnceLock<Chromedriver> = OnceLock::new();
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(BROWSERS)));

/// Leads a process group in which all browsers are. The group is killed and the profiles removed when this process is
/// gone, however it went.
#[derive(Debug)]
pub(super) struct Chromedriver {
    /// `http://127.0.0.1:{port}`
    pub(super) url: String,
    folder: ScratchFolder,
    _process: Child,
}

impl Chromedriver {
    /// The run's one, and the right to open one browser with it.
    pub(super) async fn turn() -> (&'static Self, OwnedSemaphorePermit) {
        let turn = TURNS.clone().acquire_owned().await.expect("BUG: the semaphore is never closed");
        let driver = tokio::task::spawn_blocking(|| DRIVER.get_or_init(Self::start)).await;
        (driver.expect("a chromedriver for the tests"), turn)
    }

    fn start() -> Self {
        let mut folder = ScratchFolder::new("syncline-browser");
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver is not on PATH: ./deploy/test installs it, with Chromium");
        folder.kill_group_at_the_end(process.id());
        let mut lines = BufReader::new(process.stdout.take().expect("BUG: it is piped")).lines();
        let port: u16 = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says on which port it listens");
        // What else it has to say must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { url: format!("http://127.0.0.1:{port}"), folder, _process: process }
    }

    /// A folder for one browser: its profile, and what is downloaded with it.
    pub(super) fn profile(&self) -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        self.folder.path().join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// What a new session asks for: a browser with this profile, still empty, that talks to nobody but our server.
    pub(super) fn capabilities(profile: &Path, downloads: &Path) -> Value {
        let mut arguments: Vec<String> = [
            "--headless=new",
            "--disable-gpu",
            "--disable-quic",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-crash-reporter",
            "--no-first-run",
            "--force-color-profile=srgb",
            "--window-size=1440,1000",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        if nix::unistd::Uid::effective().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let preferences = json!({
            "download.default_directory": downloads,
            "download.prompt_for_download": false,
        });
        let mut options = json!({ "args": arguments, "prefs": preferences });
        if let Some(program) = chromium() {
            options["binary"] = json!(program);
        }
        json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "unhandledPromptBehavior": "accept",
        }}})
    }
}

/// The first browser on PATH; where there is none, chromedriver looks where the system keeps programs.
fn chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|program| Path::is_file(program))
}
