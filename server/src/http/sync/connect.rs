//! `POST sync/connect`.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            end_user::EndUserActor,
            input::{ApiJson, Input},
        },
    },
    sync::{Engine, connect::Resolution},
};

/// What a device brings along.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ConnectRequest {
    /// Whether the device has rows that no server has seen.
    has_local_pending_rows: bool,
}

impl Input for ConnectRequest {
    const INVALID: &'static str = "connect_invalid";
}

/// What the device does next.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "resolution", rename_all = "snake_case")]
pub(crate) enum ConnectResponse {
    /// The scope has history: download it.
    RemoteAuthoritative,
    /// The scope is initialized now and empty.
    InitializeEmpty,
    /// This device may push the scope's first rows, with this id.
    InitializeLocal {
        initialization_id: Uuid,
        #[serde(with = "time::serde::rfc3339")]
        lease_expires_at: OffsetDateTime,
    },
    /// Another device is about to push the scope's first rows.
    RetryLater {
        #[schema(minimum = 1)]
        retry_after_seconds: i64,
        #[serde(with = "time::serde::rfc3339")]
        lease_expires_at: OffsetDateTime,
    },
}

/// Connect a device to its scope
///
/// The first call of a device: decides whether it uploads its own rows first or downloads what is there.
#[utoipa::path(
    post,
    path = "/t/{tenant}/{app}/sync/connect",
    tag = "Sync",
    operation_id = "connect",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    request_body = ConnectRequest,
    responses(
        (status = 200, description = "What to do next", body = ConnectResponse),
        (status = 400, description = "`connect_invalid`: the body is not what is expected. `invalid_request`: no source id",
            body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn connect(
    actor: EndUserActor,
    State(engine): State<Engine>,
    ApiJson(request): ApiJson<ConnectRequest>,
) -> Result<Json<ConnectResponse>, ApiError> {
    let resolution = engine.connect(&actor.caller(), request.has_local_pending_rows).await?;
    Ok(Json(resolution.into()))
}

impl From<Resolution> for ConnectResponse {
    fn from(resolution: Resolution) -> Self {
        match resolution {
            Resolution::RemoteAuthoritative => Self::RemoteAuthoritative,
            Resolution::InitializeEmpty => Self::InitializeEmpty,
            Resolution::InitializeLocal { initialization_id, lease_expires_at } => {
                Self::InitializeLocal { initialization_id, lease_expires_at }
            }
            Resolution::RetryLater { retry_after_seconds, lease_expires_at } => {
                Self::RetryLater { retry_after_seconds, lease_expires_at }
            }
        }
    }
}
