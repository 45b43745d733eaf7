//! Bodies and query strings: strict, bounded, and refused in words that help.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::http::error::ApiError;

/// A request body or query that knows the code its endpoint answers when it is wrong.
///
/// Derive `Deserialize` and write `impl Input for ConnectRequest { const INVALID: &'static str = "connect_invalid"; }`.
pub trait Input: DeserializeOwned {
    /// The code of the 400.
    const INVALID: &'static str = "invalid_request";
}

/// A JSON body of type `T`.
///
/// Refuses with 415 another content type (none at all is taken for JSON), with 413 what is larger than the server's
/// limit, with 400 and the input's own code what is no JSON, is nested more than 127 deep, is not UTF-8, or is not of
/// the type: a missing, mistyped or repeated member is named with line and column.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

/// A JSON body that may be absent altogether: None then.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

/// A query string of type `T`.
#[derive(Debug)]
pub struct ApiQuery<T>(pub T);

/// The variable parts of the path. What cannot be parsed is a thing that is not there: 404.
#[derive(Debug)]
pub struct ApiPath<T>(pub T);

impl<T: Input, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = json_bytes(request, state, T::INVALID).await?;
        parse_json(&body, T::INVALID).map(Self)
    }
}

impl<T: Input, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = json_bytes(request, state, T::INVALID).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(None));
        }
        parse_json(&body, T::INVALID).map(Some).map(Self)
    }
}

impl<T: Input, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::bad_request(
                T::INVALID,
                format!("The query string is not right: {}.", brief(innermost(&rejection))),
            )),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(_) => Err(ApiError::not_found("not_found", "There is nothing at this URL.")),
        }
    }
}

/// The bytes of a body that may be JSON, within the limit that the router set.
pub(in crate::http) async fn json_bytes<S: Send + Sync>(
    request: Request,
    state: &S,
    code: &'static str,
) -> Result<Bytes, ApiError> {
    check_content_type(request.headers())?;
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(failed) if failed.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            too_large()
        }
        _ => ApiError::bad_request(code, "The request body could not be read to its end."),
    })
}

/// 413.
pub(super) fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request_too_large",
        "The request body is larger than the server accepts. Send it in smaller parts.",
    )
}

pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The body must be JSON: send it with Content-Type: application/json.",
    ))
}

/// Parse a whole body, or say with `code` what is wrong with it and where.
pub fn parse_json<T: DeserializeOwned>(body: &[u8], code: &'static str) -> Result<T, ApiError> {
    let refuse = |message: String| ApiError::bad_request(code, message);
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(refuse("The body is not valid UTF-8.".to_owned()));
    };
    if text.trim().is_empty() {
        return Err(refuse("The body is empty; JSON is expected.".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            refuse(format!("The body is not what is expected{}: {}.", place::<T>(text), brief(&error)))
        }
        _ => refuse(format!("The body is not valid JSON: {}.", brief(&error))),
    })
}

/// ` at rows[3].op`: which member of a body that is no `T` is the wrong one. Nothing for the body as a whole.
fn place<T: DeserializeOwned>(text: &str) -> String {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) if error.path().iter().next().is_some() => {
            let path = error.path().to_string();
            format!(" at {}", path.chars().take(200).collect::<String>())
        }
        _ => String::new(),
    }
}

/// An error's text without its middle if it quotes a long input.
fn brief(error: &dyn std::error::Error) -> String {
    const KEEP: usize = 200;
    let text = error.to_string();
    let chars = text.chars().count();
    if chars <= 2 * KEEP {
        return text;
    }
    let head: String = text.chars().take(KEEP).collect();
    let tail: String = text.chars().skip(chars - KEEP).collect();
    format!("{head} … {tail}")
}

/// The most exact of an error's reasons.
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Connect {
        #[expect(dead_code, reason = "only parsed")]
        has_local_pending_rows: bool,
    }

    fn message(body: &[u8]) -> String {
        let error = parse_json::<Connect>(body, "connect_invalid").unwrap_err();
        assert_eq!((error.status(), error.code()), (StatusCode::BAD_REQUEST, "connect_invalid"));
        error.message().to_owned()
    }

    #[test]
    fn a_bad_body_is_named_for_what_it_is() {
        assert!(message(b"").contains("empty"));
        assert!(message(b"{\"a\xff\":1}").contains("UTF-8"));
        assert!(message(b"{").contains("not valid JSON"));
        assert!(message(b"{}").contains("missing field `has_local_pending_rows`"));
        assert!(message(b"{\"has_local_pending_rows\":1}").contains("line 1 column"));
        assert!(
            message(b"{\"has_local_pending_rows\":true,\"has_local_pending_rows\":true}")
                .contains("duplicate")
        );
        let deep = parse_json::<serde_json::Value>(&b"[".repeat(100_000), "invalid_request").unwrap_err();
        assert!(deep.message().contains("recursion limit"));
        let huge = format!("{{\"has_local_pending_rows\":\"{}\"}}", "x".repeat(100_000));
        assert!(message(huge.as_bytes()).len() < 1_000);
    }

    #[test]
    fn only_json_content_types_are_taken() {
        let check = |value: &'static str| {
            check_content_type(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]))
        };
        assert!(check("application/json").is_ok());
        assert!(check("Application/JSON; charset=utf-8").is_ok());
        assert!(check("application/problem+json").is_ok());
        assert!(check("text/plain").is_err());
        assert!(check("application/x-www-form-urlencoded").is_err());
        assert!(check_content_type(&HeaderMap::new()).is_ok());
    }
}
