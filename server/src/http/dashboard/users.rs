//! An app's users: the list, and one with their devices, rows and bundles.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use syncline_web::{
    links::with_query,
    pages::users::{ScopeState, UserPage, UserRow, UserRows, UsersPage},
    shell::Area,
};

use super::{
    devices, history,
    place::{ScopePath, scope_in_path},
    show,
};
use crate::{
    http::{
        extract::{
            input::{ApiPath, ApiQuery, Input},
            member::AppViewer,
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    sync::{Engine, device::list::Page, history::Scope},
};

/// Users of one page.
const PAGE: i64 = 50;

/// Which users, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UsersQuery {
    prefix: String,
    after: String,
}

impl Input for UsersQuery {}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<UsersQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::Users);
    let (prefix, after) = (some(&query.prefix), some(&query.after));
    let page = if prefix.into_iter().chain(after).any(|text| text.contains('\0')) {
        Page { items: Vec::new(), next: None }
    } else {
        engine.scopes(&viewer.live().catalog, prefix, after, PAGE).await?
    };
    let next = page
        .next
        .map(|after| with_query(&shell.links().users(), &[("prefix", &query.prefix), ("after", &after)]));
    let rows = UserRows { shell: shell.clone(), users: page.items.into_iter().map(row).collect(), next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    show(&UsersPage { shell, is_continued: after.is_some(), rows, prefix: query.prefix })
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<ScopePath>,
) -> Result<Response, PageError> {
    let scope = scope_in_path(&path.scope)?;
    let catalog = &viewer.live().catalog;
    let found = engine.scope(catalog, &scope).await?.ok_or(PageError::NotFound)?;
    let devices = engine.devices(catalog, Some(&scope), None, UserPage::DEVICES).await?;
    let bundles = engine.bundles(catalog, &scope, None, UserPage::BUNDLES).await?;
    let live =
        |name: &str| found.tables.iter().find(|table| table.table_name == name).map_or(0, |table| table.live);
    let tables = catalog.tables().iter().map(|table| table.name().to_string());
    show(&UserPage {
        shell: viewer.shell(Area::Users),
        floor_seq: found.scope.floor_seq.0,
        tables: tables.map(|name| (name.clone(), live(&name))).collect(),
        user: row(found.scope),
        devices: devices.items.into_iter().map(devices::row).collect(),
        bundles: bundles
            .items
            .into_iter()
            .map(|bundle| history::row(scope.as_str().to_owned(), bundle))
            .collect(),
    })
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn row(scope: Scope) -> UserRow {
    UserRow {
        state: match scope.state.as_str() {
            "initialized" => ScopeState::Initialized,
            "initializing" => ScopeState::Initializing,
            _ => ScopeState::Uninitialized,
        },
        scope: scope.scope_id,
        devices: scope.device_count,
        bundle_seq: scope.bundle_seq.0,
        open_conflicts: scope.open_conflicts,
        last_commit_at: scope.last_commit_at,
        created_at: scope.created_at,
    }
}
