//! The dashboard: pages for the people who own apps, and the files that every page loads.
//!
//! A handler's first argument says who may call it (`extract::visitor`, `extract::member`); the page it answers with is a
//! struct of the crate `web`.

pub mod account;
pub mod apps;
pub mod assets;
pub mod audit;
pub mod conflicts;
pub mod devices;
pub mod docs;
pub mod end_user_tokens;
pub mod history;
pub mod invitations;
pub mod keys;
pub mod landing;
pub mod members;
pub mod overview;
mod place;
pub mod rejected_writes;
pub mod row_history;
pub mod schema;
pub mod second_factor;
mod server_writes;
pub mod settings;
pub mod settle;
mod shapes;
pub mod sign_in;
pub mod sign_up;
pub mod simulator;
pub mod tables;
pub mod tenant_settings;
pub mod tenants;
pub mod undo;
pub mod users;

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::{error::ApiError, page_error::PageError};

/// The page as an answer.
pub fn show(page: &impl Template) -> Result<Response, PageError> {
    show_as(StatusCode::OK, page)
}

/// The page as an answer with that status: 422 for a form with something wrong in it.
pub fn show_as(status: StatusCode, page: &impl Template) -> Result<Response, PageError> {
    let html = page.render().map_err(ApiError::internal)?;
    Ok((status, Html(html)).into_response())
}
