//! `GET syncx/health` and `GET syncx/status`: is the app's sync service there? For anybody; nothing of its data.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::Syncline,
    http::{
        error::{ApiError, ErrorBody},
        extract::end_user::AddressedApp,
    },
};

/// Whether the app can be synced now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// `running` or `stopping`.
    #[schema(example = "running")]
    lifecycle: &'static str,
}

/// What serves the app.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    #[serde(flatten)]
    health: Health,
    app_name: String,
    /// Always `v1`.
    #[schema(example = "v1")]
    protocol_version: &'static str,
    schema_version: i32,
}

/// Tell whether the app can be synced
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/syncx/health",
    tag = "Sync",
    operation_id = "sync_health",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody),
        (status = 503, description = "The server is stopping, or its database does not answer", body = Health),
    )
)]
pub(crate) async fn health(
    app: AddressedApp,
    State(server): State<Syncline>,
) -> Result<(StatusCode, Json<Health>), ApiError> {
    let health = look(&app, &server).await;
    let status = if health.status == "healthy" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(health)))
}

/// Tell what serves the app
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/syncx/status",
    tag = "Sync",
    operation_id = "sync_status",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
    ),
    responses(
        (status = 200, description = "The service's state", body = Status),
        (status = 404, description = "`not_found`: no such app", body = ErrorBody),
    )
)]
pub(crate) async fn status(
    app: AddressedApp,
    State(server): State<Syncline>,
) -> Result<Json<Status>, ApiError> {
    let live = app.live();
    Ok(Json(Status {
        health: look(&app, &server).await,
        app_name: live.app.name.clone(),
        protocol_version: "v1",
        schema_version: live.catalog.schema_version,
    }))
}

async fn look(app: &AddressedApp, server: &Syncline) -> Health {
    let is_stopping = server.lifecycle.is_draining();
    let answers = server.engine.answers(&app.live().catalog).await;
    Health {
        status: if answers && !is_stopping { "healthy" } else { "unhealthy" },
        lifecycle: if is_stopping { "stopping" } else { "running" },
    }
}
