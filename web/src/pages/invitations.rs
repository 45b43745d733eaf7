//! Inviting people, and what whoever has the link sees.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use super::members::role_sentence;
use crate::{
    filters,
    forms::{Csrf, Field},
    links,
};

/// A pending invitation as the list shows it.
#[derive(Debug, Clone)]
pub struct InvitationRow {
    pub id: String,
    /// Whom it is meant for.
    pub note: Option<String>,
    pub role: String,
    pub invited_by: String,
    pub created_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

impl InvitationRow {
    pub fn label(&self) -> &str {
        self.note.as_deref().unwrap_or("anybody with the link")
    }
}

/// An invitation just made: its link is shown this once. `Debug` does not show it.
#[derive(Clone)]
pub struct MadeInvitation {
    pub link: String,
    pub role: String,
    pub note: Option<String>,
    pub expires_at: OffsetDateTime,
}

impl std::fmt::Debug for MadeInvitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MadeInvitation")
    }
}

/// What a person types to invite somebody.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InviteInput {
    pub note: String,
    pub role: String,
    /// Days until it expires; empty: seven.
    pub days: String,
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct InviteForm {
    pub note: Field,
    pub role: Field,
    pub days: Field,
    /// What is wrong with the form as a whole.
    pub error: Option<String>,
}

impl From<&InviteInput> for InviteForm {
    fn from(input: &InviteInput) -> Self {
        Self {
            note: Field::new(&input.note),
            role: Field::new(&input.role),
            days: Field::new(&input.days),
            error: None,
        }
    }
}

/// Who invites whom to what as which role, and how to accept.
#[derive(Debug, Template)]
#[template(path = "invitations/page.html")]
pub struct InvitationPage {
    /// The secret part of the link.
    pub token: String,
    /// Of the session, where somebody is signed in.
    pub csrf: Csrf,
    /// The address of whoever is signed in.
    pub signed_in_as: Option<String>,
    /// The role that they have in the organisation already.
    pub already: Option<String>,
    /// Where the organisation is.
    pub home: String,
    pub tenant_name: String,
    pub role: String,
    pub invited_by: String,
    pub note: Option<String>,
    pub expires_at: OffsetDateTime,
    pub now: OffsetDateTime,
}

impl InvitationPage {
    /// The note is an address, and not of who is signed in.
    fn is_for_another(&self) -> bool {
        let Some(note) = self.note.as_deref().filter(|note| note.contains('@')) else { return false };
        self.signed_in_as.as_deref().is_some_and(|email| email.to_lowercase() != note.to_lowercase())
    }

    fn sentence(&self) -> &'static str {
        role_sentence(&self.role)
    }

    fn accept_address(&self) -> String {
        format!("{}/accept", links::invitation(&self.token))
    }

    fn sign_in_address(&self) -> String {
        links::with_query(links::SIGN_IN, &[("next", &links::invitation(&self.token))])
    }
}
