//! An app's settings: its name, its history, its end users' tokens, its end.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::{Field, SecretField, Ticked, Typed},
    links,
    shell::{Area, Shell},
};

/// The settings of an app, a form for each part; each posts on its own.
#[derive(Debug, Template)]
#[template(path = "settings/page.html")]
pub struct SettingsPage {
    pub shell: Shell,
    pub facts: AppFacts,
    pub general: GeneralForm,
    pub auth: EndUserAuthForm,
    /// What the token that was just tried is worth.
    pub token_test: Option<TokenTestResult>,
    /// What was typed to confirm the deletion.
    pub confirmation: Field,
}

/// What cannot be changed.
#[derive(Debug, Clone)]
pub struct AppFacts {
    pub app_id: String,
    pub base_url: String,
    /// `strings` or `numbers`.
    pub wire_profile: String,
    pub logical_schema: String,
}

/// The app's name and how much history it keeps.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct GeneralInput {
    pub name: String,
    /// Bundles kept per user whatever their age; empty: what the server's configuration says.
    pub min_bundles: String,
    /// Days after which bundles beyond those are pruned; empty: what the server's configuration says.
    pub max_age_days: String,
    /// What of the two above the person was told the consequence of ([`GeneralInput::retention`]).
    pub accepted: String,
}

impl GeneralInput {
    /// How much history is to be kept, as it was typed.
    pub fn retention(&self) -> String {
        format!("{}/{}", self.min_bundles.trim(), self.max_age_days.trim())
    }
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct GeneralForm {
    pub name: Field,
    pub min_bundles: Field,
    pub max_age_days: Field,
    /// What saving would do to devices, and has not done yet.
    pub question: Option<RetentionQuestion>,
}

/// The consequence of keeping less history, to be accepted.
#[derive(Debug, Clone)]
pub struct RetentionQuestion {
    /// Devices that would have to download everything anew.
    pub devices: i64,
    /// Not all devices were looked at.
    pub at_least: bool,
    /// What the person accepts by saving again.
    pub accepted: String,
}

impl From<&GeneralInput> for GeneralForm {
    fn from(input: &GeneralInput) -> Self {
        Self {
            name: Field::new(&input.name),
            min_bundles: Field::new(&input.min_bundles),
            max_age_days: Field::new(&input.max_age_days),
            question: None,
        }
    }
}

/// How the app's own tokens are checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EndUserAuthInput {
    /// A new HS256 secret; empty: leave the one there is.
    pub jwt_hs256_secret: Typed,
    /// Forget the secret: tokens of the tenant's own are no longer accepted.
    pub forget_secret: Ticked,
    pub issuer: String,
    pub audience: String,
    /// The claim that names the user: `sub`.
    pub user_claim: String,
    /// The claim that names the scope; empty: the user's id is the scope.
    pub scope_claim: String,
    /// Seconds by which clocks may differ.
    pub clock_skew_seconds: String,
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct EndUserAuthForm {
    /// A secret is stored.
    pub has_secret: bool,
    pub jwt_hs256_secret: SecretField,
    pub issuer: Field,
    pub audience: Field,
    pub user_claim: Field,
    pub scope_claim: Field,
    pub clock_skew_seconds: Field,
}

impl EndUserAuthForm {
    /// The form with what was typed; the secret is not kept.
    pub fn retry(input: &EndUserAuthInput, has_secret: bool) -> Self {
        Self {
            has_secret,
            jwt_hs256_secret: SecretField::default(),
            issuer: Field::new(&input.issuer),
            audience: Field::new(&input.audience),
            user_claim: Field::new(&input.user_claim),
            scope_claim: Field::new(&input.scope_claim),
            clock_skew_seconds: Field::new(&input.clock_skew_seconds),
        }
    }
}

/// A token to be tried.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TokenTestInput {
    pub token: Typed,
}

/// What a tried token is worth.
#[derive(Debug, Clone)]
pub enum TokenTestResult {
    /// Every check passed.
    Accepted { user: String, scope: String, expires_at: OffsetDateTime },
    /// The first check that failed, in a sentence with its particulars.
    Refused { sentence: String },
}

/// The app's name, typed to confirm its deletion.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeleteInput {
    pub confirmation: String,
}
