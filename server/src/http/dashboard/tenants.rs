//! The organisations of a person, and one organisation's apps.

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    links::TenantLinks,
    pages::tenants::{AppCard, TenantHomePage, TenantsPage},
    shell::Area,
};

use super::{account::membership, show};
use crate::{
    control::{
        ControlPlane,
        apps::{App, base_url},
    },
    http::{
        PublicUrl,
        extract::{member::TenantMember, visitor::SignedIn},
        page_error::PageError,
    },
};

/// `/d`: on to the only organisation, or a choice of them.
pub async fn list(person: SignedIn, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    let memberships = control.memberships(person.account()).await?;
    if let [only] = memberships.as_slice() {
        return Ok(Redirect::to(TenantLinks::new(only.tenant.slug.as_str()).home()).into_response());
    }
    show(&TenantsPage {
        shell: person.shell(),
        memberships: memberships.into_iter().map(membership).collect(),
    })
}

/// `/d/{tenant}`: its apps.
pub async fn home(
    member: TenantMember,
    State(control): State<ControlPlane>,
    State(public_url): State<PublicUrl>,
) -> Result<Response, PageError> {
    let apps = control.apps(member.tenant().tenant_id).await?;
    let card = |app: App| AppCard {
        base_url: base_url(public_url.as_str(), &member.tenant().slug, &app.slug),
        slug: app.slug.to_string(),
        name: app.name,
        created_at: app.created_at,
        schema_version: app.schema_version.into(),
    };
    show(&TenantHomePage { shell: member.shell(Area::Apps), apps: apps.into_iter().map(card).collect() })
}
