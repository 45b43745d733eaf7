//! Which compressed bodies the server reads, and which it sends.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
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

/// A client that accepts neither gzip nor plain answers gets plain ones (RFC 9110, 12.5.3 allows it): the layer that
/// packs them would do the work and then put 406 on the answer.
pub(in crate::http) async fn wanted(mut request: Request, next: Next) -> Response {
    if accepts_nothing(request.headers()) {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    next.run(request).await
}

fn accepts_nothing(headers: &HeaderMap) -> bool {
    let wanted: Vec<(String, bool)> = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| {
            let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
            (coding.trim().to_ascii_lowercase(), weight != Some(0.0))
        })
        .collect();
    let says = |coding: &str| wanted.iter().find(|(named, _)| named == coding).map(|(_, accepted)| *accepted);
    // What is not named is as `*` says; without one, plain answers are welcome and packed ones are not.
    let plain = says("identity").or(says("*")).unwrap_or(true);
    let packed = says("gzip").or(says("*")).unwrap_or(false);
    !plain && !packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_refuses_both_forms_accepts_nothing() {
        let nothing = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            accepts_nothing(&headers)
        };
        assert!(nothing("identity;q=0"));
        assert!(nothing("*;q=0"));
        assert!(nothing("br, identity; q=0.0"));
        assert!(!nothing("gzip;q=0"));
        assert!(!nothing("gzip, identity;q=0"));
        assert!(!nothing("*;q=0, identity"));
        assert!(!nothing(""));
        assert!(!accepts_nothing(&HeaderMap::new()));
    }
}
