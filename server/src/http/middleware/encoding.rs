//! Which compressed bodies the server reads.

use axum::{
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::http::error::ApiError;

/// 415 unless the body is plain or gzip. The layer that unpacks it would say so without a body.
pub(in crate::http) async fn known(request: Request, next: Next) -> Response {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    let known = match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(only), None) => matches!(only.as_bytes(), b"identity" | b"gzip"),
        (Some(_), Some(_)) => false,
    };
    if known {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_encoding",
        "Content-Encoding must be gzip or left out.",
    )
    .into_response()
}
