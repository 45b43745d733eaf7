//! One's own account: organisations, password, second factor, sessions, what happened to it, and its end.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::{Field, SecretField, Typed},
    links,
    links::TenantLinks,
    qr::Qr,
    shell::{Area, Shell},
};

/// The account, section by section.
#[derive(Debug, Template)]
#[template(path = "account/page.html")]
pub struct AccountPage {
    pub shell: Shell,
    pub signed_up_at: OffsetDateTime,
    pub memberships: Vec<Membership>,
    pub password: PasswordForm,
    pub factor: FactorState,
    pub factor_form: FactorForm,
    /// The one seen last first.
    pub sessions: Vec<SessionRow>,
    /// The newest first.
    pub events: Vec<SecurityEventRow>,
    pub delete: DeleteAccountForm,
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

/// Whether sign-in asks for a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorState {
    Off,
    On { since: OffsetDateTime, recovery_codes_left: i64 },
}

/// What a person types to begin with a second factor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BeginInput {
    pub factor_password: Typed,
}

/// What a person types to change a second factor.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct FactorInput {
    pub factor_password: Typed,
    pub factor_code: String,
}

/// The form of the second factor between two attempts.
#[derive(Debug, Clone, Default)]
pub struct FactorForm {
    pub factor_password: SecretField,
    pub factor_code: SecretField,
}

/// A session of the account.
#[derive(Debug, Clone)]
pub struct SessionRow {
    pub handle: String,
    pub is_this: bool,
    /// `Firefox on Linux`.
    pub browser: String,
    /// All that the browser said of itself.
    pub user_agent: String,
    pub address: Option<String>,
    pub since: OffsetDateTime,
    pub last_seen_at: Option<OffsetDateTime>,
}

/// Something that happened to the account.
#[derive(Debug, Clone)]
pub struct SecurityEventRow {
    pub at: OffsetDateTime,
    pub kind: String,
    pub address: Option<String>,
    pub browser: String,
}

impl SecurityEventRow {
    /// The event in words; one that this version does not know, by its name.
    fn sentence(&self) -> &str {
        match self.kind.as_str() {
            "signed_up" => "The account was made",
            "signed_in" => "Signed in",
            "password_changed" => "The password was changed",
            "code_refused" => "A wrong code was typed after the right password",
            "totp_enabled" => "The second factor was turned on",
            "totp_disabled" => "The second factor was turned off",
            "recovery_code_used" => "A recovery code was used",
            "recovery_codes_replaced" => "New recovery codes were made",
            "session_ended" => "A session was ended",
            "other_sessions_ended" => "All other sessions were ended",
            "tenant_deleted" => "An organisation was deleted",
            other => other,
        }
    }

    fn is_alarming(&self) -> bool {
        matches!(self.kind.as_str(), "code_refused" | "recovery_code_used" | "totp_disabled")
    }
}

/// What a person types to delete their account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeleteAccountInput {
    pub delete_password: Typed,
    /// The account's address.
    pub confirmation: String,
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct DeleteAccountForm {
    pub password: SecretField,
    pub confirmation: Field,
    /// Why the account cannot be deleted at all now.
    pub error: Option<String>,
}

/// Setting a second factor up: the secret, shown until it is confirmed.
#[derive(Debug, Template)]
#[template(path = "account/totp.html")]
pub struct TotpPage {
    pub shell: Shell,
    pub qr: Qr,
    /// The secret, to be typed.
    pub secret: String,
    pub form: CodeForm,
}

/// What a person types to prove that their authenticator has the secret.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct CodeInput {
    pub code: String,
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct CodeForm {
    pub code: SecretField,
}

/// New recovery codes, shown this once.
#[derive(Debug, Template)]
#[template(path = "account/recovery_codes.html")]
pub struct RecoveryCodesPage {
    pub shell: Shell,
    pub codes: Vec<String>,
    /// The second factor was turned on a moment ago; else the codes replace others.
    pub just_enabled: bool,
}

impl RecoveryCodesPage {
    fn text(&self) -> String {
        self.codes.join("\n")
    }
}

/// A browser as its owner would name it: `Firefox on Linux`. The full text is for the hint.
pub fn browser_name(user_agent: &str) -> String {
    // The first that fits: each claims to be those after it.
    let browsers = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Chromium/", "Chromium"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (named(&browsers), named(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "Unknown browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_as_people_name_them() {
        for (said, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.14.1", "curl"),
            ("", "Unknown browser"),
        ] {
            assert_eq!(browser_name(said), name);
        }
    }
}
