//! The people of a tenant.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::Field,
    links,
    shell::{Area, Shell},
};

/// The roles, the strongest first, each with what it may do.
pub const ROLES: [(&str, &str); 4] = [
    ("owner", "everything, the organisation itself included"),
    ("admin", "manages members and apps, deletes apps"),
    ("developer", "creates apps and keys, publishes schemas"),
    ("viewer", "sees everything, changes nothing"),
];

/// The members of a tenant, and the form that adds one.
#[derive(Debug, Template)]
#[template(path = "members/page.html")]
pub struct MembersPage {
    pub shell: Shell,
    /// The mightiest first.
    pub members: Vec<MemberRow>,
    pub form: AddMemberForm,
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
}

impl MemberRow {
    fn leave_label(&self) -> &'static str {
        if self.is_you { "Leave" } else { "Remove" }
    }

    fn leave_title(&self) -> String {
        if self.is_you { "Leave this organisation?".to_owned() } else { format!("Remove {}?", self.email) }
    }
}

/// What a person types to add a member who has an account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AddMemberInput {
    pub email: String,
    pub role: String,
}

/// What a person chooses to change a member's role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ChangeRoleInput {
    pub role: String,
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct AddMemberForm {
    pub email: Field,
    pub role: Field,
}

impl From<&AddMemberInput> for AddMemberForm {
    fn from(input: &AddMemberInput) -> Self {
        Self { email: Field::new(&input.email), role: Field::new(&input.role) }
    }
}
