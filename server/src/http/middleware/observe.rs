//! A number and, at the level `debug`, a line for every request.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use metrics::{counter, gauge, histogram};

use crate::ops::metrics::{HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS};

/// Count the request under its route (never under its URL: those are without number), method and status.
pub(in crate::http) async fn requests(request: Request, next: Next) -> Response {
    let since = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let _in_flight = InFlight::begin();
    let response = next.run(request).await;
    let elapsed = since.elapsed();
    let status = response.status().as_u16();
    tracing::debug!(
        http.route = route,
        http.method = method,
        http.status = status,
        duration_ms = elapsed.as_secs_f64() * 1_000.0,
        "a request was answered"
    );
    histogram!(HTTP_DURATION, "route" => route.clone(), "method" => method).record(elapsed);
    counter!(HTTP_REQUESTS, "route" => route, "method" => method, "status" => status.to_string())
        .increment(1);
    response
}

/// Counts down also when the client goes away and the request's future is dropped.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        gauge!(HTTP_IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(HTTP_IN_FLIGHT).decrement(1.0);
    }
}

/// A client can invent methods; a label must not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
