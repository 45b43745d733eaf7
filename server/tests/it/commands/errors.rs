//! What the program says when it cannot do what it is told: one line, and an exit code that is not zero.

use std::{net::TcpListener, os::unix::fs::PermissionsExt, process::Command};

use sqlx::{Connection, PgConnection};

use crate::support::{scratch::ScratchFolder, server::RealServer};

/// The line on standard error of a run with these variables that must fail.
fn failure(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_syncline"))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said.trim_end().to_owned()
}

#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = failure(&[], &[("SYNCLINE_LISTEN", &address)]);
    assert_eq!(
        said,
        format!(
            "syncline: port {} of 127.0.0.1 is taken by another program: stop it, or set SYNCLINE_LISTEN to another address",
            address.rsplit(':').next().unwrap()
        )
    );
}

#[test]
fn an_unreachable_database_is_told_without_its_password() {
    let url = "postgres://syncline:hunter2@127.0.0.1:1/syncline";
    let said = failure(&["serve"], &[("DATABASE_URL", url), ("SYNCLINE_LISTEN", "127.0.0.1:0")]);
    assert!(said.starts_with("syncline: the database 127.0.0.1:1/syncline cannot be reached: "), "{said}");
    assert!(!said.contains("hunter2"));
}

#[test]
fn missing_programs_are_told_with_the_package_that_has_them() {
    let folder = ScratchFolder::new("syncline-errors");
    let data = [("SYNCLINE_DATA_DIR", folder.path().to_str().unwrap()), ("SYNCLINE_LISTEN", "127.0.0.1:0")];
    let said = failure(&["serve"], &[data[0], data[1], ("PG_BIN", "/nowhere")]);
    assert_eq!(said, "syncline: PG_BIN is /nowhere, but the programs postgres and initdb are not there");
}

#[tokio::test]
async fn a_data_folder_in_use_is_told() {
    let server = RealServer::start().await;
    let folder = server.data_dir().to_str().unwrap();
    let said = failure(&["serve"], &[("SYNCLINE_DATA_DIR", folder), ("SYNCLINE_LISTEN", "127.0.0.1:0")]);
    assert!(
        said.starts_with(&format!("syncline: the data folder {folder} is in use by another server")),
        "{said}"
    );
}

#[tokio::test]
async fn a_server_with_another_secret_key_does_not_start() {
    let server = RealServer::start().await;
    let key = server.data_dir().join("secret.key");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    let url = server.database_url();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    // The secret of an authenticator, sealed with a key of another name.
    for sql in [
        "insert into platform.account (account_id, email, email_key, password_hash, created_at)
         values ('00000000-0000-4000-8000-000000000001', 'a@b.example', 'a@b.example', '', now())",
        "insert into platform.totp (account_id, secret, created_at)
         values ('00000000-0000-4000-8000-000000000001', decode(repeat('01', 65), 'hex'), now())",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let quietly = ("SYNCLINE_TELEMETRY_LOG", "error");
    let other = ("SYNCLINE_SECRET_KEY", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=");
    let said =
        failure(&["serve"], &[("DATABASE_URL", &url), ("SYNCLINE_LISTEN", "127.0.0.1:0"), quietly, other]);
    assert!(
        said.starts_with("syncline: the authenticator secrets of 1 accounts were sealed with another key"),
        "{said}"
    );
}

#[test]
fn a_setting_that_is_wrong_is_told() {
    let said = failure(&["serve"], &[("SYNCLINE_SECRET_KEY", "hunter2")]);
    assert!(
        said.starts_with("syncline: secrets.key (SYNCLINE_SECRET_KEY) must be 32 random bytes in base64"),
        "{said}"
    );

    let said = failure(&["migrate"], &[("SYNCLINE_LISTEN", "everywhere")]);
    assert_eq!(said, "syncline: SYNCLINE_LISTEN is not valid: invalid socket address syntax");
    let said = failure(&["migrate", "--config", "/nowhere.toml"], &[]);
    assert!(said.starts_with("syncline: the configuration file /nowhere.toml cannot be read"), "{said}");
}
