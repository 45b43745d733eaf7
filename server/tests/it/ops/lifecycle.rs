//! The end of the server: soft, then hard.

use std::time::Duration;

use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::support::server::RealServer;

/// A request that waits for a table of the control plane which somebody has locked. No job reads that table: when
/// something waits, it is the request.
struct StuckRequest {
    lock: PgConnection,
    answer: JoinHandle<reqwest::Result<reqwest::StatusCode>>,
}

impl StuckRequest {
    async fn send(server: &RealServer) -> Self {
        let mut lock = PgConnection::connect(&server.database_url()).await.unwrap();
        let locked = "begin; lock table platform.tenant in access exclusive mode";
        sqlx::raw_sql(locked).execute(&mut lock).await.unwrap();
        let url = format!("{}/t/acme/notes/api/keys", server.base_url());
        let answer = tokio::spawn(async move { Ok(reqwest::get(url).await?.status()) });
        let waiting = "select exists (select from pg_locks where not granted)";
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut lock).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { lock, answer }
    }

    async fn let_go(mut self) -> reqwest::Result<reqwest::StatusCode> {
        // The connection may have been cut with everything else.
        let _ = sqlx::raw_sql("rollback").execute(&mut self.lock).await;
        self.answer.await.unwrap()
    }
}

#[tokio::test]
async fn told_to_stop_the_server_finishes_what_it_has_begun_and_takes_nothing_new() {
    let mut server = RealServer::start().await;
    let request = StuckRequest::send(&server).await;
    server.signal(Signal::SIGTERM);
    server.logged("Told to stop: finishing open requests.").await;
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(request.let_go().await.unwrap(), 404);
    assert!(server.ended().await.success(), "{}", server.log());
    assert!(!server.data_dir().join("pg/postmaster.pid").exists(), "PostgreSQL has ended too");
    server.restart().await;
}

#[tokio::test]
async fn told_twice_the_server_cuts_what_is_open() {
    let mut server = RealServer::start().await;
    let request = StuckRequest::send(&server).await;
    server.signal(Signal::SIGINT);
    server.logged("Told to stop: finishing open requests.").await;
    server.signal(Signal::SIGINT);
    assert!(server.ended().await.success(), "{}", server.log());
    assert!(request.let_go().await.is_err());
}

#[tokio::test]
async fn a_request_that_does_not_finish_in_time_is_cut() {
    let mut server = RealServer::start_with(&[("SYNCLINE_HTTP_SHUTDOWN_SECONDS", "0")]).await;
    let request = StuckRequest::send(&server).await;
    assert!(server.terminate().await.success(), "{}", server.log());
    assert!(server.log().contains("still open are cut"), "{}", server.log());
    assert!(request.let_go().await.is_err());
}
