//! Signing up: an account and its first organisation.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    links::{self, TenantLinks},
    pages::accounts::{SignUpForm, SignUpInput, SignUpPage},
};

use super::{show, show_as};
use crate::{
    auth::password::Password,
    control::{
        ControlPlane,
        accounts::{Email, NewAccount, SignUpError},
        security_events::Origin,
        slugs::Slug,
        tenants::TenantName,
    },
    http::{
        extract::{form::Posted, visitor::Visitor},
        page_error::PageError,
    },
};

pub async fn page(mut visitor: Visitor, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    if visitor.account().is_some() {
        return Ok(Redirect::to(links::TENANTS).into_response());
    }
    show(&SignUpPage { csrf: visitor.csrf(&control).await?, form: SignUpForm::default() })
}

pub async fn submit(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    origin: Origin,
    Posted(input): Posted<SignUpInput>,
) -> Result<Response, PageError> {
    let mut form = SignUpForm::from(&input);
    let status = match check(&input, &mut form) {
        None => StatusCode::UNPROCESSABLE_ENTITY,
        Some(new) => match control.sign_up(new, &origin).await {
            Ok((account, tenant)) => {
                visitor.sign_in(&control, &account).await?;
                let home = TenantLinks::new(tenant.slug.as_str()).home().to_owned();
                return Ok(Redirect::to(&home).into_response());
            }
            Err(error) => reject(error, &mut form)?,
        },
    };
    show_as(status, &SignUpPage { csrf: visitor.csrf(&control).await?, form })
}

/// What was typed as a new account, or a sentence at each field that is not right.
fn check(input: &SignUpInput, form: &mut SignUpForm) -> Option<NewAccount> {
    let person = check_person(input, form);
    let tenant_name = TenantName::parse(&input.tenant_name)
        .map_err(|reason| form.tenant_name.reject(reason.to_string()))
        .ok();
    let tenant_slug = if input.tenant_slug.trim().is_empty() {
        let suggested = Slug::suggest(&input.tenant_name);
        if suggested.is_none() && tenant_name.is_some() {
            form.tenant_slug
                .reject("No address can be made from this name. Type one: letters a–z, digits, dashes.");
        }
        suggested
    } else {
        Slug::parse_new(&input.tenant_slug).map_err(|reason| form.tenant_slug.reject(reason.to_string())).ok()
    };
    let (email, password) = person?;
    Some(NewAccount { email, password, tenant_name: tenant_name?, tenant_slug: tenant_slug? })
}

/// The part of the form that is about the person.
pub(super) fn check_person(input: &SignUpInput, form: &mut SignUpForm) -> Option<(Email, Password)> {
    let email = Email::parse(&input.email)
        .map_err(|_| form.email.reject("Type an email address, like ada@example.com."))
        .ok();
    let password =
        Password::new(input.password.reveal()).map_err(|reason| form.password.reject(sentence(&reason))).ok();
    email.zip(password)
}

/// Put what the use case answered where the person sees it; what is not theirs to mend is an error page.
pub(super) fn reject(error: SignUpError, form: &mut SignUpForm) -> Result<StatusCode, PageError> {
    match error {
        SignUpError::EmailTaken => {
            form.email.reject("There is an account with this email address. Sign in instead.");
            Ok(StatusCode::UNPROCESSABLE_ENTITY)
        }
        SignUpError::SlugTaken => {
            let taken = form.tenant_slug.value.trim();
            let taken = if taken.is_empty() { "the one made from this name" } else { taken };
            form.tenant_slug
                .reject(format!("Another organisation has this address ({taken}). Choose another."));
            Ok(StatusCode::UNPROCESSABLE_ENTITY)
        }
        SignUpError::Throttled(throttled) => {
            form.error = Some(format!("{}.", capitalised(&throttled.to_string())));
            Ok(StatusCode::TOO_MANY_REQUESTS)
        }
        SignUpError::Password(error) => Err(crate::http::error::ApiError::internal(error).into()),
        SignUpError::Database(error) => Err(error.into()),
    }
}

/// An error's text as a sentence of its own.
pub(super) fn sentence(reason: &dyn std::fmt::Display) -> String {
    format!("{}.", capitalised(&reason.to_string()))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
