//! The people of a tenant.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use super::invitations::{InvitationRow, InviteForm, MadeInvitation};
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// What a role is for, in a few words; the table on the page has the particulars.
pub(crate) fn role_sentence(role: &str) -> &'static str {
    match role {
        "owner" => "everything, the organisation itself included",
        "admin" => "manages members and apps, deletes apps",
        "developer" => "creates apps and keys, publishes schemas, changes rows",
        _ => "sees everything, changes nothing",
    }
}

/// The members of a tenant, who was invited, and what each role may do.
#[derive(Debug, Template)]
#[template(path = "members/page.html")]
pub struct MembersPage {
    pub shell: Shell,
    pub rows: MemberRows,
    /// The list does not begin at the mightiest.
    pub is_continued: bool,
    /// Pending, newest first; none for those who may not invite.
    pub invitations: Vec<InvitationRow>,
    pub made: Option<MadeInvitation>,
    pub abilities: Vec<AbilityRow>,
    /// The person looking cannot leave.
    pub is_last_owner: bool,
    pub form: InviteForm,
}

impl MembersPage {
    /// There is nobody but the person looking.
    fn is_alone(&self) -> bool {
        self.rows.members.len() == 1 && self.rows.next.is_none() && !self.is_continued
    }

    /// The roles that the person looking may give, each with what it is for.
    fn choices(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.rows.roles_to_give.iter().map(|role| (*role, role_sentence(role)))
    }
}

/// Members; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "members/_rows.html")]
pub struct MemberRows {
    pub shell: Shell,
    /// The mightiest first.
    pub members: Vec<MemberRow>,
    /// Every role, the mightiest first.
    pub roles: Vec<&'static str>,
    /// Those that the person looking may give.
    pub roles_to_give: Vec<&'static str>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// A member as the list shows them.
#[derive(Debug, Clone)]
pub struct MemberRow {
    pub account_id: String,
    pub email: String,
    pub role: String,
    pub joined_at: OffsetDateTime,
    pub is_you: bool,
    /// The person looking may change this member's role and remove them.
    pub may_change: bool,
    /// The person looking may hand the ownership over to this member.
    pub may_inherit: bool,
}

/// Something that members may do, and which roles allow it.
#[derive(Debug, Clone)]
pub struct AbilityRow {
    pub does: &'static str,
    /// In the order of the page's roles.
    pub allowed: Vec<bool>,
}

/// What a person chooses to change a member's role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ChangeRoleInput {
    pub role: String,
}
