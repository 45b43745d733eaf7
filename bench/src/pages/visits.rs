//! Which pages are looked at: every one of the tenant and of the app, lists with each filter and far behind their
//! beginning. What a page must show is asked of the database, so that a link that leads nowhere is no fast page.

mod activity;
mod contents;

use anyhow::Result;
use sqlx::PgConnection;

use super::{browser::encoded, site::Site};

/// A page to look at.
pub(super) struct Visit {
    /// Its path with parameters in braces, and what is asked of it.
    pub(super) name: String,
    pub(super) address: String,
    /// What is somewhere on it.
    pub(super) shows: String,
}

/// Paths below the app's that are pages, and what below them is none.
const OF_APP: [&str; 24] = [
    "",
    "/live",
    "/schema",
    "/schema/map",
    "/tables",
    "/tables/{table}",
    "/tables/{table}/new",
    "/tables/{table}/row",
    "/tables/{table}/import",
    "/users",
    "/users/{scope}",
    "/devices",
    "/devices/{scope}/{source}",
    "/conflicts",
    "/conflicts/{conflict}",
    "/rejected",
    "/rejected/{write}",
    "/history",
    "/history/{scope}/{seq}",
    "/history/{scope}/rows/{table}/{row}",
    "/simulator",
    "/docs",
    "/keys",
    "/settings",
];
const OF_TENANT: [&str; 5] = ["", "/apps/new", "/members", "/settings", "/audit"];
/// `/d` leads on to the only tenant.
const ELSEWHERE: [&str; 2] = ["/d", "/account"];
/// Links to what is no page: files.
const FILES: [&str; 4] = [".csv", ".ndjson", ".sqlite", ".json"];

impl Visit {
    /// The same page of an empty app. Where that has none, this very page.
    pub(super) fn without_data(&self, site: &Site) -> String {
        let path = self.address.split('?').next().unwrap_or_default();
        let is_of_something = self.name.contains('{') && !self.name.starts_with("/tables/{table}");
        match path.strip_prefix(&site.app) {
            Some(rest) if !is_of_something && !rest.ends_with("/row") => format!("{}{rest}", site.empty_app),
            _ => self.address.clone(),
        }
    }
}

/// Whether a link leads to a page that is measured, to a file, or away.
pub(super) fn is_known(site: &Site, link: &str) -> bool {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    if !path.starts_with('/') || ELSEWHERE.contains(&path) || FILES.iter().any(|file| path.ends_with(file)) {
        return true;
    }
    let any_of = |patterns: &[&str], rest: &str| patterns.iter().any(|pattern| leads(pattern, rest));
    for app in [&site.app, &site.empty_app] {
        if let Some(rest) = path.strip_prefix(app.as_str()) {
            return any_of(&OF_APP, rest);
        }
    }
    match path.strip_prefix(&site.tenant) {
        // Another app's first page.
        Some(rest) => any_of(&OF_TENANT, rest) || leads("/{app}", rest),
        None => false,
    }
}

fn leads(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(part, given)| part == given || part.starts_with('{'))
}

struct Visits<'s> {
    site: &'s Site,
    all: Vec<Visit>,
}

impl Visits<'_> {
    /// A page of the app by its pattern; what stands in braces is taken from `parts`, in order.
    fn app(&mut self, pattern: &str, parts: &[&str], query: &[(&str, &str)], shows: &str) {
        let (base, empty) = (self.site.app.clone(), pattern.to_owned());
        self.add(&base, &empty, parts, query, shows);
    }

    fn tenant(&mut self, pattern: &str, query: &[(&str, &str)], shows: &str) {
        let base = self.site.tenant.clone();
        self.add(&base, pattern, &[], query, shows);
        if let Some(visit) = self.all.last_mut() {
            visit.name = format!("tenant{}", visit.name);
        }
    }

    fn add(&mut self, base: &str, pattern: &str, parts: &[&str], query: &[(&str, &str)], shows: &str) {
        let mut parts = parts.iter();
        let mut address = base.to_owned();
        for part in pattern.split('/').skip(1) {
            address.push('/');
            match part.starts_with('{') {
                true => address.push_str(&encoded(parts.next().expect("BUG: a page without its parts"))),
                false => address.push_str(part),
            }
        }
        let mut name = pattern.to_owned();
        for (place, (asked, value)) in query.iter().enumerate() {
            let separator = if place == 0 { '?' } else { '&' };
            address.push_str(&format!("{separator}{asked}={}", encoded(value)));
            let shown = if value.starts_with('{') || value.len() > 24 { "…" } else { value };
            name.push_str(&format!("{separator}{asked}={shown}"));
        }
        self.all.push(Visit { name, address, shows: shows.to_owned() });
    }
}

/// All of them.
pub(super) async fn all(database: &mut PgConnection, site: &Site) -> Result<Vec<Visit>> {
    let mut visits = Visits { site, all: Vec::new() };
    contents::of_tenant(&mut visits, database).await?;
    contents::of_app_itself(&mut visits);
    contents::of_tables(&mut visits, database).await?;
    contents::of_users(&mut visits, database).await?;
    activity::of_devices(&mut visits, database).await?;
    activity::of_ledgers(&mut visits, database).await?;
    activity::of_history(&mut visits, database).await?;
    Ok(visits.all)
}
