//! `GET sync/capabilities`.

use axum::{Json, extract::State};

use crate::{
    http::{
        error::{ApiError, ErrorBody},
        extract::end_user::EndUserActor,
    },
    sync::{Engine, capabilities::Capabilities},
};

/// Tell what the server speaks
///
/// Tables, features and limits. A client compares the tables with its own and refuses to sync on any difference.
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/sync/capabilities",
    tag = "Sync",
    operation_id = "capabilities",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
    ),
    responses(
        (status = 200, description = "Tables, features and limits", body = Capabilities),
        (status = 400, description = "`invalid_request`: no source id", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn capabilities(
    actor: EndUserActor,
    State(engine): State<Engine>,
) -> Result<Json<Capabilities>, ApiError> {
    let live = actor.live();
    Ok(Json(engine.capabilities(&live.catalog, &live.app.name)))
}
