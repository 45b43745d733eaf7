//! Ending the tokens of an end user, from the page of a device or of a user.

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    pages::end_users::{EndUserTokens, EndUserTokensInput},
    shell::{Area, Notice},
};

use super::place::{ScopePath, scope_in_path};
use crate::{
    control::ControlPlane,
    directory::Directory,
    http::{
        error::ApiError,
        extract::{
            form::Posted,
            input::ApiPath,
            member::{AppDeveloper, AppViewer},
        },
        page_error::PageError,
    },
    ids::{ScopeId, SourceId, UserId},
};

/// Refuse every token that the user got until now.
pub async fn revoke(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    State(directory): State<Directory>,
    ApiPath(path): ApiPath<ScopePath>,
    Posted(input): Posted<EndUserTokensInput>,
) -> Result<Response, PageError> {
    let (scope, user) = (scope_in_path(&path.scope)?, named_user(&input)?);
    control
        .revoke_end_user_tokens(&developer.actor(), developer.app(), &user)
        .await
        .map_err(ApiError::from)?;
    directory.refresh().await;
    let done = format!("All tokens of {user} are revoked. The user must sign in again.");
    back(&developer, &scope, &input, done).await
}

/// Let the user's older tokens in again.
pub async fn lift(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    State(directory): State<Directory>,
    ApiPath(path): ApiPath<ScopePath>,
    Posted(input): Posted<EndUserTokensInput>,
) -> Result<Response, PageError> {
    let (scope, user) = (scope_in_path(&path.scope)?, named_user(&input)?);
    control.lift_end_user_revocation(&developer.actor(), developer.app(), &user).await?;
    directory.refresh().await;
    let done = format!("Tokens of {user} that have not expired are good again.");
    back(&developer, &scope, &input, done).await
}

/// The part of a page about `scope`, and about its device `source` if that is not empty, that tells of the user's tokens.
pub(super) async fn part(
    viewer: &AppViewer,
    control: &ControlPlane,
    user: &UserId,
    scope: &str,
    source: &str,
) -> Result<EndUserTokens, PageError> {
    Ok(EndUserTokens {
        revoked_at: control.end_user_revocation(viewer.app(), user).await?,
        user: user.to_string(),
        scope: scope.to_owned(),
        source: source.to_owned(),
    })
}

fn named_user(input: &EndUserTokensInput) -> Result<UserId, PageError> {
    UserId::parse(&input.user).map_err(|reason| {
        ApiError::invalid_request(format!("The form names no user that could be one: {reason}.")).into()
    })
}

/// To the page that had the form.
async fn back(
    developer: &AppDeveloper,
    scope: &ScopeId,
    input: &EndUserTokensInput,
    done: String,
) -> Result<Response, PageError> {
    developer.notify(Notice::Done(done)).await?;
    let shell = developer.shell(Area::Devices);
    let address = match SourceId::parse_device(&input.source) {
        Ok(source) => shell.links().device(scope.as_str(), source.as_str()),
        Err(_) => shell.links().user(scope.as_str()),
    };
    Ok(Redirect::to(&address).into_response())
}
