//! An app's API keys.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::{Field, Ticked},
    links,
    shell::{Area, Shell},
};

/// The keys of an app and the form that issues one; right after that also the new key's plain text.
#[derive(Debug, Template)]
#[template(path = "api_keys/page.html")]
pub struct ApiKeysPage {
    pub shell: Shell,
    /// The plain text of the key just issued: shown in this answer and never again.
    pub issued: Option<IssuedKey>,
    /// The newest first.
    pub keys: Vec<ApiKeyRow>,
    pub form: NewApiKeyForm,
}

/// A key that can be read this once.
#[derive(Clone)]
pub struct IssuedKey {
    pub name: String,
    pub kind: KeyKind,
    pub plain_text: String,
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Ships in the app; may only let end users sign up and in.
    Publishable,
    /// Stays on the tenant's servers.
    Secret,
}

/// A key as the list shows it.
#[derive(Debug, Clone)]
pub struct ApiKeyRow {
    pub id: String,
    pub name: String,
    pub kind: KeyKind,
    /// How its plain text begins, enough to recognise it.
    pub prefix: String,
    /// What a secret key may do, for instance `tokens`.
    pub scopes: Vec<String>,
    pub created_at: OffsetDateTime,
    pub created_by: Option<String>,
    pub last_used_at: Option<OffsetDateTime>,
    pub state: KeyState,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Live { expires_at: Option<OffsetDateTime> },
    Expired { at: OffsetDateTime },
    Revoked { at: OffsetDateTime },
}

impl ApiKeyRow {
    fn is_live(&self) -> bool {
        matches!(self.state, KeyState::Live { .. })
    }
}

/// What a secret key may be allowed, each with what that means.
pub const SCOPES: [(&str, &str); 4] = [
    ("tokens", "Mint tokens for your users"),
    ("data", "Read and write your users’ rows"),
    ("schema", "Publish tables"),
    ("keys", "Issue and revoke keys"),
];

/// What a person types to issue a key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NewApiKeyInput {
    pub name: String,
    /// `publishable` or `secret`.
    pub kind: String,
    pub scope_tokens: Ticked,
    pub scope_data: Ticked,
    pub scope_schema: Ticked,
    pub scope_keys: Ticked,
    /// Days until the key expires; empty: never.
    pub expires_in_days: String,
}

impl NewApiKeyInput {
    /// The names of the ticked scopes.
    pub fn scopes(&self) -> Vec<&'static str> {
        let ticked = [self.scope_tokens, self.scope_data, self.scope_schema, self.scope_keys];
        SCOPES.iter().zip(ticked).filter(|(_, tick)| tick.0).map(|((name, _), _)| *name).collect()
    }
}

/// The form between two attempts.
#[derive(Debug, Clone)]
pub struct NewApiKeyForm {
    pub name: Field,
    pub kind: Field,
    /// The names of the ticked scopes.
    pub scopes: Vec<&'static str>,
    pub scopes_error: Option<String>,
    pub expires_in_days: Field,
}

impl From<&NewApiKeyInput> for NewApiKeyForm {
    fn from(input: &NewApiKeyInput) -> Self {
        Self {
            name: Field::new(&input.name),
            kind: Field::new(&input.kind),
            scopes: input.scopes(),
            scopes_error: None,
            expires_in_days: Field::new(&input.expires_in_days),
        }
    }
}

impl Default for NewApiKeyForm {
    /// A secret key that may mint tokens, which is what an app's server needs first.
    fn default() -> Self {
        let kind = "secret".to_owned();
        Self::from(&NewApiKeyInput { kind, scope_tokens: Ticked(true), ..NewApiKeyInput::default() })
    }
}
