//! The edge: everything that knows HTTP. It extracts and checks who asks for what, calls one use case, answers.

pub mod abilities;
pub mod control;
pub mod dashboard;
pub mod error;
pub mod extract;
mod health;
mod long_answer;
mod middleware;
mod page_error;
mod routes;
mod serve;
pub mod sync;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    http::{HeaderMap, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower::util::MapRequest;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, CompressionLevel, DefaultPredicate, Predicate, predicate::SizeAbove},
    decompression::RequestDecompressionLayer,
};

pub use self::serve::serve;
use self::{
    error::ApiError,
    middleware::{drain, encoding, observe, slashes},
    page_error::PageError,
};
use crate::app::Syncline;

/// The URL under which browsers and devices reach the server, without a trailing slash.
#[derive(Debug, Clone)]
pub struct PublicUrl(Arc<str>);

impl PublicUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether browsers come over https, so that cookies must not travel otherwise.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromRef<Syncline> for PublicUrl {
    fn from_ref(state: &Syncline) -> Self {
        Self(state.config.http.base_url().into())
    }
}

/// The whole server as a service.
pub fn router(state: Syncline) -> Router {
    let max_request_bytes = state.config.limits.max_request_bytes;
    let routes = routes::all(&state)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        // The last layer sees the request first.
        .layer(DefaultBodyLimit::max(max_request_bytes))
        .layer(RequestDecompressionLayer::new().gzip(true))
        .layer(from_fn(encoding::known))
        .layer(compression())
        .layer(from_fn(encoding::wanted))
        .layer(from_fn_with_state(state.clone(), drain::refuse))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(observe::requests))
        .with_state(state);
    // Outside: a layer of the router sees a request when its route has been chosen.
    Router::new().fallback_service(MapRequest::new(routes, slashes::after_base_url))
}

/// Answers are compressed for those who ask, unless they are so small that it would not pay, or a stream of events. At the
/// fastest level: the next ones save little and cost several times the processor time of the answer itself.
fn compression() -> CompressionLayer<impl Predicate> {
    const FROM_BYTES: u64 = 1_024;
    CompressionLayer::new()
        .gzip(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(FROM_BYTES)))
}

/// A page for browsers, JSON for programs.
async fn not_found(headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/html") {
        return PageError::NotFound.into_response();
    }
    ApiError::not_found("not_found", "There is nothing at this URL.").into_response()
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This URL does not know that method.",
    )
}

/// A handler panicked: a bug, which costs one request and not the server.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&'static str>().copied())
        .unwrap_or("no message");
    ApiError::internal(format!("a handler panicked: {said}")).into_response()
}
