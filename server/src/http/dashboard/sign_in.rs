//! Signing in and out.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    links::{self, TenantLinks},
    pages::accounts::{SignInForm, SignInInput, SignInPage},
    shell::Notice,
};

use super::{show, show_as, sign_up::sentence};
use crate::{
    control::{ControlPlane, accounts::SignInError},
    http::{
        error::ApiError,
        extract::{
            client::ClientAddress,
            form::{Button, Posted},
            input::{ApiQuery, Input},
            visitor::{SignedIn, Visitor},
        },
        page_error::PageError,
    },
};

/// Where the person wanted to go before they were asked to sign in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SignInQuery {
    next: String,
}

impl Input for SignInQuery {}

pub async fn page(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    ApiQuery(query): ApiQuery<SignInQuery>,
) -> Result<Response, PageError> {
    if visitor.account().is_some() {
        return Ok(Redirect::to(ours(&query.next).unwrap_or(links::TENANTS)).into_response());
    }
    let notice = ours(&query.next).map(|_| Notice::Done("Sign in to go on to that page.".to_owned()));
    let form = SignInForm { next: query.next, ..SignInForm::default() };
    show(&SignInPage { csrf: visitor.csrf(&control).await?, form, notice })
}

pub async fn submit(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    ClientAddress(address): ClientAddress,
    Posted(input): Posted<SignInInput>,
) -> Result<Response, PageError> {
    let error = match control.sign_in(&input.email, input.password.reveal(), address).await {
        Ok(account) => {
            visitor.sign_in(&control, &account).await?;
            let memberships = control.memberships(&account).await?;
            let home = match memberships.as_slice() {
                [only] => TenantLinks::new(only.tenant.slug.as_str()).home().to_owned(),
                _ => links::TENANTS.to_owned(),
            };
            return Ok(Redirect::to(ours(&input.next).unwrap_or(&home)).into_response());
        }
        Err(error) => error,
    };
    let mut form = SignInForm::from(&input);
    let status = match error {
        SignInError::Wrong => {
            form.error = Some("The email address or the password is wrong.".to_owned());
            StatusCode::UNPROCESSABLE_ENTITY
        }
        SignInError::Throttled(throttled) => {
            form.error = Some(sentence(&throttled));
            StatusCode::TOO_MANY_REQUESTS
        }
        SignInError::Password(error) => return Err(ApiError::internal(error).into()),
        SignInError::Database(error) => return Err(error.into()),
    };
    show_as(status, &SignInPage { csrf: visitor.csrf(&control).await?, form, notice: None })
}

/// Sign out: a form, so that no link or image can do it.
pub async fn sign_out(_: SignedIn, visitor: Visitor, _: Posted<Button>) -> Result<Response, PageError> {
    visitor.sign_out().await?;
    Ok(Redirect::to(links::LANDING).into_response())
}

/// `next` if it is a path of this server: one slash, then no other slash or backslash, no control characters. Anything
/// else could lead to a site that looks like ours.
fn ours(next: &str) -> Option<&str> {
    let mut chars = next.chars();
    let one_slash = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    (one_slash && !next.chars().any(|c| c.is_control() || c == '\\')).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_gone_on_to() {
        assert_eq!(ours("/d/acme?x=1"), Some("/d/acme?x=1"));
        for hostile in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\n", "d", "/d\\..\\x"]
        {
            assert_eq!(ours(hostile), None, "{hostile:?}");
        }
    }
}
