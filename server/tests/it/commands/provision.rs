//! `syncline provision`, beside a running server and without one.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::{scratch::ScratchFolder, server::RealServer};

const TABLES: &str = "create table note (id text primary key not null, body text not null);";

/// Run the command on a data folder; the app's tables and the owner's password come from files in `files`.
fn provision(data_dir: &Path, files: &Path, more: &[&str]) -> Output {
    provision_in(data_dir, files, more, &[])
}

fn provision_in(data_dir: &Path, files: &Path, more: &[&str], variables: &[(&str, &str)]) -> Output {
    fs::write(files.join("password"), "correct horse battery\n").unwrap();
    fs::write(files.join("schema.sql"), TABLES).unwrap();
    Command::new(env!("CARGO_BIN_EXE_syncline"))
        .args(["provision", "--tenant", "acme", "--tenant-name", "Acme", "--email", "a@example.com"])
        .args(["--app", "notes", "--logical-schema", "business"])
        .arg("--password-file")
        .arg(files.join("password"))
        .arg("--schema-file")
        .arg(files.join("schema.sql"))
        .args(more)
        .env_remove("DATABASE_URL")
        .env("SYNCLINE_DATA_DIR", data_dir)
        .env("SYNCLINE_PUBLIC_URL", "https://sync.example.com")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn provisioned(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn beside_a_running_server_its_keys_work_at_once_and_a_second_run_changes_nothing() {
    let (mut server, files) = (RealServer::start().await, ScratchFolder::new("syncline-provision"));
    let first = provisioned(&provision(server.data_dir(), files.path(), &[]));
    assert_eq!(first["tenant"], "acme");
    assert_eq!(first["app"], "notes");
    assert_eq!(first["base_url"], "https://sync.example.com/t/acme/notes");
    assert_eq!(first["schema_version"], 1);
    assert!(first["publishable_key"].as_str().unwrap().starts_with("pk_"));

    let key = first["secret_key"].as_str().unwrap();
    let minted = reqwest::Client::new()
        .post(format!("{}/t/acme/notes/auth/token", server.base_url()))
        .bearer_auth(key)
        .json(&json!({ "user_id": "user-1" }))
        .send()
        .await
        .unwrap();
    assert_eq!(minted.status(), 200, "{}", minted.text().await.unwrap());

    let second = provisioned(&provision(server.data_dir(), files.path(), &[]));
    let without_keys = json!({
        "tenant": "acme", "app": "notes", "base_url": "https://sync.example.com/t/acme/notes", "schema_version": 1
    });
    assert_eq!(second, without_keys);

    assert!(server.terminate().await.success());
    server.restart().await;
    let mut connection = PgConnection::connect(&server.database_url()).await.unwrap();
    let used: Vec<String> =
        sqlx::query_scalar("select kind from platform.api_key where last_used_at is not null")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(used, ["secret"], "what was in memory only is written down before the end");
}

/// The secret is sealed with the server's key, by another process than the one that opens it.
#[tokio::test]
async fn tokens_that_are_signed_with_the_given_secret_are_accepted_by_the_server_before_and_after_a_restart()
{
    const SECRET: &str = "a secret of the tenant's own server";
    let (mut server, files) = (RealServer::start().await, ScratchFolder::new("syncline-provision"));
    provisioned(&provision(server.data_dir(), files.path(), &["--jwt-hs256-secret", SECRET]));
    let claims = json!({ "sub": "ann", "iat": 1_700_000_000, "exp": 4_000_000_000_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    for _ in 0..2 {
        let answered = reqwest::Client::new()
            .get(format!("{}/t/acme/notes/sync/capabilities", server.base_url()))
            .header("Oversync-Source-ID", "phone")
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answered.status(), 200, "{}", answered.text().await.unwrap());
        assert!(server.terminate().await.success());
        server.restart().await;
    }

    let another = ["--jwt-hs256-secret", "a secret that is to replace the first"];
    let other_key = [("SYNCLINE_SECRET_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
    let refused = provision_in(server.data_dir(), files.path(), &another, &other_key);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("sealed with another key: set SYNCLINE_SECRET_KEY"), "{said}");
}

#[test]
fn without_a_server_it_starts_the_private_postgresql_and_stops_it() {
    let (data, files) = (ScratchFolder::new("syncline-provision"), ScratchFolder::new("syncline-provision"));
    let first = provisioned(&provision(data.path(), files.path(), &[]));
    assert!(first["secret_key"].as_str().unwrap().starts_with("sk_"));
    assert!(!data.path().join("pg/postmaster.pid").exists());
    let second = provisioned(&provision(data.path(), files.path(), &[]));
    assert_eq!(second["secret_key"], Value::Null);
}

#[test]
fn what_cannot_be_is_told_and_nothing_is_printed() {
    let (data, files) = (ScratchFolder::new("syncline-provision"), ScratchFolder::new("syncline-provision"));
    let refused = |more: &[&str]| {
        let output = provision(data.path(), files.path(), more);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&["--wire-profile", "words"]);
    assert_eq!(said, "syncline: --wire-profile is not acceptable: it is either strings or numbers\n");
    assert!(!data.path().join("pg").exists(), "arguments are checked first");
    provisioned(&provision(data.path(), files.path(), &[]));
    let said = refused(&["--wire-profile", "numbers"]);
    assert!(said.contains("exists with the wire profile strings, which cannot be changed"), "{said}");
    let said = refused(&["--jwt-hs256-secret", "short"]);
    assert!(said.contains("An HS256 secret has 16 to 1024 characters."), "{said}");
}
