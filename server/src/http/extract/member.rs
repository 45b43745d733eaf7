//! Members of a tenant, and what their role lets them do with it and its apps.
//!
//! `TenantMember` → `TenantDeveloper` → `TenantAdmin` → `TenantOwner` for a tenant's pages (`/d/{tenant}/…`), `AppViewer` →
//! `AppDeveloper` → `AppAdmin` for an app's (`/d/{tenant}/{app}/…`). Another tenant's thing is not found, in the same
//! words as a thing that never was; one's own that the role does not allow is refused.

use std::{ops::Deref, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts, RawPathParams},
    http::request::Parts,
};
use syncline_web::shell::{Area, May, Shell, TenantPlace};

use super::visitor::SignedIn;
use crate::{
    control::{
        ControlPlane,
        apps::{App, AppState},
        members::MemberAdmin,
        roles::Role,
        slugs::Slug,
        tenants::Tenant,
    },
    directory::{Directory, LiveApp},
    http::page_error::PageError,
};

/// A member of the tenant that the URL names, in any role.
#[derive(Debug, Clone)]
pub struct TenantMember {
    signed_in: SignedIn,
    tenant: Tenant,
    role: Role,
}

/// A member who may at least create apps.
#[derive(Debug, Clone)]
pub struct TenantDeveloper(TenantMember);

/// A member who may at least manage members.
#[derive(Debug, Clone)]
pub struct TenantAdmin(TenantMember);

/// A member who may do everything with the tenant.
#[derive(Debug, Clone)]
pub struct TenantOwner(TenantAdmin);

/// A member who looks at the app that the URL names.
#[derive(Debug, Clone)]
pub struct AppViewer {
    member: TenantMember,
    live: Arc<LiveApp>,
    app: App,
}

/// A member who may at least change the app's tables and keys.
#[derive(Debug, Clone)]
pub struct AppDeveloper(AppViewer);

/// A member who may at least delete the app.
#[derive(Debug, Clone)]
pub struct AppAdmin(AppViewer);

impl TenantMember {
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// The frame of a page about the tenant.
    pub fn shell(&self, area: Area) -> Shell {
        let may = May { develop: self.role >= Role::Developer, administer: self.role >= Role::Admin };
        let place = TenantPlace::new(self.tenant.slug.as_str(), &self.tenant.name, self.role.as_str(), may);
        self.signed_in.shell().in_tenant(place).at(area)
    }

    fn must(self, needed: Role) -> Result<Self, PageError> {
        if self.role >= needed {
            return Ok(self);
        }
        Err(PageError::RoleTooLow { role: self.role.as_str(), needed: needed.as_str() })
    }
}

impl Deref for TenantMember {
    type Target = SignedIn;

    fn deref(&self) -> &SignedIn {
        &self.signed_in
    }
}

impl Deref for TenantDeveloper {
    type Target = TenantMember;

    fn deref(&self) -> &TenantMember {
        &self.0
    }
}

impl Deref for TenantAdmin {
    type Target = TenantMember;

    fn deref(&self) -> &TenantMember {
        &self.0
    }
}

impl Deref for TenantOwner {
    type Target = TenantAdmin;

    fn deref(&self) -> &TenantAdmin {
        &self.0
    }
}

impl TenantAdmin {
    fn must(self, needed: Role) -> Result<Self, PageError> {
        self.0.must(needed).map(Self)
    }

    /// As the one who changes memberships.
    pub fn member_admin(&self) -> MemberAdmin<'_> {
        MemberAdmin { tenant: &self.tenant, actor: self.actor(), role: self.role }
    }
}

impl AppViewer {
    /// The app as the control plane has it right now.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The app as this node serves it, tables included.
    pub fn live(&self) -> &Arc<LiveApp> {
        &self.live
    }

    pub fn tenant(&self) -> &Tenant {
        self.member.tenant()
    }

    pub fn role(&self) -> Role {
        self.member.role()
    }

    /// The frame of a page about the app.
    pub fn shell(&self, area: Area) -> Shell {
        self.member.shell(area).in_app(self.app.slug.as_str(), &self.app.name)
    }
}

impl Deref for AppViewer {
    type Target = SignedIn;

    fn deref(&self) -> &SignedIn {
        &self.member.signed_in
    }
}

impl Deref for AppDeveloper {
    type Target = AppViewer;

    fn deref(&self) -> &AppViewer {
        &self.0
    }
}

impl Deref for AppAdmin {
    type Target = AppViewer;

    fn deref(&self) -> &AppViewer {
        &self.0
    }
}

impl<S> FromRequestParts<S> for TenantMember
where
    S: Send + Sync,
    ControlPlane: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let signed_in = SignedIn::from_request_parts(parts, state).await?;
        let slug = slug_in_path(parts, state, "tenant").await?;
        let membership = ControlPlane::from_ref(state)
            .membership(signed_in.account(), &slug)
            .await?
            .ok_or(PageError::NotFound)?;
        Ok(Self { signed_in, tenant: membership.tenant, role: membership.role })
    }
}

impl<S> FromRequestParts<S> for AppViewer
where
    S: Send + Sync,
    ControlPlane: FromRef<S>,
    Directory: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let member = TenantMember::from_request_parts(parts, state).await?;
        let slug = slug_in_path(parts, state, "app").await?;
        let app = ControlPlane::from_ref(state)
            .app(member.tenant.tenant_id, &slug)
            .await?
            .ok_or(PageError::NotFound)?;
        if app.state != AppState::Ready {
            let home = member.shell(Area::Apps).tenant_links().home().to_owned();
            return Err(PageError::AppUnfinished { name: app.name, home });
        }
        let live = Directory::from_ref(state)
            .find(member.tenant.slug.as_str(), slug.as_str())
            .await?
            .ok_or(PageError::NotFound)?;
        Ok(Self { member, live, app })
    }
}

/// The extractors that ask for more of a role than the one they are made of.
macro_rules! at_least {
    ($($name:ident($inner:ident) needs $role:ident, by $field:ident;)*) => {$(
        impl<S> FromRequestParts<S> for $name
        where
            S: Send + Sync,
            ControlPlane: FromRef<S>,
            Directory: FromRef<S>,
        {
            type Rejection = PageError;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
                $inner::from_request_parts(parts, state).await?.$field(Role::$role).map(Self)
            }
        }
    )*};
}

impl AppViewer {
    fn member_must(mut self, needed: Role) -> Result<Self, PageError> {
        self.member = self.member.must(needed)?;
        Ok(self)
    }
}

at_least! {
    TenantDeveloper(TenantMember) needs Developer, by must;
    TenantAdmin(TenantMember) needs Admin, by must;
    TenantOwner(TenantAdmin) needs Owner, by must;
    AppDeveloper(AppViewer) needs Developer, by member_must;
    AppAdmin(AppViewer) needs Admin, by member_must;
}

/// The slug that the path has at `name`; what is no slug is not found.
async fn slug_in_path<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<Slug, PageError> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| PageError::NotFound)?;
    let (_, value) = params
        .iter()
        .find(|(key, _)| *key == name)
        .expect("BUG: a route with a member's extractor lacks a part of its path");
    Slug::parse_in_url(value).ok_or(PageError::NotFound)
}
