//! A short token of a user, to try things with.

use axum::{extract::State, http::StatusCode, response::Response};
use syncline_web::pages::users::{MintedToken, TokenForm, TokenInput, UserPage};
use time::Duration;

use super::user_page;
use crate::{
    app::Syncline,
    http::{
        PublicUrl,
        dashboard::{
            place::{ScopePath, base_url_of, scope_in_path},
            show, show_as,
        },
        extract::{form::Posted, input::ApiPath, member::AppDeveloper},
        page_error::PageError,
    },
    ids::UserId,
};

/// Minutes that can be chosen.
const MINUTES: [i64; 3] = [5, 15, 60];

/// Mint a token for a user's scope. It is in this answer, which no cache keeps, and nowhere else.
pub async fn mint(
    developer: AppDeveloper,
    State(server): State<Syncline>,
    State(public_url): State<PublicUrl>,
    ApiPath(path): ApiPath<ScopePath>,
    Posted(input): Posted<TokenInput>,
) -> Result<Response, PageError> {
    let scope = scope_in_path(&path.scope)?;
    let page = user_page(&developer, &server, &scope).await?;
    let typed = input.user.trim();
    let mut form = TokenForm { user: typed.into(), minutes: input.minutes, minted: None };
    let user = UserId::parse(if typed.is_empty() { scope.as_str() } else { typed });
    let minutes = MINUTES.into_iter().find(|minutes| *minutes == input.minutes);
    let (Ok(user), Some(minutes)) = (&user, minutes) else {
        if let Err(reason) = user {
            form.user.reject(format!("This is no user id: {reason}."));
        }
        return show_as(StatusCode::UNPROCESSABLE_ENTITY, &UserPage { token: form, ..page });
    };
    let (auth, ttl) = (&developer.live().auth, Duration::minutes(minutes));
    let actor = developer.actor();
    let minted = server.control.mint_token_to_try(&actor, developer.app(), auth, user, &scope, ttl).await?;
    form.minted = Some(MintedToken {
        plain_text: minted.access_token,
        minutes,
        base_url: base_url_of(&developer, &public_url),
    });
    show(&UserPage { token: form, ..page })
}
