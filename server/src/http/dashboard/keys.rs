//! An app's API keys.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use syncline_web::{
    pages::api_keys::{
        ApiKeyRow, ApiKeysPage, IssuedKey, KeyKind as ShownKind, KeyState, NewApiKeyForm, NewApiKeyInput,
    },
    shell::{Area, Notice},
};
use time::{Duration, OffsetDateTime};

use super::{show, show_as};
use crate::{
    control::{
        ControlPlane,
        api_keys::{ApiKey, IssuedApiKey, KeyKind, KeyScope, NewApiKey},
        tenants::AppName,
    },
    http::{
        extract::{
            form::{Button, Posted},
            input::ApiPath,
            member::{AppDeveloper, AppViewer},
        },
        page_error::PageError,
    },
    ids::ApiKeyId,
};

/// The longest life that can be asked for: ten years.
const MAX_DAYS: i64 = 3_650;

/// The part of the path that names a key.
#[derive(Debug, Deserialize)]
pub struct KeyPath {
    key: String,
}

pub async fn page(viewer: AppViewer, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    show(&keys_page(&viewer, &control, None, NewApiKeyForm::default()).await?)
}

/// Issue a key. Its plain text is in this answer, which no cache keeps, and nowhere else.
pub async fn issue(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    Posted(input): Posted<NewApiKeyInput>,
) -> Result<Response, PageError> {
    let mut form = NewApiKeyForm::from(&input);
    let Some(new) = check(&input, &mut form, control.now()) else {
        let page = keys_page(&developer, &control, None, form).await?;
        return show_as(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    let IssuedApiKey { key, token } = control.issue_api_key(&developer.actor(), developer.app(), new).await?;
    let issued = IssuedKey { name: key.name, kind: shown(key.kind), plain_text: token.expose().to_owned() };
    show(&keys_page(&developer, &control, Some(issued), NewApiKeyForm::default()).await?)
}

pub async fn revoke(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    ApiPath(path): ApiPath<KeyPath>,
    _: Posted<Button>,
) -> Result<Response, PageError> {
    let key: ApiKeyId = path.key.parse().map_err(|_| PageError::NotFound)?;
    if !control.revoke_api_key(&developer.actor(), developer.app(), key).await? {
        return Err(PageError::NotFound);
    }
    developer
        .notify(Notice::Done("The key is revoked; nothing can be done with it any more.".to_owned()))
        .await?;
    Ok(Redirect::to(&developer.shell(Area::ApiKeys).links().api_keys()).into_response())
}

/// What was typed as a new key, or a sentence at each field that is not right.
fn check(input: &NewApiKeyInput, form: &mut NewApiKeyForm, now: OffsetDateTime) -> Option<NewApiKey> {
    let name = AppName::parse(&input.name).map_err(|reason| form.name.reject(reason.to_string())).ok();
    let kind = KeyKind::parse(&input.kind);
    if kind.is_none() {
        form.kind.reject("Choose what the key is for.");
    }
    let scopes = match kind {
        Some(KeyKind::Secret) => input.scopes().iter().filter_map(|name| KeyScope::parse(name)).collect(),
        _ => Vec::new(),
    };
    if kind == Some(KeyKind::Secret) && scopes.is_empty() {
        form.scopes_error = Some("Allow the key at least one thing.".to_owned());
        return None;
    }
    let expires_at = match input.expires_in_days.trim() {
        "" => None,
        days => match days.parse::<i64>().ok().filter(|days| (1..=MAX_DAYS).contains(days)) {
            Some(days) => Some(now + Duration::days(days)),
            None => {
                form.expires_in_days
                    .reject(format!("Type a number of days from 1 to {MAX_DAYS}, or nothing."));
                return None;
            }
        },
    };
    Some(NewApiKey { kind: kind?, name: name?, scopes, expires_at })
}

async fn keys_page(
    viewer: &AppViewer,
    control: &ControlPlane,
    issued: Option<IssuedKey>,
    form: NewApiKeyForm,
) -> Result<ApiKeysPage, PageError> {
    let now = control.now();
    let keys = control.api_keys(viewer.app()).await?.into_iter().map(|key| row(key, now)).collect();
    Ok(ApiKeysPage { shell: viewer.shell(Area::ApiKeys), issued, keys, form })
}

fn row(key: ApiKey, now: OffsetDateTime) -> ApiKeyRow {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => KeyState::Revoked { at },
        (None, Some(at)) if at <= now => KeyState::Expired { at },
        (None, expires_at) => KeyState::Live { expires_at },
    };
    ApiKeyRow {
        id: key.api_key_id.to_string(),
        name: key.name,
        kind: shown(key.kind),
        prefix: key.token_prefix,
        scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: key.created_at,
        created_by: key.created_by_email,
        last_used_at: key.last_used_at,
        state,
    }
}

fn shown(kind: KeyKind) -> ShownKind {
    match kind {
        KeyKind::Publishable => ShownKind::Publishable,
        KeyKind::Secret => ShownKind::Secret,
    }
}
