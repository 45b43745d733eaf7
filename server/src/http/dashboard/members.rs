//! The people of a tenant: who they are, what each may do, and who was invited.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    links::{self, with_query},
    pages::{
        invitations::{InvitationRow, InviteForm, MadeInvitation},
        members::{AbilityRow, ChangeRoleInput, MemberRow, MemberRows, MembersPage},
    },
    shell::{Area, Notice},
};

use super::{
    place::{cursor_text, read_cursor},
    show,
    sign_up::sentence,
};
use crate::{
    control::{
        ControlPlane,
        invitations::Invitation,
        members::{Member, MemberCursor, MemberError},
        roles::Role,
    },
    http::{
        abilities::ABILITIES,
        extract::{
            form::{Button, Posted},
            input::{ApiPath, ApiQuery, Input},
            member::{TenantAdmin, TenantMember, TenantOwner},
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::AccountId,
};

/// Members of one page.
const PAGE: usize = 50;

/// From where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MembersQuery {
    after: String,
}

impl Input for MembersQuery {}

/// The part of the path that names a member.
#[derive(Debug, Deserialize)]
pub struct MemberPath {
    account: String,
}

impl MemberPath {
    fn account(&self) -> Result<AccountId, PageError> {
        self.account.parse().map_err(|_| PageError::NotFound)
    }
}

pub async fn page(
    member: TenantMember,
    State(control): State<ControlPlane>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<MembersQuery>,
) -> Result<Response, PageError> {
    let after: Option<MemberCursor> = read_cursor(&query.after);
    if is_htmx(&headers) {
        return show(&People::of(&member, &control).await?.rows(after.as_ref()).await?);
    }
    show(&page_from(&member, &control, after.as_ref(), (InviteForm::default(), None)).await?)
}

pub async fn change_role(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<MemberPath>,
    Posted(input): Posted<ChangeRoleInput>,
) -> Result<Response, PageError> {
    let account = path.account()?;
    let Some(role) = Role::parse(&input.role) else {
        return said(&admin, Notice::Failed("Choose one of the roles.".to_owned())).await;
    };
    let outcome = control.change_role(&admin.member_admin(), account, role).await;
    answer(&admin, outcome, format!("The role is {role} now.")).await
}

pub async fn remove(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<MemberPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let account = path.account()?;
    let outcome = control.remove_member(&admin.member_admin(), account).await;
    // Who leaves sees what they have left.
    if outcome.is_ok() && account == admin.account().account_id {
        return Ok(Redirect::to(links::TENANTS).into_response());
    }
    answer(&admin, outcome, "The member is removed.".to_owned()).await
}

/// Make another member the owner, and oneself an admin.
pub async fn transfer(
    owner: TenantOwner,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<MemberPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let outcome = control.transfer_ownership(&owner.member_admin(), path.account()?).await;
    answer(&owner, outcome, "The ownership is handed over; you are an admin now.".to_owned()).await
}

pub async fn leave(
    member: TenantMember,
    State(control): State<ControlPlane>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    match control.leave(member.tenant(), member.account(), &member.actor()).await {
        Ok(()) => {
            let left = format!("You have left {}.", member.tenant().name);
            member.notify(Notice::Done(left)).await?;
            Ok(Redirect::to(links::TENANTS).into_response())
        }
        outcome => answer(&member, outcome, String::new()).await,
    }
}

async fn answer(
    member: &TenantMember,
    outcome: Result<(), MemberError>,
    done: String,
) -> Result<Response, PageError> {
    match outcome {
        Ok(()) => said(member, Notice::Done(done)).await,
        Err(MemberError::Database(error)) => Err(error.into()),
        Err(MemberError::NoSuchMember) => Err(PageError::NotFound),
        Err(error) => said(member, Notice::Failed(sentence(&error))).await,
    }
}

async fn said(member: &TenantMember, notice: Notice) -> Result<Response, PageError> {
    member.notify(notice).await?;
    Ok(Redirect::to(&member.shell(Area::Members).tenant_links().members()).into_response())
}

/// The page with the first members, after an invitation was made or refused.
pub(super) async fn members_page(
    member: &TenantMember,
    control: &ControlPlane,
    form: InviteForm,
    made: Option<MadeInvitation>,
) -> Result<MembersPage, PageError> {
    page_from(member, control, None, (form, made)).await
}

async fn page_from(
    member: &TenantMember,
    control: &ControlPlane,
    after: Option<&MemberCursor>,
    (form, made): (InviteForm, Option<MadeInvitation>),
) -> Result<MembersPage, PageError> {
    let people = People::of(member, control).await?;
    let invitations = match member.role() >= Role::Admin {
        true => control.pending_invitations(member.tenant().tenant_id).await?,
        false => Vec::new(),
    };
    Ok(MembersPage {
        shell: member.shell(Area::Members),
        rows: people.rows(after).await?,
        is_continued: after.is_some(),
        invitations: invitations.into_iter().map(invitation_row).collect(),
        made,
        abilities: ABILITIES
            .iter()
            .map(|ability| AbilityRow {
                does: ability.does,
                allowed: Role::ALL.map(|role| role >= ability.needs).to_vec(),
            })
            .collect(),
        is_last_owner: member.role() == Role::Owner && people.owners == 1,
        form,
    })
}

/// The members as one of them sees them.
struct People<'a> {
    you: &'a TenantMember,
    control: &'a ControlPlane,
    owners: i64,
}

impl<'a> People<'a> {
    async fn of(you: &'a TenantMember, control: &'a ControlPlane) -> Result<Self, PageError> {
        Ok(Self { you, control, owners: control.count_owners(you.tenant().tenant_id).await? })
    }

    /// A page of them.
    async fn rows(&self, after: Option<&MemberCursor>) -> Result<MemberRows, PageError> {
        let tenant = self.you.tenant().tenant_id;
        let mut members = self.control.members(tenant, after, PAGE as i64 + 1).await?;
        let more = members.len() > PAGE;
        members.truncate(PAGE);
        let shell = self.you.shell(Area::Members);
        let address = |last: &Member| {
            with_query(&shell.tenant_links().members(), &[("after", &cursor_text(&last.cursor()))])
        };
        Ok(MemberRows {
            next: members.last().filter(|_| more).map(address),
            members: members.into_iter().map(|other| self.row(other)).collect(),
            roles: Role::ALL.map(|role| role.as_str()).to_vec(),
            roles_to_give: Role::ALL
                .into_iter()
                .filter(|role| *role <= self.you.role())
                .map(Role::as_str)
                .collect(),
            shell,
        })
    }

    fn row(&self, other: Member) -> MemberRow {
        let role = self.you.role();
        let outranked = other.role != Role::Owner || (role == Role::Owner && self.owners > 1);
        let is_you = other.account_id == self.you.account().account_id;
        MemberRow {
            account_id: other.account_id.to_string(),
            is_you,
            email: other.email,
            role: other.role.to_string(),
            joined_at: other.created_at,
            may_change: role >= Role::Admin && outranked,
            may_inherit: role == Role::Owner && !is_you && other.role != Role::Owner,
        }
    }
}

fn invitation_row(invitation: Invitation) -> InvitationRow {
    InvitationRow {
        id: invitation.invitation_id.to_string(),
        note: invitation.note,
        role: invitation.role.to_string(),
        invited_by: invitation.created_by_email,
        created_at: invitation.created_at,
        expires_at: invitation.expires_at,
    }
}
