//! The people of a tenant.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    links,
    pages::members::{AddMemberForm, AddMemberInput, ChangeRoleInput, MemberRow, MembersPage},
    shell::{Area, Notice},
};

use super::{show, show_as, sign_up::sentence};
use crate::{
    control::{
        ControlPlane,
        accounts::Email,
        members::{Member, MemberError, Role},
    },
    http::{
        extract::{
            form::{Button, Posted},
            input::ApiPath,
            member::{TenantAdmin, TenantMember},
        },
        page_error::PageError,
    },
    ids::AccountId,
};

/// The part of the path that names a member.
#[derive(Debug, Deserialize)]
pub struct MemberPath {
    account: String,
}

pub async fn page(member: TenantMember, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    show(&members_page(&member, &control, AddMemberForm::default()).await?)
}

pub async fn add(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    Posted(input): Posted<AddMemberInput>,
) -> Result<Response, PageError> {
    let mut form = AddMemberForm::from(&input);
    let email = Email::parse(&input.email)
        .map_err(|_| form.email.reject("Type an email address, like ada@example.com."))
        .ok();
    let role = Role::parse(&input.role);
    if role.is_none() {
        form.role.reject("Choose a role.");
    }
    if let Some((email, role)) = email.zip(role) {
        match control.add_member(&admin.member_admin(), &email, role).await {
            Ok(()) => return done(&admin, format!("{} is a member now.", email.as_str())).await,
            Err(MemberError::Database(error)) => return Err(error.into()),
            Err(MemberError::OwnersOnly) => form.role.reject(sentence(&MemberError::OwnersOnly)),
            Err(MemberError::NoSuchAccount) => {
                form.email
                    .reject("There is no account with this email address. Ask the person to sign up first.");
            }
            Err(error) => form.email.reject(sentence(&error)),
        }
    }
    show_as(StatusCode::UNPROCESSABLE_ENTITY, &members_page(&admin, &control, form).await?)
}

pub async fn change_role(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<MemberPath>,
    Posted(input): Posted<ChangeRoleInput>,
) -> Result<Response, PageError> {
    let account: AccountId = path.account.parse().map_err(|_| PageError::NotFound)?;
    let Some(role) = Role::parse(&input.role) else {
        return failed(&admin, "Choose one of the roles.".to_owned()).await;
    };
    match control.change_role(&admin.member_admin(), account, role).await {
        Ok(()) => done(&admin, format!("The role is {role} now.")).await,
        Err(error) => refused(&admin, error).await,
    }
}

pub async fn remove(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<MemberPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let account: AccountId = path.account.parse().map_err(|_| PageError::NotFound)?;
    match control.remove_member(&admin.member_admin(), account).await {
        // Who leaves sees what they have left.
        Ok(()) if account == admin.account().account_id => Ok(Redirect::to(links::TENANTS).into_response()),
        Ok(()) => done(&admin, "The member is removed.".to_owned()).await,
        Err(error) => refused(&admin, error).await,
    }
}

async fn refused(admin: &TenantAdmin, error: MemberError) -> Result<Response, PageError> {
    match error {
        MemberError::Database(error) => Err(error.into()),
        MemberError::NoSuchMember => Err(PageError::NotFound),
        error => failed(admin, sentence(&error)).await,
    }
}

async fn done(admin: &TenantAdmin, text: String) -> Result<Response, PageError> {
    admin.notify(Notice::Done(text)).await?;
    Ok(back(admin))
}

async fn failed(admin: &TenantAdmin, text: String) -> Result<Response, PageError> {
    admin.notify(Notice::Failed(text)).await?;
    Ok(back(admin))
}

fn back(admin: &TenantAdmin) -> Response {
    Redirect::to(&admin.shell(Area::Members).tenant_links().members()).into_response()
}

async fn members_page(
    member: &TenantMember,
    control: &ControlPlane,
    form: AddMemberForm,
) -> Result<MembersPage, PageError> {
    let members = control.members(member.tenant().tenant_id).await?;
    let owners = members.iter().filter(|other| other.role == Role::Owner).count();
    let row = |other: Member| {
        let outranked = other.role != Role::Owner || (member.role() == Role::Owner && owners > 1);
        MemberRow {
            account_id: other.account_id.to_string(),
            is_you: other.account_id == member.account().account_id,
            email: other.email,
            role: other.role.to_string(),
            joined_at: other.created_at,
            may_change: member.role() >= Role::Admin && outranked,
        }
    };
    Ok(MembersPage {
        shell: member.shell(Area::Members),
        members: members.into_iter().map(row).collect(),
        form,
    })
}
