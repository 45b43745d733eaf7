//! One's own account: organisations, password, sessions, what happened to it, and its end. The second factor is
//! `second_factor`'s.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    forms::Field,
    links,
    pages::account::{
        AccountPage, DeleteAccountForm, DeleteAccountInput, FactorForm, FactorState, Membership,
        PasswordForm, PasswordInput, SecurityEventRow, SessionRow, browser_name,
    },
    shell::{Area, Notice},
};

use super::{show, show_as, sign_up::sentence};
use crate::{
    auth::password::Password,
    control::{
        self, ControlPlane,
        accounts::{DeleteAccountError, SignInError},
        security_events::SecurityEventKind,
        sessions::SessionInfo,
    },
    http::{
        error::ApiError,
        extract::{
            form::{Button, Posted},
            input::ApiPath,
            visitor::SignedIn,
        },
        page_error::PageError,
    },
};

/// Events that the page shows.
const EVENTS: i64 = 20;

/// The part of the path that names a session.
#[derive(Debug, Deserialize)]
pub struct SessionPath {
    session: String,
}

/// The forms of the page, between two attempts.
#[derive(Debug, Default)]
pub(super) struct Forms {
    pub password: PasswordForm,
    pub factor: FactorForm,
    pub delete: DeleteAccountForm,
}

pub async fn page(person: SignedIn, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    show(&account_page(&person, &control, Forms::default()).await?)
}

/// Change the password, and end every other session: whoever knew the old one is out.
pub async fn change_password(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<PasswordInput>,
) -> Result<Response, PageError> {
    let mut form = PasswordForm::default();
    let new = match Password::new(input.new.reveal()) {
        Ok(new) => new,
        Err(reason) => {
            form.new.reject(sentence(&reason));
            return retry(&person, &control, StatusCode::UNPROCESSABLE_ENTITY, form.into()).await;
        }
    };
    let current = input.current.reveal();
    let status = match control.change_password(person.account(), current, new, person.origin()).await {
        Ok(()) => {
            control.end_other_sessions(person.account().account_id, person.session_id()).await?;
            return done(&person, "The password is changed, and you are signed out everywhere else.").await;
        }
        Err(error) => {
            let (status, said) = refused(error, "This is not your present password.")?;
            form.current.reject(said);
            status
        }
    };
    retry(&person, &control, status, form.into()).await
}

/// End one session: this one, or another.
pub async fn end_session(
    person: SignedIn,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<SessionPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let account = person.account().account_id;
    let is_this = control
        .sessions(account)
        .await?
        .iter()
        .any(|session| session.handle() == path.session && session.is(person.session_id()));
    if is_this {
        person.end().await?;
        return Ok(Redirect::to(links::SIGN_IN).into_response());
    }
    if !control.end_session(account, &path.session, person.origin()).await? {
        return Err(PageError::NotFound);
    }
    done(&person, "The session is ended.").await
}

pub async fn end_other_sessions(
    person: SignedIn,
    State(control): State<ControlPlane>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let account = person.account().account_id;
    control.end_other_sessions(account, person.session_id()).await?;
    let kind = SecurityEventKind::OtherSessionsEnded;
    control.note_security_event(account, kind, person.origin()).await?;
    done(&person, "You are signed out everywhere else.").await
}

/// Delete the account, if the password is right and its address was typed.
pub async fn delete(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<DeleteAccountInput>,
) -> Result<Response, PageError> {
    let mut form =
        DeleteAccountForm { confirmation: Field::new(&input.confirmation), ..DeleteAccountForm::default() };
    if let Err(error) = control.confirm_password(person.account(), input.delete_password.reveal()).await {
        let (status, said) = refused(error, "This is not your password.")?;
        form.password.reject(said);
        return retry(&person, &control, status, form.into()).await;
    }
    match control.delete_account(person.account(), &person.actor(), &input.confirmation).await {
        Ok(()) => {
            person.end().await?;
            return Ok(Redirect::to(links::LANDING).into_response());
        }
        Err(DeleteAccountError::AddressDiffers) => {
            form.confirmation.reject(format!("Type your address: {}", person.account().email));
        }
        Err(DeleteAccountError::LastOwnerOf(tenants)) => {
            form.error = Some(format!(
                "You are the only owner of {}. Hand the ownership over or delete the organisation first.",
                tenants.join(", ")
            ));
        }
        Err(DeleteAccountError::Database(error)) => return Err(error.into()),
    }
    retry(&person, &control, StatusCode::UNPROCESSABLE_ENTITY, form.into()).await
}

/// The status and the sentence of a password that was not taken; what is not the person's to mend is an error page.
pub(super) fn refused(error: SignInError, wrong: &str) -> Result<(StatusCode, String), PageError> {
    match error {
        SignInError::Wrong => Ok((StatusCode::UNPROCESSABLE_ENTITY, wrong.to_owned())),
        SignInError::Throttled(throttled) => Ok((StatusCode::TOO_MANY_REQUESTS, sentence(&throttled))),
        SignInError::Password(error) => Err(ApiError::internal(error).into()),
        SignInError::Database(error) => Err(error.into()),
    }
}

pub(super) async fn done(person: &SignedIn, text: &str) -> Result<Response, PageError> {
    person.notify(Notice::Done(text.to_owned())).await?;
    Ok(Redirect::to(links::ACCOUNT).into_response())
}

pub(super) async fn retry(
    person: &SignedIn,
    control: &ControlPlane,
    status: StatusCode,
    forms: Forms,
) -> Result<Response, PageError> {
    show_as(status, &account_page(person, control, forms).await?)
}

async fn account_page(
    person: &SignedIn,
    control: &ControlPlane,
    forms: Forms,
) -> Result<AccountPage, PageError> {
    let account = person.account();
    let memberships = control.memberships(account).await?;
    let sessions = control.sessions(account.account_id).await?;
    let events = control.security_events(account.account_id, EVENTS).await?;
    let factor = match control.second_factor(account.account_id).await? {
        Some(factor) => {
            FactorState::On { since: factor.since, recovery_codes_left: factor.recovery_codes_left }
        }
        None => FactorState::Off,
    };
    let session = |session: SessionInfo| SessionRow {
        is_this: session.is(person.session_id()),
        handle: session.handle(),
        browser: browser_name(session.user_agent.as_deref().unwrap_or_default()),
        user_agent: session.user_agent.unwrap_or_default(),
        address: session.last_address,
        since: session.created_at,
        last_seen_at: session.last_seen_at,
    };
    let event = |event: control::security_events::SecurityEvent| SecurityEventRow {
        at: event.at,
        kind: event.kind,
        address: event.address,
        browser: browser_name(event.user_agent.as_deref().unwrap_or_default()),
    };
    Ok(AccountPage {
        shell: person.shell().at(Area::Account),
        signed_up_at: account.created_at,
        memberships: memberships.into_iter().map(membership).collect(),
        sessions: sessions.into_iter().map(session).collect(),
        events: events.into_iter().map(event).collect(),
        factor,
        factor_form: forms.factor,
        password: forms.password,
        delete: forms.delete,
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

impl From<PasswordForm> for Forms {
    fn from(password: PasswordForm) -> Self {
        Self { password, ..Self::default() }
    }
}

impl From<FactorForm> for Forms {
    fn from(factor: FactorForm) -> Self {
        Self { factor, ..Self::default() }
    }
}

impl From<DeleteAccountForm> for Forms {
    fn from(delete: DeleteAccountForm) -> Self {
        Self { delete, ..Self::default() }
    }
}
