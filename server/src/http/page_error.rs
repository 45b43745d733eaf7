//! What a browser is shown when a page or a form fails: the same outcomes as [`ApiError`], as a page with ways out.

use askama::Template;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use syncline_web::{
    links,
    pages::errors::{ErrorPage, WayOut},
};

use crate::{directory::DirectoryError, http::error::ApiError};

/// A page that cannot be shown.
#[derive(Debug)]
pub enum PageError {
    /// Nobody is signed in: on to the sign-in page, and back to `next` afterwards.
    SignInFirst { next: String, htmx: bool },
    /// There is no such thing, or it is none of this person's business.
    NotFound,
    /// The person's role in the tenant does not allow it.
    RoleTooLow { role: &'static str, needed: &'static str },
    /// A form whose token is missing, wrong or of an ended session.
    StaleForm,
    /// The app exists, but its creation has not ended (well) yet.
    AppUnfinished { name: String, home: String },
    /// Any other outcome, with its status and sentence.
    Other(ApiError),
}

impl PageError {
    fn page(&self) -> ErrorPage {
        match self {
            Self::SignInFirst { .. } => {
                ErrorPage::new(401, "Sign in first", "This page is for people who are signed in.")
            }
            Self::NotFound => ErrorPage::new(
                404,
                "There is nothing here",
                "The address is mistyped, or what it named is gone or belongs to an organisation you are not in.",
            ),
            Self::RoleTooLow { role, needed } => ErrorPage::new(
                403,
                "Your role does not allow this",
                format!("You are {role} here; this takes {needed}. An owner or admin can change your role."),
            ),
            Self::StaleForm => ErrorPage::new(
                403,
                "This form is out of date",
                "You signed in or out since it was opened. Go back, reload the page and send it again; nothing was changed.",
            ),
            Self::AppUnfinished { name, home } => ErrorPage {
                ways_out: vec![WayOut { label: "Go to your apps".to_owned(), href: home.clone() }],
                ..ErrorPage::new(
                    409,
                    "This app is not ready",
                    format!(
                        "{name} is still being created. If that takes longer than a minute, create it again with the same address: it will be completed."
                    ),
                )
            },
            Self::Other(error) => {
                ErrorPage::new(error.status().as_u16(), title(error.status()), error.message())
            }
        }
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::GONE => "This link is of no use any more",
        StatusCode::PAYLOAD_TOO_LARGE => "That is too large",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::SERVICE_UNAVAILABLE => "Syncline is busy",
        status if status.is_server_error() => "Something went wrong",
        _ => "That cannot be done",
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match &self {
            Self::SignInFirst { next, htmx } => {
                let address = links::with_query(links::SIGN_IN, &[("next", next)]);
                return if *htmx { htmx_redirect(&address) } else { Redirect::to(&address).into_response() };
            }
            Self::Other(error) => error.log(),
            _ => {}
        }
        let page = self.page();
        let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(error.cause = %error, "the error page cannot be rendered");
                (status, page.sentence).into_response()
            }
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Have htmx leave the page instead of swapping what it asked for.
fn htmx_redirect(address: &str) -> Response {
    let to = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static(links::SIGN_IN));
    (StatusCode::OK, [(HeaderName::from_static("hx-redirect"), to)]).into_response()
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl From<sqlx::Error> for PageError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<DirectoryError> for PageError {
    fn from(error: DirectoryError) -> Self {
        Self::Other(error.into())
    }
}

impl From<tower_sessions::session::Error> for PageError {
    fn from(error: tower_sessions::session::Error) -> Self {
        Self::Other(ApiError::from(error))
    }
}
