//! An app's PostgreSQL schema and the role that owns it: made, brought up to date, removed.
//!
//! Every step can be run again after a failure at any point, so creation and removal are resumed by calling them
//! again. What the schema contains is `migrations/app`.

use sqlx::{AssertSqlSafe, PgPool};
use time::OffsetDateTime;

use super::{payload_sql::hash_string_expression, spec::WireProfile};
use crate::{
    ids::{AppId, SchemaName},
    ops::database::{AppPool, AppTx, in_schema},
};

/// `migrations/app`, in order. The number of a file is its place here, from 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/app/0001_scopes.sql"),
    include_str!("../../../migrations/app/0002_bundles.sql"),
    include_str!("../../../migrations/app/0003_capture_and_seal.sql"),
    include_str!("../../../migrations/app/0004_push.sql"),
    include_str!("../../../migrations/app/0005_snapshots.sql"),
    include_str!("../../../migrations/app/0006_ledgers.sql"),
    include_str!("../../../migrations/app/0007_small_push.sql"),
    include_str!("../../../migrations/app/0008_group_commit.sql"),
    include_str!("../../../migrations/app/0009_dashboard_reads.sql"),
    include_str!("../../../migrations/app/0010_rollups.sql"),
    include_str!("../../../migrations/app/0011_many_rows.sql"),
    include_str!("../../../migrations/app/0012_device_facts.sql"),
    include_str!("../../../migrations/app/0013_settled_by_people.sql"),
    include_str!("../../../migrations/app/0014_erasure.sql"),
    include_str!("../../../migrations/app/0015_dashboard_lists.sql"),
    include_str!("../../../migrations/app/0016_table_activity.sql"),
    include_str!("../../../migrations/app/0017_effects_of_statements.sql"),
    include_str!("../../../migrations/app/0018_quiet_tables.sql"),
    include_str!("../../../migrations/app/0019_existing_clients.sql"),
    include_str!("../../../migrations/app/0020_note_devices.sql"),
    include_str!("../../../migrations/app/0021_note_progress.sql"),
    include_str!("../../../migrations/app/0022_seldom_analysed.sql"),
];

/// The version of the engine's tables that this server knows: the number of the last migration.
pub fn known_version() -> i32 {
    i32::try_from(MIGRATIONS.len()).expect("BUG: more migrations than an i32 counts")
}

/// The engine's tables of an app could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer server has been here.
    #[error("the app's schema has version {found} of the engine's tables, this server knows {known}")]
    Newer { found: i32, known: i32 },
    #[error("the app's schema could not be changed")]
    Database(#[from] sqlx::Error),
}

/// Make role, schema and the engine's tables of a new app, or go on where an earlier attempt stopped.
pub async fn create(
    apps: &AppPool,
    app: AppId,
    profile: WireProfile,
    at: OffsetDateTime,
) -> Result<(), MigrateError> {
    create_at_version(apps, app, profile, at, known_version()).await
}

/// As [`create`], as a server that knew no later `version` did it: for tests of what comes after.
pub async fn create_at_version(
    apps: &AppPool,
    app: AppId,
    profile: WireProfile,
    at: OffsetDateTime,
    version: i32,
) -> Result<(), MigrateError> {
    let schema = app.schema();
    // Two servers may be at it; whoever comes second finds what the first has made.
    if let Err(error) = create_role_and_schema(apps.as_owner(), &schema).await {
        if !is_duplicate(&error) {
            return Err(error.into());
        }
        create_role_and_schema(apps.as_owner(), &schema).await?;
    }
    migrate_to(apps, app, profile, at, version).await
}

async fn create_role_and_schema(pool: &PgPool, schema: &SchemaName) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_catalog.pg_roles where rolname = $1)")
            .bind(schema.as_str())
            .fetch_one(&mut *tx)
            .await?;
    if !exists {
        sqlx::raw_sql(in_schema(schema, "create role {schema} nologin noinherit")).execute(&mut *tx).await?;
    }
    // So that requests may take the role even where the login role is no superuser.
    sqlx::raw_sql(in_schema(schema, "grant {schema} to current_user")).execute(&mut *tx).await?;
    sqlx::raw_sql(in_schema(schema, "create schema if not exists {schema} authorization {schema}"))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Bring the engine's tables of an app up to what this server knows, one transaction a migration.
pub async fn migrate(
    apps: &AppPool,
    app: AppId,
    profile: WireProfile,
    at: OffsetDateTime,
) -> Result<(), MigrateError> {
    migrate_to(apps, app, profile, at, known_version()).await
}

async fn migrate_to(
    apps: &AppPool,
    app: AppId,
    profile: WireProfile,
    at: OffsetDateTime,
    known: i32,
) -> Result<(), MigrateError> {
    let schema = app.schema();
    let found = version(apps, &schema).await?;
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    for number in found + 1..=known {
        run_migration(apps, &schema, profile, number, at).await?;
    }
    Ok(())
}

/// The number of the latest migration that the schema has had; 0 before the first.
async fn version(apps: &AppPool, schema: &SchemaName) -> Result<i32, sqlx::Error> {
    let mut tx = apps.begin(schema).await?;
    let version = version_in(&mut tx, schema).await?;
    // Not left to be tidied up: the app's first request comes at once, and would have to take another connection.
    tx.rollback().await?;
    Ok(version)
}

async fn version_in(tx: &mut AppTx, schema: &SchemaName) -> Result<i32, sqlx::Error> {
    // Read from the catalog itself: `to_regclass` may answer from what the connection knew before it waited for the lock.
    let begun: bool = sqlx::query_scalar(
        "select exists (
            select from pg_catalog.pg_tables t where t.schemaname = $1 and t.tablename = '_sync_migration'
        )",
    )
    .persistent(false)
    .bind(schema.as_str())
    .fetch_one(&mut **tx)
    .await?;
    if !begun {
        return Ok(0);
    }
    sqlx::query_scalar(in_schema(schema, "select coalesce(max(version), 0) from {schema}._sync_migration"))
        .persistent(false)
        .fetch_one(&mut **tx)
        .await
}

async fn run_migration(
    apps: &AppPool,
    schema: &SchemaName,
    profile: WireProfile,
    number: i32,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let source = MIGRATIONS[usize::try_from(number - 1).expect("BUG: migrations are numbered from 1")];
    let mut tx = apps.begin(schema).await?;
    // One at a time: other servers may be at it, and so may a job of this one.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .persistent(false)
        .bind(schema.as_str())
        .execute(&mut *tx)
        .await?;
    if version_in(&mut tx, schema).await? >= number {
        return tx.rollback().await;
    }
    for statement in source.split("\n-- next\n") {
        let sql = AssertSqlSafe(fill_in(schema, profile, statement));
        sqlx::raw_sql(sql).execute(&mut *tx).await?;
    }
    sqlx::query(in_schema(
        schema,
        "insert into {schema}._sync_migration (version, applied_at) values ($1, $2)",
    ))
    .persistent(false)
    .bind(number)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// A statement of `migrations/app` with its placeholders filled in; their meaning is in the README there.
fn fill_in(schema: &SchemaName, profile: WireProfile, statement: &str) -> String {
    let quote = match profile {
        WireProfile::Strings => "\"",
        WireProfile::Numbers => "",
    };
    statement
        .replace("{schema}", schema.as_str())
        .replace("{quote}", quote)
        .replace("{hash_text}", &hash_string_expression(profile, "p_text"))
        .replace("{hash_key}", &hash_string_expression(profile, "b.key"))
}

/// Remove everything of an app: schema and role. Nothing is left to do when they are gone already.
///
/// # Errors
/// Also when somebody holds a lock in the schema for more than ten seconds: call it again.
pub async fn drop(apps: &AppPool, app: AppId) -> Result<(), sqlx::Error> {
    let schema = app.schema();
    let mut tx = apps.as_owner().begin().await?;
    sqlx::raw_sql("set local lock_timeout = '10s'").execute(&mut *tx).await?;
    sqlx::raw_sql(in_schema(&schema, "drop schema if exists {schema} cascade")).execute(&mut *tx).await?;
    sqlx::raw_sql(in_schema(&schema, "drop role if exists {schema}")).execute(&mut *tx).await?;
    tx.commit().await
}

/// Something was made twice at the same time: a role, a schema, or the catalog's row of one.
fn is_duplicate(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42710" | "42P06" | "23505" | "XX000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_file_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/app");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .collect();
        files.sort();
        let contents: Vec<_> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert_eq!(contents, MIGRATIONS);
    }

    #[test]
    fn no_placeholder_is_left() {
        let schema = AppId::new().schema();
        for profile in [WireProfile::Strings, WireProfile::Numbers] {
            for source in MIGRATIONS {
                let filled = fill_in(&schema, profile, source);
                for placeholder in ["{schema", "{quote", "{hash"] {
                    assert!(!filled.contains(placeholder), "{placeholder} in {filled}");
                }
            }
        }
    }
}
