//! Signing up, signing in, and one's own account.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::{Csrf, Field, SecretField, Typed},
    links,
    links::TenantLinks,
    shell::{Area, Notice, Shell},
};

/// Sign-up: makes an account and its first organisation.
#[derive(Debug, Template)]
#[template(path = "accounts/sign_up.html")]
pub struct SignUpPage {
    pub csrf: Csrf,
    pub form: SignUpForm,
}

/// What a person types to sign up.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SignUpInput {
    pub email: String,
    pub password: Typed,
    /// The organisation's name.
    pub tenant_name: String,
    /// The organisation's name in addresses; empty: made from its name.
    pub tenant_slug: String,
}

/// The sign-up form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct SignUpForm {
    pub email: Field,
    pub password: SecretField,
    pub tenant_name: Field,
    pub tenant_slug: Field,
    /// What is wrong with the form as a whole.
    pub error: Option<String>,
}

impl From<&SignUpInput> for SignUpForm {
    fn from(input: &SignUpInput) -> Self {
        Self {
            email: Field::new(&input.email),
            tenant_name: Field::new(&input.tenant_name),
            tenant_slug: Field::new(&input.tenant_slug),
            ..Self::default()
        }
    }
}

/// Sign-in.
#[derive(Debug, Template)]
#[template(path = "accounts/sign_in.html")]
pub struct SignInPage {
    pub csrf: Csrf,
    pub form: SignInForm,
    /// Why the person is here, when they did not ask to be: signed out, or sent here by a page.
    pub notice: Option<Notice>,
}

/// What a person types to sign in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SignInInput {
    pub email: String,
    pub password: Typed,
    /// The path to go on to; the handler accepts only paths of ours.
    pub next: String,
}

/// The sign-in form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct SignInForm {
    pub email: Field,
    pub password: SecretField,
    pub next: String,
    /// What is wrong with the form as a whole: wrong email or password, or too many attempts.
    pub error: Option<String>,
}

impl From<&SignInInput> for SignInForm {
    fn from(input: &SignInInput) -> Self {
        Self { email: Field::new(&input.email), next: input.next.clone(), ..Self::default() }
    }
}

/// One's own account: organisations and password.
#[derive(Debug, Template)]
#[template(path = "accounts/account.html")]
pub struct AccountPage {
    pub shell: Shell,
    pub signed_up_at: OffsetDateTime,
    pub memberships: Vec<Membership>,
    pub password: PasswordForm,
}

/// An organisation the person belongs to.
#[derive(Debug, Clone)]
pub struct Membership {
    pub tenant_name: String,
    pub tenant_slug: String,
    pub role: String,
}

impl Membership {
    pub fn href(&self) -> String {
        TenantLinks::new(&self.tenant_slug).home().to_owned()
    }
}

/// What a person types to change their password.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PasswordInput {
    pub current: Typed,
    pub new: Typed,
}

/// The password form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct PasswordForm {
    pub current: SecretField,
    pub new: SecretField,
}
