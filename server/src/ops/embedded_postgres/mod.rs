//! A private PostgreSQL: found among the installed programs, made, started, watched over and stopped by us.
//!
//! No crate does this with data that must survive, so this folder is the one place where we write by hand what a
//! library does elsewhere. One [`EmbeddedPostgres`] owns one data folder, and no two servers share one:
//!
//! 1. [`start`](EmbeddedPostgres::start) locks the folder (`folder.rs`), finds the programs (`programs.rs`), makes the
//!    cluster if there is none, and writes its settings (`settings.rs`).
//! 2. A thread (`supervisor.rs`) ends what an earlier server left running (`processes.rs`), starts PostgreSQL, and
//!    starts it again whenever it dies.
//! 3. [`stop`](EmbeddedPostgres::stop) ends it. If we are killed instead, the kernel tells PostgreSQL to stop.
//!
//! It listens on a Unix socket only, to which the operating system names the caller (peer authentication).

mod folder;
mod processes;
mod programs;
mod settings;
mod supervisor;

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    thread,
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::watch, time::Instant};

pub use self::supervisor::PostgresState;
use self::{
    folder::{DataFolder, FolderLock},
    programs::Programs,
    supervisor::Supervisor,
};
use crate::ops::machine;

/// The role that the server logs in as: owns its database, may create roles and databases, is no superuser.
const LOGIN_ROLE: &str = "syncline";
const SUPERUSER: &str = "postgres";
const DATABASE: &str = "syncline";

/// How long PostgreSQL may take for a fast shutdown before it gets a stronger signal.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(8);
/// How long it may take until it accepts connections: recovery after a crash reads up to `max_wal_size` of log.
const START_PATIENCE: Duration = Duration::from_secs(300);

/// What to start.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Folder that holds the cluster, the lock and the socket; made when it is missing.
    pub data_dir: PathBuf,
    /// Connections that clients may have open at once.
    pub max_connections: u32,
    pub durability: Durability,
}

/// Whether data must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// An acknowledged commit survives a crash of the machine.
    Durable,
    /// Nothing is ever waited for. For tests, whose data nobody wants.
    Disposable,
}

/// Why there is no private PostgreSQL. Each is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPostgresError {
    #[error(
        "no PostgreSQL found: install the package \"postgresql\" (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql@17), set PG_BIN to the folder of its programs, or set DATABASE_URL"
    )]
    NoPrograms,
    #[error("PG_BIN is {}, but the programs postgres and initdb are not there", .0.display())]
    NotInPgBin(PathBuf),
    #[error("PostgreSQL {found} in {} is too old: install version {minimum} or newer, or set PG_BIN", bin.display())]
    TooOld { bin: PathBuf, found: u32, minimum: u32 },
    #[error(
        "the data folder {} was made by PostgreSQL {made_by}, but version {found} is installed: install postgresql-{made_by}, or move the data with pg_upgrade", folder.display()
    )]
    OtherVersion { folder: PathBuf, made_by: u32, found: u32 },
    #[error("the data folder {} is in use by another server{}", folder.display(), of_process(*pid))]
    InUse { folder: PathBuf, pid: Option<u32> },
    #[error("{} is not empty and not a complete PostgreSQL cluster: move it away, or choose another SYNCLINE_DATA_DIR", .0.display())]
    NotACluster(PathBuf),
    #[error(
        "PostgreSQL refuses to run as root, and there is no user \"postgres\" to run it as: install the package \"postgresql\", or give the data folder to another user"
    )]
    NoPostgresUser,
    #[error("user {0} has no name on this system, which PostgreSQL needs: add it to /etc/passwd")]
    NamelessUser(u32),
    #[error("PostgreSQL runs as user {user:?}, who cannot enter {} on the way to {}: choose another SYNCLINE_DATA_DIR", closed.display(), folder.display())]
    Unreachable { folder: PathBuf, closed: PathBuf, user: String },
    #[error("a PostgreSQL that runs on {} does not end", folder.display())]
    StillRunning { folder: PathBuf },
    #[error("initdb cannot make the database: {0}")]
    Initdb(String),
    #[error("PostgreSQL does not start: {0}")]
    DoesNotStart(String),
    #[error("PostgreSQL has not accepted a connection for {} seconds", START_PATIENCE.as_secs())]
    StartTooSlow,
    #[error("the private PostgreSQL refuses its set-up: {0}")]
    SetUp(#[from] sqlx::Error),
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

impl EmbeddedPostgresError {
    fn io(what: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { what, path: path.as_ref().to_owned(), source }
    }
}

fn of_process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// A PostgreSQL that runs for us. Stop it with [`EmbeddedPostgres::stop`]; dropped, it stops with nobody waiting.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    socket: PathBuf,
    supervisor: Supervisor,
}

impl EmbeddedPostgres {
    /// Start PostgreSQL on the data folder, which is made at the first start. Returns when it accepts connections and
    /// the login role and its database exist.
    pub async fn start(settings: &EmbeddedSettings) -> Result<Self, EmbeddedPostgresError> {
        let owned = settings.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&owned)).await;
        let (programs, folder, lock) = prepared.expect("BUG: preparing the data folder panicked")?;
        let socket = folder.socket.clone();
        let mut postgres = Self { socket, supervisor: Supervisor::start(programs, folder, lock)? };
        let first = postgres.first_connection().await?;
        set_up(first).await?;
        postgres.supervisor.has_started();
        Ok(postgres)
    }

    /// The URL of the PostgreSQL that another process runs on this data folder, if it runs one. For commands that
    /// work beside a server.
    pub fn url_of_running(data_dir: &Path) -> Result<Option<String>, EmbeddedPostgresError> {
        let folder = DataFolder::open(data_dir)?;
        match folder.lock() {
            Ok(_free) => Ok(None),
            Err(EmbeddedPostgresError::InUse { .. }) => Ok(Some(url(&folder.socket, LOGIN_ROLE, DATABASE))),
            Err(error) => Err(error),
        }
    }

    /// Where the login role reaches the server's database.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Where the login role reaches a database of this name.
    pub fn url_of(&self, database: &str) -> String {
        url(&self.socket, LOGIN_ROLE, database)
    }

    /// How it is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<PostgresState> {
        self.supervisor.state.clone()
    }

    /// Stop PostgreSQL and wait for its end. Connections that are still open are cut.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }

    /// Wait until PostgreSQL lets the superuser in, or has failed.
    async fn first_connection(&mut self) -> Result<PgConnection, EmbeddedPostgresError> {
        let options = PgConnectOptions::from_str(&url(&self.socket, SUPERUSER, "postgres"))?;
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            // Not before it runs: until then an orphan may be there, and answer for a moment.
            let settled = |state: &PostgresState| *state != PostgresState::Restarting;
            if let Ok(PostgresState::Failed(why)) = self.supervisor.state.wait_for(settled).await.as_deref() {
                return Err(EmbeddedPostgresError::DoesNotStart(why.clone()));
            }
            match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() >= deadline => {
                    tracing::error!(error = %error, "PostgreSQL does not accept connections.");
                    return Err(EmbeddedPostgresError::StartTooSlow);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Everything before the first process: lock, programs, cluster, settings.
fn prepare(settings: &EmbeddedSettings) -> Result<(Programs, DataFolder, FolderLock), EmbeddedPostgresError> {
    let folder = DataFolder::open(&settings.data_dir)?;
    let lock = folder.lock()?;
    let made_by = folder.cluster_version()?;
    let programs = Programs::find(made_by)?.new_enough()?;
    match made_by {
        Some(made_by) if made_by != programs.major => {
            let folder = folder.root().to_owned();
            return Err(EmbeddedPostgresError::OtherVersion { folder, made_by, found: programs.major });
        }
        Some(_) => {}
        None => make_cluster(&programs, &folder, settings.durability)?,
    }
    folder.make_socket_folder()?;
    let conf =
        settings::postgresql_conf(&folder, settings.max_connections, settings.durability, machine::memory());
    folder.write_cluster_file("postgresql.conf", &conf)?;
    folder.write_cluster_file("pg_hba.conf", settings::PG_HBA_CONF)?;
    folder.write_cluster_file("pg_ident.conf", &settings::pg_ident_conf(&folder))?;
    Ok((programs, folder, lock))
}

/// Make the cluster under another name and rename it when it is complete, so that an interrupted attempt is never
/// taken for a cluster and simply made again.
fn make_cluster(
    programs: &Programs,
    folder: &DataFolder,
    durability: Durability,
) -> Result<(), EmbeddedPostgresError> {
    let unfinished = folder.unfinished_cluster();
    let failed = |source| EmbeddedPostgresError::io("cannot make", &unfinished, source);
    remove_unfinished(&unfinished).map_err(failed)?;
    folder.make_private_dir(&unfinished).map_err(failed)?;
    let locale = if cfg!(target_os = "linux") { "C.UTF-8" } else { "C" };
    let mut initdb = supervisor::command(programs.initdb(), &folder.owner);
    initdb.arg("--pgdata").arg(&unfinished).args(["--username", SUPERUSER, "--encoding", "UTF8"]).args([
        "--locale",
        locale,
        "--data-checksums",
        "--auth-local=peer",
        "--auth-host=scram-sha-256",
        "--no-instructions",
    ]);
    if durability == Durability::Disposable {
        initdb.arg("--no-sync");
    }
    supervisor::die_with_parent(&mut initdb);
    let output = initdb
        .output()
        .map_err(|source| EmbeddedPostgresError::io("cannot run", programs.initdb(), source))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let complaint = said.lines().find(|line| line.contains("error:")).or(said.lines().last());
        return Err(EmbeddedPostgresError::Initdb(complaint.unwrap_or("it said nothing").trim().to_owned()));
    }
    let finish = || -> io::Result<()> {
        fs::rename(&unfinished, folder.cluster())?;
        fs::File::open(folder.root())?.sync_all()
    };
    finish().map_err(failed)
}

/// Remove an attempt that was interrupted. Its initdb may still be dying and writing.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let mut attempts = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if attempts == 20 => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(100)),
            Ok(()) => {}
        }
        attempts += 1;
    }
}

/// Make the login role and its database, when they are not there.
async fn set_up(mut superuser: PgConnection) -> Result<(), sqlx::Error> {
    let role: Option<i32> = sqlx::query_scalar("select 1 from pg_roles where rolname = $1")
        .bind(LOGIN_ROLE)
        .fetch_optional(&mut superuser)
        .await?;
    if role.is_none() {
        let create = format!("create role {LOGIN_ROLE} login createrole createdb");
        sqlx::query(AssertSqlSafe(create)).execute(&mut superuser).await?;
    }
    let database: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
        .bind(DATABASE)
        .fetch_optional(&mut superuser)
        .await?;
    if database.is_none() {
        let create = format!("create database {DATABASE} owner {LOGIN_ROLE}");
        sqlx::query(AssertSqlSafe(create)).execute(&mut superuser).await?;
    }
    superuser.close().await
}

/// A URL that reaches a database through the Unix socket in `folder`.
fn url(folder: &Path, role: &str, database: &str) -> String {
    let mut host = String::new();
    for byte in folder.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => host.push(char::from(*byte)),
            other => host.push_str(&format!("%{other:02X}")),
        }
    }
    format!("postgres://{role}@{host}/{database}")
}
