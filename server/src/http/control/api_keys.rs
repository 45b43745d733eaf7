//! `/t/{tenant}/{app}/api/keys`: an app's keys, managed by a secret key with the scope `keys`.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    control::{
        ControlPlane,
        api_keys::{ApiKey, IssuedApiKey, KeyKind, KeyScope, NewApiKey},
        tenants::AppName,
    },
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            api_key::SecretKey,
            input::{ApiJson, ApiPath, Input},
        },
    },
    ids::ApiKeyId,
};

/// A key to issue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    #[schema(example = "backend, staging", min_length = 1, max_length = 100)]
    name: String,
    kind: KeyKind,
    /// What a secret key may do; left out: everything that the key which asks may do.
    scopes: Option<Vec<KeyScope>>,
    /// When the key ends; left out: never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<OffsetDateTime>,
}

impl Input for KeyRequest {}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyResponse {
    #[schema(example = "key_0192f0c1a5d87c0bb1c5a1f0e5b7d9a3")]
    id: String,
    kind: KeyKind,
    name: String,
    /// How the secret begins.
    #[schema(example = "sk_live_Ab3d")]
    prefix: String,
    scopes: Vec<KeyScope>,
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<OffsetDateTime>,
    /// Lags by a few seconds.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<OffsetDateTime>,
}

/// A key that was just issued, with its secret: in this answer and nowhere else.
#[derive(Debug, Serialize, ToSchema)]
pub struct IssuedKeyResponse {
    #[serde(flatten)]
    key: KeyResponse,
    /// Keep it; it cannot be shown again.
    #[schema(example = "sk_live_Ab3d…")]
    token: String,
}

/// All of an app's keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeysResponse {
    /// Newest first; revoked and expired ones are among them.
    keys: Vec<KeyResponse>,
}

/// The part of the path that names a key.
#[derive(Debug, Deserialize)]
pub struct KeyPath {
    key: String,
}

impl From<ApiKey> for KeyResponse {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.api_key_id.to_string(),
            kind: key.kind,
            name: key.name,
            prefix: key.token_prefix,
            scopes: key.scopes.iter().collect(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// List the app's API keys
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/api/keys",
    tag = "Management",
    operation_id = "list_keys",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    responses(
        (status = 200, description = "The keys", body = KeysResponse),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`secret_key_required` or `key_scope_missing`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody),
    ),
    security(("secret_key" = []))
)]
pub async fn list(
    key: SecretKey,
    State(control): State<ControlPlane>,
) -> Result<Json<KeysResponse>, ApiError> {
    key.must(KeyScope::Keys)?;
    let keys = control.api_keys(&key.live().app).await?;
    Ok(Json(KeysResponse { keys: keys.into_iter().map(KeyResponse::from).collect() }))
}

/// Issue an API key
///
/// The plain text is in this answer and nowhere else. A key cannot issue one that may do more than itself.
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/api/keys",
    tag = "Management",
    operation_id = "issue_key",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    request_body = KeyRequest,
    responses(
        (status = 201, description = "The key", body = IssuedKeyResponse),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`secret_key_required` or `key_scope_missing`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody),
    ),
    security(("secret_key" = []))
)]
pub async fn issue(
    key: SecretKey,
    State(control): State<ControlPlane>,
    ApiJson(request): ApiJson<KeyRequest>,
) -> Result<Response, ApiError> {
    key.must(KeyScope::Keys)?;
    let new = new_key(&key, request, control.now())?;
    let IssuedApiKey { key, token } = control.issue_api_key(&key.actor(), &key.live().app, new).await?;
    let body = IssuedKeyResponse { key: key.into(), token: token.expose().to_owned() };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(body)).into_response())
}

/// Revoke an API key
///
/// Effective at once. A key that was revoked before is left as it is; a key may revoke itself.
#[utoipa::path(
    delete,
    path = "/t/{tenant}/{app}/api/keys/{key}",
    tag = "Management",
    operation_id = "revoke_key",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("key" = String, Path, description = "The key's id (`key_…`)"),
    ),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`secret_key_required` or `key_scope_missing`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such app or key", body = ErrorBody,
            example = json!(no_such_key().body())),
    ),
    security(("secret_key" = []))
)]
pub async fn revoke(
    key: SecretKey,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<KeyPath>,
) -> Result<StatusCode, ApiError> {
    key.must(KeyScope::Keys)?;
    let id: ApiKeyId = path.key.parse().map_err(|_| no_such_key())?;
    if control.revoke_api_key(&key.actor(), &key.live().app, id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_such_key())
}

/// What the request asks for, if it is no more than the asking key may do itself.
fn new_key(by: &SecretKey, request: KeyRequest, now: OffsetDateTime) -> Result<NewApiKey, ApiError> {
    let name = AppName::parse(&request.name)
        .map_err(|reason| ApiError::invalid_request(format!("name is not acceptable: {reason}")))?;
    if request.expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::invalid_request("expires_at must lie in the future."));
    }
    let scopes = match (request.kind, request.scopes) {
        (KeyKind::Publishable, None) => Vec::new(),
        (KeyKind::Publishable, Some(scopes)) if scopes.is_empty() => scopes,
        (KeyKind::Publishable, Some(_)) => {
            return Err(ApiError::invalid_request("A publishable key has no scopes; leave them out."));
        }
        (KeyKind::Secret, None) => by.key().scopes.iter().collect(),
        (KeyKind::Secret, Some(mut scopes)) => {
            scopes.sort_unstable();
            scopes.dedup();
            scopes
        }
    };
    for scope in &scopes {
        by.must(*scope)?;
    }
    Ok(NewApiKey { kind: request.kind, name, scopes, expires_at: request.expires_at })
}

fn no_such_key() -> ApiError {
    ApiError::not_found("not_found", "This app has no such key.")
}
