//! Publishing a schema version: running a plan, and recording what it made.

use sqlx::{AssertSqlSafe, types::Json};
use time::OffsetDateTime;

use super::{
    payload_sql::{hash_string, row_head},
    plan::{Change, Plan},
    render,
    spec::{AppSpec, TableSpec, WireProfile},
};
use crate::{
    ids::{AppId, SchemaName},
    ops::database::{AppPool, AppTx, in_schema},
};

/// Who publishes what, for the record.
#[derive(Debug, Clone)]
pub struct Publication<'a> {
    /// The text as submitted.
    pub ddl: &'a str,
    /// In words an administrator knows, for instance an email address.
    pub by: &'a str,
    pub at: OffsetDateTime,
}

/// Why a version was not published. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Somebody published another version since the plan was made: plan again.
    #[error("another version was published meanwhile")]
    Outdated,
    /// Rows that exist break a new constraint of this table.
    #[error("rows of {table} break a new constraint")]
    RowsInTheWay { table: String },
    /// A table stayed locked for too long by somebody's transaction: try again.
    #[error("a table is in use")]
    Busy,
    #[error("the version could not be published")]
    Database(#[from] sqlx::Error),
}

/// Run `plan` in one transaction of the app's role and record the version it makes.
///
/// A plan without changes publishes nothing and is no error.
pub async fn publish(
    apps: &AppPool,
    app: AppId,
    profile: WireProfile,
    plan: &Plan,
    publication: &Publication<'_>,
) -> Result<(), PublishError> {
    if plan.changes.is_empty() {
        return Ok(());
    }
    let schema = app.schema();
    let mut tx = apps.begin(&schema).await?;
    take_turn(&mut tx, &schema, plan).await?;
    for statement in render::statements(&schema, profile, &plan.changes, &plan.next) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await.map_err(outcome)?;
    }
    for change in &plan.changes {
        if let Change::CreateTable { table } = change {
            let table =
                plan.next.table(table.as_str()).expect("BUG: a created table that the version does not have");
            insert_table(&mut tx, &schema, profile, &plan.next, table).await?;
        }
    }
    sqlx::query(in_schema(
        &schema,
        "insert into {schema}._sync_schema_version (version, ddl, spec, published_at, published_by)
         values ($1, $2, $3, $4, $5)",
    ))
    .persistent(false)
    .bind(plan.next.version)
    .bind(publication.ddl)
    .bind(Json(&plan.next))
    .bind(publication.at)
    .bind(publication.by)
    .execute(&mut *tx)
    .await?;
    tx.commit().await.map_err(outcome)
}

/// One publication at a time, and only on top of the version that it was planned on.
async fn take_turn(tx: &mut AppTx, schema: &SchemaName, plan: &Plan) -> Result<(), PublishError> {
    // A publication waits for transactions that use its tables, and whoever comes later waits behind it.
    sqlx::raw_sql("set local lock_timeout = '5s'").execute(&mut **tx).await?;
    sqlx::raw_sql("set local search_path = pg_catalog").execute(&mut **tx).await?;
    sqlx::raw_sql(in_schema(schema, "lock table {schema}._sync_schema_version in share row exclusive mode"))
        .execute(&mut **tx)
        .await
        .map_err(outcome)?;
    let latest: i32 = sqlx::query_scalar(in_schema(
        schema,
        "select coalesce(max(version), 0) from {schema}._sync_schema_version",
    ))
    .persistent(false)
    .fetch_one(&mut **tx)
    .await?;
    if latest + 1 == plan.next.version { Ok(()) } else { Err(PublishError::Outdated) }
}

async fn insert_table(
    tx: &mut AppTx,
    schema: &SchemaName,
    profile: WireProfile,
    spec: &AppSpec,
    table: &TableSpec,
) -> Result<(), PublishError> {
    let heads = Heads::new(profile, spec, table);
    sqlx::query(in_schema(
        schema,
        "insert into {schema}._sync_table (table_no, table_name, since_version, row_head, hash_head, hash_tail)
         values ($1, $2, $3, $4, $5, $6)",
    ))
    .persistent(false)
    .bind(table.table_no)
    .bind(table.name.as_str())
    .bind(spec.version)
    .bind(heads.row)
    .bind(heads.hash)
    .bind(heads.hash_tail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The JSON around a row's key and payload that is the same for every row of a table.
struct Heads {
    row: String,
    hash: String,
    hash_tail: String,
}

impl Heads {
    fn new(profile: WireProfile, spec: &AppSpec, table: &TableSpec) -> Self {
        let [schema, name, key] = [&spec.logical_schema, &table.name, &table.key.column];
        let hashed = |text: &str| hash_string(profile, text);
        Self {
            row: row_head(schema, name, key),
            hash: format!("{{\"key\":{{{}:", hashed(key.as_str())),
            hash_tail: format!(
                ",\"schema\":{},\"table\":{}}}",
                hashed(schema.as_str()),
                hashed(name.as_str())
            ),
        }
    }
}

/// What PostgreSQL's refusal of a statement means.
fn outcome(error: sqlx::Error) -> PublishError {
    let Some(database) = error.as_database_error() else {
        return PublishError::Database(error);
    };
    match database.code().as_deref() {
        Some("23502" | "23503" | "23505" | "23514") => {
            PublishError::RowsInTheWay { table: database.table().unwrap_or_default().to_owned() }
        }
        Some("55P03" | "40P01") => PublishError::Busy,
        _ => PublishError::Database(error),
    }
}
