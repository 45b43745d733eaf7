//! A tenant's home: its apps; and its settings.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::Field,
    links,
    shell::{Area, Shell},
};

/// The organisations of a person who belongs to more than one, or to none.
#[derive(Debug, Template)]
#[template(path = "tenants/list.html")]
pub struct TenantsPage {
    pub shell: Shell,
    pub memberships: Vec<super::account::Membership>,
}

/// The apps of a tenant.
#[derive(Debug, Template)]
#[template(path = "tenants/home.html")]
pub struct TenantHomePage {
    pub shell: Shell,
    /// In order of name.
    pub apps: Vec<AppCard>,
}

/// An app as the tenant's home shows it.
#[derive(Debug, Clone)]
pub struct AppCard {
    pub slug: String,
    pub name: String,
    pub base_url: String,
    pub created_at: OffsetDateTime,
    /// The newest published version of its tables; 0 before the first.
    pub schema_version: i64,
}

/// An organisation's name, and its end.
#[derive(Debug, Template)]
#[template(path = "tenants/settings.html")]
pub struct TenantSettingsPage {
    pub shell: Shell,
    pub tenant_id: String,
    pub slug: String,
    pub created_at: OffsetDateTime,
    /// The name, as it is or was typed.
    pub rename: Field,
    /// How many apps it has; with any, it cannot be deleted.
    pub apps: i64,
    /// The person looking may delete it.
    pub may_delete: bool,
    /// What was typed to confirm that it goes.
    pub confirmation: Field,
}

/// What a person types to rename an organisation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RenameInput {
    pub name: String,
}

/// What a person types to delete an organisation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeleteTenantInput {
    pub confirmation: String,
}
