//! What a request that fails is answered: `{"error": code, "message": sentence, …}`.
//!
//! [`ApiError`] is the form; `From<…>` in the modules below gives each outcome of the domain its status, code and
//! sentence, once. What the database said never leaves the server: such failures are `internal_error` to the client
//! and one line in the log.

mod control;
mod push;
mod read;

use std::{borrow::Cow, error::Error};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::directory::DirectoryError;

/// A failed request, ready to be answered.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    /// Members beside `error` and `message`, as PROTOCOL.md names them.
    extra: Map<String, Value>,
    /// Whole seconds for the `Retry-After` header.
    retry_after: Option<u64>,
    /// What went wrong inside; logged when the answer is made, never sent.
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// Travels with the answer, so that what notes requests knows how it came out.
#[derive(Debug, Clone)]
pub(in crate::http) struct Refused {
    pub(in crate::http) code: &'static str,
    pub(in crate::http) message: String,
    /// What it was about, if refusals of one code are told apart by it.
    pub(in crate::http) subject: Option<String>,
}

/// The body of every failed request. Some codes have more members, named where they occur.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A stable code for programs.
    #[schema(example = "invalid_request")]
    pub error: String,
    /// A sentence for people.
    #[schema(example = "max_bundles must be a number from 1 to 5000.")]
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), extra: Map::new(), retry_after: None, cause: None }
    }

    /// 400: the request itself is wrong; sending it again cannot help.
    pub fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400 `invalid_request`.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("invalid_request", message)
    }

    /// 401 `authentication_failed`.
    pub fn authentication_failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_failed", message)
    }

    /// 403: known, but not allowed to do this.
    pub fn forbidden(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404.
    pub fn not_found(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 404 for an app that is not there, and for a tenant that is not, in the same words.
    pub fn no_such_app() -> Self {
        Self::not_found("not_found", "There is no app at this URL.")
    }

    /// 409: the request is fine, but the state it meets is not.
    pub fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 410: it was there, and is no longer.
    pub fn gone(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::GONE, code, message)
    }

    /// 503 `service_unavailable`: try again soon.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message).retry_after(1)
    }

    fn busy() -> Self {
        Self::unavailable("The server is busy or its database cannot be reached. Try again.")
    }

    /// 500 `internal_error`. The cause is logged once and not sent.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on the server. It has been logged.",
        );
        error.cause = Some(cause.into());
        error
    }

    /// One more member of the body.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.extra.insert(member.to_owned(), value.into());
        self
    }

    /// A `Retry-After` header of so many seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body that is sent; examples in the API documentation are made with it.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("error".to_owned(), self.code.into());
        body.insert("message".to_owned(), self.message.as_ref().into());
        body.extend(self.extra.clone());
        Value::Object(body)
    }

    /// Write the cause, if there is one, to the log: one line a failure.
    pub(crate) fn log(&self) {
        if let Some(cause) = &self.cause {
            let cause: &(dyn Error + 'static) = cause.as_ref();
            tracing::error!(error.code = self.code, error.cause = %Chain(cause), "a request failed inside the server");
        }
    }
}

/// An error and all of its sources on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let mut response = (self.status, Json(self.body())).into_response();
        let message = self.message.clone().into_owned();
        let refused = Refused { code: self.code, message, subject: None };
        response.extensions_mut().insert(refused);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An app could not be looked up.
impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        let mut answer = if is_unavailable(error.cause()) { Self::busy() } else { Self::internal("") };
        answer.cause = Some(error.into());
        answer
    }
}

/// The session of a page could not be read or written.
impl From<tower_sessions::session::Error> for ApiError {
    fn from(error: tower_sessions::session::Error) -> Self {
        let mut answer = match &error {
            tower_sessions::session::Error::Store(_) => Self::busy(),
            tower_sessions::session::Error::SerdeJson(_) => Self::internal(""),
        };
        answer.cause = Some(error.into());
        answer
    }
}

/// A failure of the database that no use case has given a meaning: 503 while it cannot be reached, else 500.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) {
            let mut answer =
                Self::unavailable("The server is busy or its database cannot be reached. Try again.");
            answer.cause = Some(error.into());
            return answer;
        }
        Self::internal(error)
    }
}

/// Whether the database could not be reached, or is shutting down or full, as opposed to refusing the statement.
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        // 57P01..03: shutting down, crashed, starting up. 53300: too many connections.
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03" | "53300"))
        }
        _ => false,
    }
}
