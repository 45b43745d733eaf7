//! Signing in and out.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    links::{self, TenantLinks},
    pages::accounts::{SignInCodeForm, SignInCodeInput, SignInCodePage, SignInForm, SignInInput, SignInPage},
    shell::Notice,
};

use super::{second_factor::explain, show, show_as, sign_up::sentence};
use crate::{
    control::{
        ControlPlane,
        accounts::{Account, FirstStep, SignInError},
        second_factor::Proof,
        security_events::{Origin, SecurityEventKind},
    },
    http::{
        error::ApiError,
        extract::{
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
    origin: Origin,
    Posted(input): Posted<SignInInput>,
) -> Result<Response, PageError> {
    let error = match control.sign_in(&input.email, input.password.reveal(), &origin).await {
        Ok(FirstStep::Done(account)) => {
            return enter(&visitor, &control, &account, (&origin, &input.next)).await;
        }
        Ok(FirstStep::CodeNeeded(account)) => {
            visitor.wait_for_code(&control, &account).await?;
            let to = links::with_query(links::SIGN_IN_CODE, &[("next", &input.next)]);
            return Ok(Redirect::to(&to).into_response());
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

/// The second step: a code of the second factor. Only for a session whose first step was right.
pub async fn code_page(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    ApiQuery(query): ApiQuery<SignInQuery>,
) -> Result<Response, PageError> {
    if visitor.waiting_for_code(&control).await?.is_none() {
        return Ok(Redirect::to(&links::with_query(links::SIGN_IN, &[("next", &query.next)])).into_response());
    }
    let form = SignInCodeForm { next: query.next, ..SignInCodeForm::default() };
    show(&SignInCodePage { csrf: visitor.csrf(&control).await?, form })
}

pub async fn submit_code(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    origin: Origin,
    Posted(input): Posted<SignInCodeInput>,
) -> Result<Response, PageError> {
    let Some(account) = visitor.waiting_for_code(&control).await? else {
        return Ok(Redirect::to(links::SIGN_IN).into_response());
    };
    match control.check_code(account.account_id, &input.code, &origin).await {
        Ok(Proof::Code | Proof::RecoveryCode) => {
            enter(&visitor, &control, &account, (&origin, &input.next)).await
        }
        Err(error) => {
            let (status, said) = explain(error)?;
            let mut form = SignInCodeForm { next: input.next, ..SignInCodeForm::default() };
            form.code.reject(said);
            show_as(status, &SignInCodePage { csrf: visitor.csrf(&control).await?, form })
        }
    }
}

/// Sign in whoever has proved who they are, and go on to where they wanted.
async fn enter(
    visitor: &Visitor,
    control: &ControlPlane,
    account: &Account,
    (origin, next): (&Origin, &str),
) -> Result<Response, PageError> {
    visitor.sign_in(control, account).await?;
    control.note_security_event(account.account_id, SecurityEventKind::SignedIn, origin).await?;
    let memberships = control.memberships(account).await?;
    let home = match memberships.as_slice() {
        [only] => TenantLinks::new(only.tenant.slug.as_str()).home().to_owned(),
        _ => links::TENANTS.to_owned(),
    };
    Ok(Redirect::to(ours(next).unwrap_or(&home)).into_response())
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
