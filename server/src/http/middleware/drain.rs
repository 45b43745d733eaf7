//! A server that is stopping takes no new requests.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{http::error::ApiError, ops::lifecycle::Lifecycle};

/// 503 for requests that arrive while the server drains, on connections that were open already. Questions about its
/// health are answered.
pub(in crate::http) async fn refuse(
    State(lifecycle): State<Lifecycle>,
    request: Request,
    next: Next,
) -> Response {
    if !lifecycle.is_draining() || matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    let version = request.version();
    let mut answer = ApiError::unavailable("The server is stopping. Try again.").into_response();
    if version <= Version::HTTP_11 {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
