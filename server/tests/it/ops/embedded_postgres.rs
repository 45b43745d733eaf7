//! The private PostgreSQL: made, found again, and refused with a sentence.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{Connection, PgConnection};
use syncline::ops::embedded_postgres::{
    Durability, EmbeddedPostgres, EmbeddedPostgresError, EmbeddedSettings, PostgresState,
};

use crate::support::scratch::ScratchFolder;

fn on(data_dir: &Path) -> EmbeddedSettings {
    EmbeddedSettings {
        data_dir: data_dir.to_owned(),
        max_connections: 10,
        durability: Durability::Disposable,
    }
}

async fn start(data_dir: &Path) -> EmbeddedPostgres {
    EmbeddedPostgres::start(&on(data_dir)).await.unwrap()
}

async fn refused(data_dir: &Path) -> EmbeddedPostgresError {
    let error = EmbeddedPostgres::start(&on(data_dir)).await.unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

fn pid(postgres: &EmbeddedPostgres) -> Pid {
    match *postgres.state().borrow() {
        PostgresState::Running { pid } => Pid::from_raw(pid as i32),
        ref state => panic!("it does not run: {state:?}"),
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_folder_is_refused() {
    let folder = ScratchFolder::new("syncline-embedded");
    assert_eq!(EmbeddedPostgres::url_of_running(folder.path()).unwrap(), None);
    let postgres = start(folder.path()).await;
    let error = refused(folder.path()).await;
    let us = Some(std::process::id());
    assert!(matches!(error, EmbeddedPostgresError::InUse { pid, .. } if pid == us), "{error}");
    assert_eq!(EmbeddedPostgres::url_of_running(folder.path()).unwrap(), Some(postgres.url()));
    postgres.stop().await;
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn only_the_socket_leads_in_and_only_as_oneself() {
    let folder = ScratchFolder::new("syncline-embedded");
    let postgres = start(folder.path()).await;
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    let (superuser, addresses): (bool, String) = sqlx::query_as(
        "select rolsuper, current_setting('listen_addresses') from pg_roles where rolname = current_user",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(!superuser, "the server's role is bound by the walls between apps");
    assert_eq!(addresses, "");
    let rules: Vec<String> = sqlx::query_scalar("select setting from pg_settings where name = 'fsync'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(rules, ["off"], "a disposable one does not wait for the disk");
    for private in ["pg", "socket"] {
        let mode = fs::metadata(folder.path().join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{private}");
    }
    postgres.stop().await;
}

#[tokio::test]
async fn a_half_made_cluster_is_made_again() {
    let folder = ScratchFolder::new("syncline-embedded");
    let unfinished = folder.path().join("pg.new");
    fs::create_dir_all(unfinished.join("base")).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    start(folder.path()).await.stop().await;
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = ScratchFolder::new("syncline-embedded");
    let cluster = folder.path().join("pg");
    fs::create_dir(&cluster).unwrap();
    fs::write(cluster.join("thesis.txt"), "years of work").unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, EmbeddedPostgresError::NotACluster(_)), "{error}");
    assert!(cluster.join("thesis.txt").exists());
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_with_what_to_do() {
    let folder = ScratchFolder::new("syncline-embedded");
    start(folder.path()).await.stop().await;
    fs::write(folder.path().join("pg/PG_VERSION"), "9\n").unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, EmbeddedPostgresError::OtherVersion { made_by: 9, .. }), "{error}");
    assert!(error.to_string().contains("install postgresql-9, or move the data with pg_upgrade"), "{error}");
}

#[tokio::test]
async fn a_postgresql_that_cannot_start_says_why() {
    let folder = ScratchFolder::new("syncline-embedded");
    start(folder.path()).await.stop().await;
    fs::write(folder.path().join("pg/custom.conf"), "shared_buffers = 'a lot'\n").unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, EmbeddedPostgresError::DoesNotStart(_)), "{error}");
    assert!(error.to_string().contains("contains errors"), "{error}");
    fs::write(folder.path().join("pg/custom.conf"), "work_mem = '9MB'\n").unwrap();
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn a_data_folder_with_a_path_too_long_for_a_socket_works() {
    let folder = ScratchFolder::new("syncline-embedded");
    let deep = folder.path().join("deep/".repeat(30)).join("it's 100% here");
    let postgres = start(&deep).await;
    PgConnection::connect(&postgres.url()).await.unwrap().close().await.unwrap();
    let socket = fs::read_to_string(deep.join("pg/postmaster.pid")).unwrap();
    let socket = socket.lines().nth(4).unwrap().to_owned();
    postgres.stop().await;
    fs::remove_dir(socket).expect("the folder of the socket is short, and empty now");
}

#[tokio::test]
async fn a_folder_name_with_odd_characters_works() {
    let folder = ScratchFolder::new("syncline-embedded");
    let odd = folder.path().join("it's 100% ü");
    let postgres = start(&odd).await;
    PgConnection::connect(&postgres.url()).await.unwrap().close().await.unwrap();
    postgres.stop().await;
}

/// An orphan: a PostgreSQL whose server is gone and that nobody told.
#[tokio::test]
async fn an_orphan_is_stopped_and_replaced() {
    let folder = ScratchFolder::new("syncline-embedded");
    let postgres = start(folder.path()).await;
    let program = fs::read_link(format!("/proc/{}/exe", pid(&postgres))).unwrap();
    postgres.stop().await;

    let cluster = folder.path().join("pg");
    let owner = fs::metadata(&cluster).unwrap();
    let mut orphan = Command::new(program);
    orphan.arg("-D").arg(&cluster).current_dir("/").stderr(Stdio::null());
    if nix::unistd::Uid::effective().is_root() {
        orphan.uid(owner.uid()).gid(owner.gid());
    }
    let mut orphan = orphan.spawn().unwrap();
    while !folder.path().join("socket/.s.PGSQL.5432").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Reaped as soon as it ends, as init would do with a real orphan.
    let reaper = tokio::task::spawn_blocking(move || (orphan.id(), orphan.wait().unwrap()));
    let postgres = start(folder.path()).await;
    let (orphan, status) = reaper.await.unwrap();
    assert!(status.success(), "it was asked to stop and not killed: {status}");
    assert_ne!(pid(&postgres), Pid::from_raw(orphan as i32));
    postgres.stop().await;
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_does_not_stop_the_start() {
    let folder = ScratchFolder::new("syncline-embedded");
    start(folder.path()).await.stop().await;
    let cluster = folder.path().join("pg");
    let owner = fs::metadata(&cluster).unwrap();
    // Another process of PostgreSQL's user, which PostgreSQL itself would take for a running one.
    let mut stranger = Command::new("sleep");
    stranger.arg("1000");
    if nix::unistd::Uid::effective().is_root() {
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = stranger.spawn().unwrap();
    for stale in [cluster.join("postmaster.pid"), folder.path().join("socket/.s.PGSQL.5432.lock")] {
        fs::write(&stale, format!("{}\n{}\n0\n5432\n", stranger.id(), cluster.display())).unwrap();
        if nix::unistd::Uid::effective().is_root() {
            chown(&stale, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }
    let postgres = EmbeddedPostgres::start(&on(folder.path())).await;
    kill(Pid::from_raw(stranger.id() as i32), None::<Signal>).expect("the stranger was left alone");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    postgres.unwrap().stop().await;
}
