//! What surrounds the content of a page: who is signed in, where they are, what they may do.

use time::OffsetDateTime;

use crate::{
    forms::Csrf,
    links::{AppLinks, TenantLinks},
};

/// The frame of a page that a signed-in person sees.
///
/// Made once a request by the extractor that found the person, then told where the page is:
/// `Shell::new(email, csrf, now).in_tenant(tenant).in_app(app).at(Area::Devices)`.
#[derive(Debug, Clone)]
pub struct Shell {
    pub email: String,
    pub csrf: Csrf,
    /// The time of the request, from which every time on the page is told.
    pub now: OffsetDateTime,
    pub tenant: Option<TenantPlace>,
    pub app: Option<AppPlace>,
    pub area: Area,
    /// What the last action did, shown once.
    pub notice: Option<Notice>,
}

/// The tenant a page is about, and what the person may do there.
#[derive(Debug, Clone)]
pub struct TenantPlace {
    pub slug: String,
    pub name: String,
    pub links: TenantLinks,
    /// The role's name as a person reads it: `owner`, `admin`, `developer`, `viewer`.
    pub role: String,
    pub may: May,
}

/// The app a page is about.
#[derive(Debug, Clone)]
pub struct AppPlace {
    pub slug: String,
    pub name: String,
    pub links: AppLinks,
}

/// What a role allows; a page leaves out what the person may not do. The server checks again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct May {
    /// Create apps and keys, publish schemas, change an app's settings.
    pub develop: bool,
    /// Manage members, delete apps.
    pub administer: bool,
}

/// The entry of the navigation that the page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    Account,
    Apps,
    Members,
    Audit,
    Overview,
    Tables,
    Users,
    Devices,
    Conflicts,
    RejectedWrites,
    History,
    Simulator,
    Schema,
    ApiKeys,
    Docs,
    Settings,
}

/// A sentence about what just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    Done(String),
    Failed(String),
}

impl TenantPlace {
    pub fn new(slug: impl Into<String>, name: impl Into<String>, role: impl Into<String>, may: May) -> Self {
        let slug = slug.into();
        Self { links: TenantLinks::new(&slug), slug, name: name.into(), role: role.into(), may }
    }
}

impl Shell {
    pub fn new(email: impl Into<String>, csrf: Csrf, now: OffsetDateTime) -> Self {
        Self { email: email.into(), csrf, now, tenant: None, app: None, area: Area::Account, notice: None }
    }

    pub fn in_tenant(mut self, tenant: TenantPlace) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// # Panics
    /// Outside a tenant: an app belongs to one.
    pub fn in_app(mut self, slug: impl Into<String>, name: impl Into<String>) -> Self {
        let slug = slug.into();
        let tenant = self.tenant.as_ref().expect("BUG: an app's page is in a tenant");
        self.app = Some(AppPlace { links: tenant.links.app(&slug), slug, name: name.into() });
        self
    }

    pub fn at(mut self, area: Area) -> Self {
        self.area = area;
        self
    }

    pub fn saying(mut self, notice: Option<Notice>) -> Self {
        self.notice = notice;
        self
    }

    /// The addresses of the app the page is about.
    ///
    /// # Panics
    /// On a page that is not about an app.
    pub fn links(&self) -> &AppLinks {
        &self.app.as_ref().expect("BUG: the page is about an app").links
    }

    /// The addresses of the tenant the page is about.
    ///
    /// # Panics
    /// On a page that is not about a tenant.
    pub fn tenant_links(&self) -> &TenantLinks {
        &self.tenant.as_ref().expect("BUG: the page is about a tenant").links
    }

    /// What the person may do here: nothing where there is no tenant.
    pub fn may(&self) -> May {
        self.tenant.as_ref().map_or_else(May::default, |tenant| tenant.may)
    }

    /// `page` when the page belongs to `area`, for `aria-current`.
    pub fn current(&self, area: Area) -> Option<&'static str> {
        (self.area == area).then_some("page")
    }
}
