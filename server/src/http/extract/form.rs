//! Forms of our own pages: only with the token that the page carried.

use axum::{
    body::{Body, Bytes},
    extract::{Form, FromRef, FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use syncline_web::forms::Csrf;

use super::visitor::Visitor;
use crate::{
    auth::secret_token::same_secret,
    control::ControlPlane,
    http::{error::ApiError, page_error::PageError},
};

/// Bytes of a form: none of ours is larger, and a pasted schema has its own limit.
const MAX_FORM_BYTES: usize = 2 * 1024 * 1024;

/// A form that one of our pages posted in this session. Forms from anywhere else are refused with 403.
///
/// `MAX_BYTES` bounds it: 2 MiB unless the form says more.
#[derive(Debug)]
pub struct Posted<T, const MAX_BYTES: usize = MAX_FORM_BYTES>(pub T);

/// A form that is nothing but its button.
#[derive(Debug, Deserialize)]
pub struct Button {}

#[derive(Deserialize)]
struct TokenField {
    #[serde(default)]
    csrf_token: String,
}

impl<T, S, const MAX_BYTES: usize> FromRequest<S> for Posted<T, MAX_BYTES>
where
    T: DeserializeOwned,
    S: Send + Sync,
    ControlPlane: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await?;
        let bytes = read(&parts, body, state, MAX_BYTES).await?;
        let TokenField { csrf_token } = parse(&parts, bytes.clone()).await?;
        if !visitor.sent(&Csrf::new(csrf_token)) {
            return Err(PageError::StaleForm);
        }
        parse(&parts, bytes).await.map(Self)
    }
}

async fn read<S: Send + Sync>(
    parts: &Parts,
    body: Body,
    state: &S,
    max_bytes: usize,
) -> Result<Bytes, PageError> {
    let too_large = || {
        let message = format!("The form is larger than {} MB.", max_bytes / 1024 / 1024);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    };
    let request = Request::from_parts(parts.clone(), body);
    match Bytes::from_request(request, state).await {
        Ok(bytes) if bytes.len() <= max_bytes => Ok(bytes),
        Ok(_) => Err(too_large().into()),
        Err(BytesRejection::FailedToBufferBody(failed))
            if failed.status() == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            Err(too_large().into())
        }
        Err(_) => Err(ApiError::invalid_request("The form could not be read to its end.").into()),
    }
}

async fn parse<T: DeserializeOwned>(parts: &Parts, bytes: Bytes) -> Result<T, PageError> {
    let request = Request::from_parts(parts.clone(), Body::from(bytes));
    match Form::<T>::from_request(request, &()).await {
        Ok(Form(form)) => Ok(form),
        Err(_) => Err(ApiError::invalid_request(
            "The form is not one of this page's. Go back, reload the page and send it again.",
        )
        .into()),
    }
}

/// Whether two CSRF tokens are the same, in constant time. The empty one never is.
pub(super) fn same(left: &Csrf, right: &Csrf) -> bool {
    !left.as_str().is_empty() && same_secret(left.as_str().as_bytes(), right.as_str().as_bytes())
}
