//! An app's users: the list, and one with their devices, rows and bundles. What can be done with one is below.

mod erase;
mod export;
mod token;

use std::collections::BTreeSet;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use syncline_web::{
    links::with_query,
    pages::users::{ScopeState, Storage, TableRows, TokenForm, UserPage, UserRow, UserRows, UsersPage},
    shell::Area,
};

pub use self::{
    erase::erase,
    export::{export_lines, export_sqlite},
    token::mint,
};
use super::{
    devices, end_user_tokens, history,
    place::{ScopePath, scope_in_path},
    show,
};
use crate::{
    app::Syncline,
    http::{
        extract::{
            input::{ApiPath, ApiQuery, Input},
            member::AppViewer,
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::{ScopeId, UserId},
    sync::{
        Engine,
        device::{list::Page, search::DeviceFilter},
        history::Scope,
    },
    tables::sizes,
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
    State(server): State<Syncline>,
    ApiPath(path): ApiPath<ScopePath>,
) -> Result<Response, PageError> {
    let scope = scope_in_path(&path.scope)?;
    show(&user_page(&viewer, &server, &scope).await?)
}

async fn user_page(viewer: &AppViewer, server: &Syncline, scope: &ScopeId) -> Result<UserPage, PageError> {
    let (engine, apps, catalog) = (&server.engine, &server.databases.apps, &viewer.live().catalog);
    let found = engine.scope(catalog, scope).await?.ok_or(PageError::NotFound)?;
    let of_scope = DeviceFilter { scope: Some(scope), ..DeviceFilter::default() };
    let devices = engine.find_devices(catalog, &of_scope, None, UserPage::DEVICES).await?;
    let bundles = engine.bundles(catalog, scope, None, UserPage::BUNDLES).await?;
    let tables = sizes::tables(apps, catalog, scope).await?;
    let history = sizes::history(apps, catalog, scope).await?.ok_or(PageError::NotFound)?;
    let storage = Storage {
        rows: tables.iter().map(|table| table.bytes).sum(),
        is_exact: tables.iter().all(|table| table.exact),
        history: history.bytes,
        bundles: history.bundles,
        conflicts: history.conflicts,
    };
    let table_rows = |size: &sizes::TableSize| {
        let table = catalog.table_no(size.table_no)?;
        Some(TableRows {
            name: table.name().to_string(),
            rows: size.rows,
            is_exact: size.exact,
            bytes: size.bytes,
        })
    };
    let signed_in: BTreeSet<&str> =
        devices.items.iter().filter_map(|device| device.user.as_deref()).collect();
    let named = if signed_in.is_empty() { BTreeSet::from([scope.as_str()]) } else { signed_in };
    let mut holders = Vec::new();
    for user in named.into_iter().filter_map(|user| UserId::parse(user).ok()) {
        holders.push(end_user_tokens::part(viewer, &server.control, &user, scope.as_str(), "").await?);
    }
    Ok(UserPage {
        shell: viewer.shell(Area::Users),
        floor_seq: found.floor_seq.0,
        is_being_erased: server.control.is_being_erased(viewer.app().app_id, scope).await?,
        tables: tables.iter().filter_map(table_rows).collect(),
        storage,
        user: row(found),
        devices: devices.items.into_iter().map(devices::row).collect(),
        bundles: bundles
            .items
            .into_iter()
            .map(|bundle| history::row(scope.as_str().to_owned(), bundle))
            .collect(),
        holders,
        token: TokenForm::default(),
        confirmation: Default::default(),
    })
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn row(scope: Scope) -> UserRow {
    let erased_at = scope.erased_at.filter(|erased| scope.last_commit_at == Some(*erased));
    UserRow {
        state: match (erased_at, scope.state.as_str()) {
            (_, "initializing") => ScopeState::Initializing,
            (Some(at), _) => ScopeState::Erased { at },
            (None, "initialized") => ScopeState::Initialized,
            _ => ScopeState::Uninitialized,
        },
        scope: scope.scope_id,
        counted: Scope::COUNTED,
        devices: scope.device_count,
        bundle_seq: scope.bundle_seq.0,
        open_conflicts: scope.open_conflicts,
        last_commit_at: scope.last_commit_at,
        created_at: scope.created_at,
    }
}
