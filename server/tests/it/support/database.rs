//! A database of its own for every test.
//!
//! A run of the test binary has one private PostgreSQL (fsync off) with one template, to which the platform's
//! migrations have been applied. A test's database is a copy of the template, dropped when the test lets go of it.
//! Nothing outlives the run, however it ends (see `scratch`).

use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use syncline::{
    control,
    ops::{
        config::DatabaseConfig,
        database::Databases,
        embedded_postgres::{Durability, EmbeddedPostgres, EmbeddedSettings},
    },
};
use tokio::sync::oneshot;

use super::scratch::ScratchFolder;

const TEMPLATE: &str = "template_platform";

/// A database with the platform's migrations and nothing else. Dropped, with whatever still uses it, when this is.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    name: String,
}

/// A new database for one test.
pub(crate) async fn fresh() -> TestDatabase {
    copy_of(TEMPLATE).await
}

/// A new database without any of our schemas, for tests of the migrations.
pub(crate) async fn empty() -> TestDatabase {
    copy_of("template1").await
}

async fn copy_of(template: &str) -> TestDatabase {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let cluster = cluster().await;
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    cluster.execute(format!("create database {name} template {template}")).await;
    TestDatabase { url: cluster.url_of(&name), name }
}

impl TestDatabase {
    /// Both pools, as the server opens them.
    pub(crate) async fn databases(&self) -> Databases {
        Databases::connect(&self.url, &DatabaseConfig::default()).await.expect("the test's database")
    }

    /// A pool of the login role's for looking at what the server did.
    pub(crate) async fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(4).connect(&self.url).await.expect("the test's database")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(cluster) = CLUSTER.get() {
            // Nobody waits for the answer.
            drop(cluster.ask(format!("drop database if exists {} with (force)", self.name)));
        }
    }
}

static CLUSTER: OnceLock<TestCluster> = OnceLock::new();

/// The run's PostgreSQL, started by the first test that asks.
async fn cluster() -> &'static TestCluster {
    match CLUSTER.get() {
        Some(cluster) => cluster,
        None => tokio::task::spawn_blocking(|| CLUSTER.get_or_init(TestCluster::start))
            .await
            .expect("a PostgreSQL for the tests"),
    }
}

/// The run's PostgreSQL, and a thread with a runtime of its own (tests' runtimes come and go) that speaks to it.
struct TestCluster {
    url_of_template1: String,
    statements: mpsc::Sender<(String, oneshot::Sender<()>)>,
    /// Removed when the process ends: a static is never dropped.
    _folder: ScratchFolder,
}

impl TestCluster {
    fn start() -> Self {
        let folder = ScratchFolder::new("syncline-test");
        let data_dir = folder.path().to_owned();
        let (statements, receiver) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        std::thread::Builder::new()
            .name("test-cluster".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(serve(data_dir, ready, receiver));
            })
            .unwrap();
        let url_of_template1 = started.recv().expect("the tests' PostgreSQL starts");
        Self { url_of_template1, statements, _folder: folder }
    }

    fn url_of(&self, database: &str) -> String {
        let host = self.url_of_template1.strip_suffix("/template1").unwrap();
        format!("{host}/{database}")
    }

    fn ask(&self, statement: String) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        self.statements.send((statement, answer)).expect("the tests' PostgreSQL runs");
        answered
    }

    async fn execute(&self, statement: String) {
        let asked = statement.clone();
        self.ask(statement).await.unwrap_or_else(|_| panic!("failed: {asked}"));
    }
}

/// Start PostgreSQL, make the template, then execute statements one after the other until the process ends.
async fn serve(
    data_dir: PathBuf,
    ready: mpsc::Sender<String>,
    statements: mpsc::Receiver<(String, oneshot::Sender<()>)>,
) {
    let settings = EmbeddedSettings { data_dir, max_connections: 300, durability: Durability::Disposable };
    let postgres = EmbeddedPostgres::start(&settings).await.expect("a PostgreSQL for the tests");
    let mut admin = PgConnection::connect(&postgres.url_of("postgres")).await.unwrap();
    let create = format!("create database {TEMPLATE}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
    let mut template = PgConnection::connect(&postgres.url_of(TEMPLATE)).await.unwrap();
    control::MIGRATIONS.run(&mut template).await.expect("the platform's migrations");
    template.close().await.unwrap();
    ready.send(postgres.url_of("template1")).unwrap();
    for (statement, answer) in statements {
        match sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut admin).await {
            // A dropped database has nobody waiting.
            Ok(_) => drop(answer.send(())),
            Err(error) => eprintln!("{statement}: {error}"),
        }
    }
}
