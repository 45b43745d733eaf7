//! One's own account: organisations and password.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    links,
    pages::accounts::{AccountPage, Membership, PasswordForm, PasswordInput},
    shell::{Area, Notice},
};

use super::{show, show_as, sign_up::sentence};
use crate::{
    auth::password::Password,
    control::{self, ControlPlane, accounts::SignInError},
    http::{
        error::ApiError,
        extract::{form::Posted, visitor::SignedIn},
        page_error::PageError,
    },
};

pub async fn page(person: SignedIn, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    show(&account_page(&person, &control, PasswordForm::default()).await?)
}

/// Change the password, and end every other session: whoever knew the old one is out.
pub async fn change_password(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<PasswordInput>,
) -> Result<Response, PageError> {
    let mut form = PasswordForm::default();
    let status = match Password::new(input.new.reveal()) {
        Err(reason) => {
            form.new.reject(sentence(&reason));
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Ok(new) => match control.change_password(person.account(), input.current.reveal(), new).await {
            Ok(()) => {
                control.end_other_sessions(person.account().account_id, person.session_id()).await?;
                let done = "The password is changed, and you are signed out everywhere else.";
                person.notify(Notice::Done(done.to_owned())).await?;
                return Ok(Redirect::to(links::ACCOUNT).into_response());
            }
            Err(SignInError::Wrong) => {
                form.current.reject("This is not your present password.");
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Err(SignInError::Throttled(throttled)) => {
                form.current.reject(sentence(&throttled));
                StatusCode::TOO_MANY_REQUESTS
            }
            Err(SignInError::Password(error)) => return Err(ApiError::internal(error).into()),
            Err(SignInError::Database(error)) => return Err(error.into()),
        },
    };
    show_as(status, &account_page(&person, &control, form).await?)
}

async fn account_page(
    person: &SignedIn,
    control: &ControlPlane,
    password: PasswordForm,
) -> Result<AccountPage, PageError> {
    let memberships = control.memberships(person.account()).await?;
    Ok(AccountPage {
        shell: person.shell().at(Area::Account),
        signed_up_at: person.account().created_at,
        memberships: memberships.into_iter().map(membership).collect(),
        password,
    })
}

/// A membership as pages show it.
pub(super) fn membership(membership: control::tenants::Membership) -> Membership {
    Membership {
        tenant_name: membership.tenant.name,
        tenant_slug: membership.tenant.slug.to_string(),
        role: membership.role.to_string(),
    }
}
