//! Erasing a user, with their name typed.

use std::time::Duration;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    forms::Field,
    pages::users::{EraseInput, UserPage},
    shell::{Area, Notice},
};

use super::user_page;
use crate::{
    app::Syncline,
    erasure,
    http::{
        dashboard::{
            place::{ScopePath, scope_in_path},
            show_as,
        },
        extract::{form::Posted, input::ApiPath, member::AppAdmin},
        page_error::PageError,
    },
};

/// How long the form waits for it to be done; what takes longer goes on by itself.
const PATIENCE: Duration = Duration::from_secs(4);

/// Erase everything of a user, if their name was typed.
pub async fn erase(
    admin: AppAdmin,
    State(server): State<Syncline>,
    ApiPath(path): ApiPath<ScopePath>,
    Posted(input): Posted<EraseInput>,
) -> Result<Response, PageError> {
    let scope = scope_in_path(&path.scope)?;
    let page = user_page(&admin, &server, &scope).await?;
    if input.confirmation.trim() != scope.as_str().trim() {
        let mut confirmation = Field::new(&input.confirmation);
        confirmation.reject("Type the user’s id exactly as it stands at the top of this page.");
        return show_as(StatusCode::UNPROCESSABLE_ENTITY, &UserPage { confirmation, ..page });
    }
    server.control.request_erasure(&admin.actor(), admin.app(), &scope).await?;
    let by = admin.actor().label();
    // What fails now is in the log and is tried again by the job.
    let is_done = erasure::run_user_now(&server, admin.app(), &scope, by, PATIENCE).await.unwrap_or_else(|error| {
        tracing::warn!(app.id = %admin.app().app_id, error.cause = %error, "a user could not be erased yet; it is tried again");
        false
    });
    let said = match is_done {
        true => "Everything of this user is erased. Devices that come back start over with nothing.",
        false => {
            "This user is being erased. Their devices are refused meanwhile; reload the page to see how far it is."
        }
    };
    admin.notify(Notice::Done(said.to_owned())).await?;
    Ok(Redirect::to(&admin.shell(Area::Users).links().user(scope.as_str())).into_response())
}
