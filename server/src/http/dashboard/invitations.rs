//! Inviting people to a tenant, and accepting: signed in, or by making an account.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    forms::Field,
    links::{self, TenantLinks},
    pages::{
        accounts::{InvitedSignUpPage, SignUpForm, SignUpInput},
        invitations::{InvitationPage, InviteForm, InviteInput, MadeInvitation},
    },
    shell::{Area, Notice},
};

use super::{members::members_page, show, show_as, sign_up};
use crate::{
    auth::secret_token::PlainToken,
    control::{
        ControlPlane,
        accounts::NewPerson,
        invitations::{
            InvitationError, InviteError, InvitedSignUpError, NewInvitation, OpenedInvitation,
            UnfitInvitation,
        },
        roles::Role,
        security_events::Origin,
    },
    http::{
        PublicUrl,
        error::ApiError,
        extract::{
            form::{Button, Posted},
            input::ApiPath,
            member::TenantAdmin,
            visitor::{SignedIn, Visitor},
        },
        page_error::PageError,
    },
    ids::InvitationId,
};

/// The part of the path that names an invitation.
#[derive(Debug, Deserialize)]
pub struct InvitationPath {
    invitation: String,
}

/// The secret part of an invitation's link.
#[derive(Debug, Deserialize)]
pub struct TokenPath {
    token: PlainTokenText,
}

/// Text that is not shown by `Debug`.
#[derive(Deserialize)]
#[serde(transparent)]
struct PlainTokenText(String);

impl std::fmt::Debug for PlainTokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlainTokenText")
    }
}

impl TokenPath {
    fn token(&self) -> PlainToken {
        PlainToken::from_request(&self.token.0)
    }
}

/// Make an invitation. Its link is in this answer, which no cache keeps, and nowhere else.
pub async fn invite(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    State(public_url): State<PublicUrl>,
    Posted(input): Posted<InviteInput>,
) -> Result<Response, PageError> {
    let mut form = InviteForm::from(&input);
    if let Some(new) = check(&input, &mut form) {
        match control.invite(&admin.member_admin(), &new).await {
            Ok((invitation, token)) => {
                let made = MadeInvitation {
                    link: format!("{}{}", public_url.as_str(), links::invitation(token.expose())),
                    role: invitation.role.to_string(),
                    note: invitation.note,
                    expires_at: invitation.expires_at,
                };
                return show(&members_page(&admin, &control, InviteForm::default(), Some(made)).await?);
            }
            Err(InviteError::AboveOwnRole) => {
                form.role.reject("You can invite to your own role and those below it.");
            }
            Err(error @ InviteError::TooMany) => form.error = Some(sign_up::sentence(&error)),
            Err(InviteError::Database(error)) => return Err(error.into()),
        }
    }
    show_as(StatusCode::UNPROCESSABLE_ENTITY, &members_page(&admin, &control, form, None).await?)
}

fn check(input: &InviteInput, form: &mut InviteForm) -> Option<NewInvitation> {
    let role = Role::parse(&input.role);
    if role.is_none() {
        form.role.reject("Choose a role.");
    }
    let days = match input.days.trim() {
        "" => NewInvitation::DEFAULT_DAYS,
        typed => typed.parse().unwrap_or(0),
    };
    let new = NewInvitation::new(role.unwrap_or(Role::Viewer), &input.note, days);
    let field = |form: &mut InviteForm, unfit: &UnfitInvitation| match unfit {
        UnfitInvitation::Note => form.note.reject(unfit.to_string()),
        UnfitInvitation::Days => form.days.reject(unfit.to_string()),
    };
    let new = new.map_err(|unfit| field(form, &unfit)).ok();
    role.and(new)
}

pub async fn revoke(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<InvitationPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let id: InvitationId = path.invitation.parse().map_err(|_| PageError::NotFound)?;
    let said = if control.revoke_invitation(&admin.member_admin(), id).await? {
        Notice::Done("The invitation is revoked; its link is worth nothing now.".to_owned())
    } else {
        Notice::Failed("This invitation is not pending any more.".to_owned())
    };
    admin.notify(said).await?;
    Ok(Redirect::to(&admin.shell(Area::Members).tenant_links().members()).into_response())
}

/// What a link invites to, and the way on: accept as who one is, sign in, or sign up.
pub async fn page(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<TokenPath>,
) -> Result<Response, PageError> {
    let opened = control.open_invitation(&path.token()).await.map_err(over)?;
    let (mut csrf, mut already) = (None, None);
    if let Some(account) = visitor.account().cloned() {
        csrf = Some(visitor.csrf(&control).await?);
        already = control.membership(&account, &opened.tenant.slug).await?.map(|it| it.role.to_string());
    }
    let email = visitor.account().map(|account| account.email.clone());
    show(&InvitationPage {
        token: path.token.0,
        csrf: csrf.unwrap_or_default(),
        signed_in_as: email,
        already,
        home: TenantLinks::new(opened.tenant.slug.as_str()).home().to_owned(),
        tenant_name: opened.tenant.name,
        role: opened.role.to_string(),
        invited_by: opened.invited_by,
        note: opened.note,
        expires_at: opened.expires_at,
        now: control.now(),
    })
}

/// Become a member, as who one is.
pub async fn accept(
    person: SignedIn,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<TokenPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    match control.accept_invitation(person.account(), &person.actor(), &path.token()).await {
        Ok(tenant) => {
            person.notify(Notice::Done(format!("You are a member of {} now.", tenant.name))).await?;
            Ok(Redirect::to(TenantLinks::new(tenant.slug.as_str()).home()).into_response())
        }
        Err(InvitationError::AlreadyMember { tenant, role }) => {
            let text = format!(
                "You are {role} here already, and still are. The invitation is left for somebody else."
            );
            person.notify(Notice::Failed(text)).await?;
            Ok(Redirect::to(TenantLinks::new(tenant.slug.as_str()).home()).into_response())
        }
        Err(error) => Err(over(error)),
    }
}

/// The form that makes an account for somebody who was invited.
pub async fn sign_up_page(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<TokenPath>,
) -> Result<Response, PageError> {
    if visitor.account().is_some() {
        return Ok(Redirect::to(&links::invitation(&path.token.0)).into_response());
    }
    let opened = control.open_invitation(&path.token()).await.map_err(over)?;
    let form = SignUpForm {
        // Mostly the note is the address of the one who is meant.
        email: Field::new(opened.note.clone().filter(|note| note.contains('@')).unwrap_or_default()),
        ..SignUpForm::default()
    };
    let page = invited_page(&mut visitor, &control, path, opened, form).await?;
    show(&page)
}

/// Make an account and become a member, both or neither.
pub async fn sign_up(
    mut visitor: Visitor,
    State(control): State<ControlPlane>,
    origin: Origin,
    ApiPath(path): ApiPath<TokenPath>,
    Posted(input): Posted<SignUpInput>,
) -> Result<Response, PageError> {
    let mut form = SignUpForm::from(&input);
    let opened = control.open_invitation(&path.token()).await.map_err(over)?;
    let status = match sign_up::check_person(&input, &mut form) {
        None => StatusCode::UNPROCESSABLE_ENTITY,
        Some((email, password)) => {
            let new = NewPerson { email, password };
            match control.sign_up_invited(new, &path.token(), &origin).await {
                Ok((account, tenant)) => {
                    visitor.sign_in(&control, &account).await?;
                    return Ok(Redirect::to(TenantLinks::new(tenant.slug.as_str()).home()).into_response());
                }
                Err(InvitedSignUpError::Invitation(error)) => return Err(over(error)),
                Err(InvitedSignUpError::SignUp(error)) => sign_up::reject(error, &mut form)?,
            }
        }
    };
    show_as(status, &invited_page(&mut visitor, &control, path, opened, form).await?)
}

async fn invited_page(
    visitor: &mut Visitor,
    control: &ControlPlane,
    path: TokenPath,
    opened: OpenedInvitation,
    form: SignUpForm,
) -> Result<InvitedSignUpPage, PageError> {
    Ok(InvitedSignUpPage {
        csrf: visitor.csrf(control).await?,
        token: path.token.0,
        tenant_name: opened.tenant.name,
        role: opened.role.to_string(),
        form,
    })
}

/// A link that is of no use, as a page: who has the link may know why.
fn over(error: InvitationError) -> PageError {
    let gone = |code, sentence| ApiError::new(StatusCode::GONE, code, sentence).into();
    match error {
        InvitationError::Unknown => ApiError::not_found(
            "invitation_unknown",
            "There is no such invitation. Check that you have the whole link, or ask for another.",
        )
        .into(),
        InvitationError::Used => gone(
            "invitation_used",
            "This invitation was used already: each is good once. If it was not you, tell who invited you.",
        ),
        InvitationError::Revoked => {
            gone("invitation_revoked", "This invitation was revoked. Ask for another.")
        }
        InvitationError::Expired => {
            gone("invitation_expired", "This invitation has expired. Ask for another.")
        }
        InvitationError::AlreadyMember { .. } => {
            ApiError::new(StatusCode::CONFLICT, "already_member", "You are a member already.").into()
        }
        InvitationError::Database(error) => error.into(),
    }
}
