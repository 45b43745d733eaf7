//! A tenant's home: its apps.

use askama::Template;
use time::OffsetDateTime;

use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The organisations of a person who belongs to more than one, or to none.
#[derive(Debug, Template)]
#[template(path = "tenants/list.html")]
pub struct TenantsPage {
    pub shell: Shell,
    pub memberships: Vec<super::accounts::Membership>,
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
