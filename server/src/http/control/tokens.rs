//! `POST /t/{tenant}/{app}/auth/token`: a token for an end user, minted by the tenant's own server.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use time::Duration;
use utoipa::ToSchema;

use crate::{
    control::{ControlPlane, api_keys::KeyScope},
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            api_key::SecretKey,
            input::{ApiJson, Input},
        },
    },
    ids::{ScopeId, UserId},
};

/// How long a token lives unless the request says otherwise.
const DEFAULT_TTL_SECONDS: i64 = 60 * 60;
/// The longest life of a token: 30 days. A token cannot be revoked one by one.
const MAX_TTL_SECONDS: i64 = 30 * 24 * 60 * 60;

/// For whom a token is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The end user, by the name that your server knows them by: 1 to 255 characters.
    #[schema(example = "user-42", min_length = 1, max_length = 255)]
    user_id: String,
    /// The data set that the user syncs, if it is not their own: users with one scope share its rows.
    #[schema(example = "team-7", min_length = 1, max_length = 255)]
    scope_id: Option<String>,
    /// Seconds that the token is good for: 1 to 2592000, otherwise an hour.
    #[schema(example = 3600, minimum = 1, maximum = 2_592_000)]
    ttl_seconds: Option<i64>,
}

impl Input for TokenRequest {}

/// A token to hand to the user's device.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenResponse {
    /// What the device sends as `Authorization: Bearer …`.
    #[schema(example = "eyJhbGciOiJIUzI1NiJ9.…")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until it ends.
    #[schema(example = 3600)]
    expires_in: i64,
    #[schema(example = "user-42")]
    user_id: String,
    #[schema(example = "user-42")]
    scope_id: String,
}

/// Mint a token for an end user
///
/// Called by your own server, after it has made sure who the user is. Never ship a secret key inside an app.
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/auth/token",
    tag = "Tokens",
    operation_id = "mint_token",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    request_body = TokenRequest,
    responses(
        (status = 200, description = "The token", body = TokenResponse),
        (status = 400, description = "`invalid_request`: a member is missing, mistyped, unknown or out of its bounds",
            body = ErrorBody, example = json!(invalid_ttl().body())),
        (status = 401, description = "`authentication_failed`: no API key, or one that is wrong, revoked or expired",
            body = ErrorBody, example = json!(ApiError::authentication_failed("This API key was revoked.").body())),
        (status = 403, description = "`secret_key_required` or `key_scope_missing`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody,
            example = json!(ApiError::no_such_app().body())),
    ),
    security(("secret_key" = []))
)]
pub async fn mint(
    key: SecretKey,
    State(control): State<ControlPlane>,
    ApiJson(request): ApiJson<TokenRequest>,
) -> Result<Json<TokenResponse>, ApiError> {
    key.must(KeyScope::Tokens)?;
    let user = UserId::parse(&request.user_id)
        .map_err(|reason| ApiError::invalid_request(format!("user_id is not acceptable: {reason}.")))?;
    let scope = match &request.scope_id {
        Some(text) => ScopeId::parse(text)
            .map_err(|reason| ApiError::invalid_request(format!("scope_id is not acceptable: {reason}.")))?,
        None => user.own_scope(),
    };
    let ttl = request.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS);
    if !(1..=MAX_TTL_SECONDS).contains(&ttl) {
        return Err(invalid_ttl());
    }
    let token = control.mint_token(&key.live().auth, &user, &scope, Duration::seconds(ttl));
    Ok(Json(TokenResponse {
        access_token: token.access_token,
        token_type: "Bearer",
        expires_in: token.expires_in.whole_seconds(),
        user_id: user.to_string(),
        scope_id: scope.to_string(),
    }))
}

fn invalid_ttl() -> ApiError {
    ApiError::invalid_request(format!("ttl_seconds must be a whole number from 1 to {MAX_TTL_SECONDS}."))
}
