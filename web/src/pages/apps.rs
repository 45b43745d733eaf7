//! Making an app.

use askama::Template;
use serde::Deserialize;

use crate::{
    forms::Field,
    links,
    shell::{Area, Shell},
};

/// The form that makes an app.
#[derive(Debug, Template)]
#[template(path = "apps/new.html")]
pub struct NewAppPage {
    pub shell: Shell,
    /// The start of every app's base URL: `https://HOST/t/{tenant}/`.
    pub base_url_prefix: String,
    pub form: NewAppForm,
}

/// What a person types to make an app.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct NewAppInput {
    pub name: String,
    /// The app's name in addresses; empty: made from its name.
    pub slug: String,
    /// `strings` or `numbers`.
    pub wire_profile: String,
    /// The wire's `schema` member.
    pub logical_schema: String,
}

impl Default for NewAppInput {
    fn default() -> Self {
        Self {
            name: String::new(),
            slug: String::new(),
            wire_profile: "strings".to_owned(),
            logical_schema: "main".to_owned(),
        }
    }
}

/// The form between two attempts.
#[derive(Debug, Clone)]
pub struct NewAppForm {
    pub name: Field,
    pub slug: Field,
    pub wire_profile: Field,
    pub logical_schema: Field,
    pub error: Option<String>,
}

impl NewAppForm {
    /// The advanced part is shown open when there is something in it to see.
    fn is_advanced(&self) -> bool {
        self.wire_profile.value == "numbers"
            || self.logical_schema.value != "main"
            || self.wire_profile.error.is_some()
            || self.logical_schema.error.is_some()
    }
}

impl From<&NewAppInput> for NewAppForm {
    fn from(input: &NewAppInput) -> Self {
        Self {
            name: Field::new(&input.name),
            slug: Field::new(&input.slug),
            wire_profile: Field::new(&input.wire_profile),
            logical_schema: Field::new(&input.logical_schema),
            error: None,
        }
    }
}

impl Default for NewAppForm {
    fn default() -> Self {
        Self::from(&NewAppInput::default())
    }
}
