//! Signing up and signing in.

use askama::Template;
use serde::Deserialize;

use crate::{
    forms::{Csrf, Field, SecretField, Typed},
    links,
    shell::Notice,
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

/// The second step of signing in: a code of the second factor.
#[derive(Debug, Template)]
#[template(path = "accounts/sign_in_code.html")]
pub struct SignInCodePage {
    pub csrf: Csrf,
    pub form: SignInCodeForm,
}

/// What a person types as the second step.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct SignInCodeInput {
    /// A code of an authenticator, or a recovery code.
    pub code: String,
    pub next: String,
}

/// The second step between two attempts.
#[derive(Debug, Clone, Default)]
pub struct SignInCodeForm {
    pub code: SecretField,
    pub next: String,
}

/// Sign-up of somebody who was invited: an account, and no organisation of their own.
#[derive(Debug, Template)]
#[template(path = "accounts/sign_up_invited.html")]
pub struct InvitedSignUpPage {
    pub csrf: Csrf,
    /// The secret part of the invitation's link.
    pub token: String,
    pub tenant_name: String,
    pub role: String,
    pub form: SignUpForm,
}

impl InvitedSignUpPage {
    fn sign_in_address(&self) -> String {
        links::with_query(links::SIGN_IN, &[("next", &links::invitation(&self.token))])
    }
}
