//! `/t/{tenant}/{app}/api/schema`: an app's tables, read and published by a secret key with the scope `schema`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    control::{
        ControlPlane,
        api_keys::KeyScope,
        apps::schema::{PublishedSchema, SchemaDraft, SchemaError},
    },
    directory::Directory,
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            api_key::SecretKey,
            input::{ApiJson, Input},
        },
    },
    tables::{
        ddl::{Dialect, Mapping, Remark},
        spec::AppSpec,
    },
};

/// Tables to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRequest {
    /// `CREATE TABLE` statements of SQLite or PostgreSQL. Tables that are not among them stay as they are.
    #[schema(example = "create table notes (id text primary key not null, title text not null);")]
    ddl: String,
    /// `sqlite` or `postgresql`; left out: found out.
    dialect: Option<RequestedDialect>,
    /// Publish only if this is still the latest version.
    #[schema(example = 1, minimum = 0)]
    base_version: Option<i32>,
    /// Only say what would be published.
    #[serde(default)]
    dry_run: bool,
}

impl Input for SchemaRequest {}

/// The language of the text.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestedDialect {
    Sqlite,
    Postgresql,
}

impl From<RequestedDialect> for Dialect {
    fn from(dialect: RequestedDialect) -> Self {
        match dialect {
            RequestedDialect::Sqlite => Self::Sqlite,
            RequestedDialect::Postgresql => Self::Postgresql,
        }
    }
}

/// The tables that an app has.
#[derive(Debug, Serialize, ToSchema)]
pub struct SchemaResponse {
    /// The version, 0 before the first.
    #[schema(example = 1)]
    version: i32,
    /// The `schema` member of rows on the wire.
    #[schema(example = "main")]
    logical_schema: String,
    /// The tables: names, columns, keys and constraints.
    #[schema(value_type = Vec<Object>)]
    tables: Value,
}

/// What was published, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishedResponse {
    /// The version that the app has now, or would have.
    #[schema(example = 2)]
    version: i32,
    /// False: the app has these tables already, and no version was added.
    changed: bool,
    /// What each column was declared as and became.
    #[schema(value_type = Vec<Object>)]
    mappings: Vec<Mapping>,
    /// What was left out or adjusted without a consequence for devices.
    #[schema(value_type = Vec<Object>)]
    notes: Vec<Remark>,
    /// What works, but perhaps not as meant.
    #[schema(value_type = Vec<Object>)]
    warnings: Vec<Remark>,
}

/// Read the app's tables
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/api/schema",
    tag = "Management",
    operation_id = "get_schema",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    responses(
        (status = 200, description = "The latest version", body = SchemaResponse),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`secret_key_required` or `key_scope_missing`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody),
    ),
    security(("secret_key" = []))
)]
pub async fn read(
    key: SecretKey,
    State(control): State<ControlPlane>,
) -> Result<Json<SchemaResponse>, ApiError> {
    key.must(KeyScope::Schema)?;
    let AppSpec { version, logical_schema, tables } = control.latest_tables(&key.live().app).await?.spec();
    let tables = serde_json::to_value(tables).map_err(ApiError::internal)?;
    Ok(Json(SchemaResponse { version, logical_schema: logical_schema.as_str().to_owned(), tables }))
}

/// Publish tables
///
/// Adds the next schema version, or nothing if the app has these tables already. A version only ever adds to the one
/// before, so devices that were built for an older one go on syncing.
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/api/schema",
    tag = "Management",
    operation_id = "publish_schema",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    request_body = SchemaRequest,
    responses(
        (status = 200, description = "Published, or nothing to do", body = PublishedResponse),
        (status = 400, description = "`invalid_request`, or `schema_invalid` with a member `problems`: a list of \
            `{\"line\", \"column\", \"reason\", \"remedy\"}`", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`secret_key_required` or `key_scope_missing`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody),
        (status = 409, description = "`schema_incompatible` with a member `refusals`, `schema_outdated` or \
            `schema_rows_in_the_way`", body = ErrorBody,
            example = json!(ApiError::from(SchemaError::Outdated).body())),
        (status = 503, description = "`service_unavailable`: a table was in use for too long", body = ErrorBody),
    ),
    security(("secret_key" = []))
)]
pub async fn publish(
    key: SecretKey,
    State(control): State<ControlPlane>,
    State(directory): State<Directory>,
    ApiJson(request): ApiJson<SchemaRequest>,
) -> Result<Json<PublishedResponse>, ApiError> {
    key.must(KeyScope::Schema)?;
    let (app, dialect) = (&key.live().app, request.dialect.map(Dialect::from));
    if request.dry_run {
        let draft = control.draft_schema(app, &request.ddl, dialect).await?;
        let changed = !draft.plan.changes.is_empty();
        let version = if changed { draft.plan.next.version } else { draft.current.version };
        return Ok(Json(response(version, changed, draft)));
    }
    let published =
        control.publish_schema(&key.actor(), app, &request.ddl, dialect, request.base_version).await?;
    directory.refresh().await;
    let PublishedSchema { version, changed, draft } = published;
    Ok(Json(response(version, changed, draft)))
}

fn response(version: i32, changed: bool, draft: SchemaDraft) -> PublishedResponse {
    let parsed = draft.parsed;
    PublishedResponse {
        version,
        changed,
        mappings: parsed.mappings,
        notes: parsed.notes,
        warnings: parsed.warnings,
    }
}
