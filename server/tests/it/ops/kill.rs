//! Whatever is killed in the middle of writes, what was acknowledged is there afterwards, once.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use sqlx::{Connection, PgConnection};
use syncline::ops::embedded_postgres::{Durability, EmbeddedPostgres, EmbeddedSettings, PostgresState};
use tokio::task::JoinSet;

use crate::support::{scratch::ScratchFolder, server::RealServer};

const WRITERS: i64 = 4;

/// Writers that insert numbers one by one, each with its own, for as long as the database lets them.
struct Writers {
    acknowledged: Arc<Mutex<Vec<i64>>>,
    stopped: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Writers {
    async fn start(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql("create table if not exists public.written (number bigint not null)")
            .execute(&mut connection)
            .await
            .unwrap();
        let first: i64 = sqlx::query_scalar("select coalesce(max(number), 0) + 1 from public.written")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let mut writers =
            Self { acknowledged: Arc::default(), stopped: Arc::default(), tasks: JoinSet::new() };
        for writer in 0..WRITERS {
            let (acknowledged, stopped) = (Arc::clone(&writers.acknowledged), Arc::clone(&writers.stopped));
            let url = url.to_owned();
            writers.tasks.spawn(async move {
                let mut number = first + writer;
                let Ok(mut connection) = PgConnection::connect(&url).await else { return };
                while !stopped.load(Ordering::Relaxed) {
                    let insert = sqlx::query("insert into public.written (number) values ($1)");
                    if insert.bind(number).execute(&mut connection).await.is_err() {
                        return;
                    }
                    acknowledged.lock().unwrap().push(number);
                    number += WRITERS;
                }
            });
        }
        writers
    }

    /// Wait until this many more inserts have been acknowledged.
    async fn wrote(&self, more: usize) {
        let wanted = self.acknowledged.lock().unwrap().len() + more;
        while self.acknowledged.lock().unwrap().len() < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Wait for the writers' end, and check that every acknowledged number is in the database exactly once.
    async fn lost_nothing(mut self, url: &str) {
        self.stopped.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        let mut connection = PgConnection::connect(url).await.unwrap();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let missing: Vec<i64> = sqlx::query_scalar(
            "select number from unnest($1::bigint[]) number
              where (select count(*) from public.written where written.number = number.number) <> 1",
        )
        .bind(&acknowledged)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        assert_eq!(missing, Vec::<i64>::new(), "of {} acknowledged", acknowledged.len());
    }
}

#[tokio::test]
async fn acknowledged_inserts_survive_the_death_of_postgresql_which_is_started_again() {
    let folder = ScratchFolder::new("syncline-kill");
    let settings = EmbeddedSettings {
        data_dir: folder.path().to_owned(),
        max_connections: 20,
        durability: Durability::Durable,
    };
    let postgres = EmbeddedPostgres::start(&settings).await.unwrap();
    let mut state = postgres.state();
    for _ in 0..3 {
        let writers = Writers::start(&postgres.url()).await;
        writers.wrote(100).await;
        let PostgresState::Running { pid } = *state.borrow() else { panic!("it does not run") };
        kill(nix::unistd::Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        let again =
            |state: &PostgresState| matches!(state, PostgresState::Running { pid: new } if *new != pid);
        state.wait_for(again).await.unwrap();
        until_it_answers(&postgres.url()).await;
        writers.lost_nothing(&postgres.url()).await;
    }
    postgres.stop().await;
}

#[tokio::test]
async fn acknowledged_inserts_survive_the_death_of_the_server() {
    let mut server = RealServer::start().await;
    for _ in 0..3 {
        let writers = Writers::start(&server.database_url()).await;
        writers.wrote(100).await;
        server.kill9();
        server.restart().await;
        writers.lost_nothing(&server.database_url()).await;
    }
}

#[tokio::test]
async fn acknowledged_inserts_survive_the_death_of_server_and_postgresql_together() {
    let mut server = RealServer::start().await;
    for _ in 0..3 {
        let writers = Writers::start(&server.database_url()).await;
        writers.wrote(100).await;
        let postgres = server.postgres_pid();
        server.kill9();
        // It may have heard of the server's death and be gone.
        let _ = kill(postgres, Signal::SIGKILL);
        server.restart().await;
        writers.lost_nothing(&server.database_url()).await;
    }
}

#[tokio::test]
async fn a_server_goes_on_when_its_postgresql_was_killed() {
    let server = RealServer::start().await;
    let ready = format!("{}/readyz", server.base_url());
    kill(server.postgres_pid(), Signal::SIGKILL).unwrap();
    server.logged("PostgreSQL ended unexpectedly").await;
    while reqwest::get(&ready).await.unwrap().status() != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_it_answers(url: &str) {
    while PgConnection::connect(url).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
