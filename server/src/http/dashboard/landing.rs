//! `/`: what Syncline is, for whoever comes by.

use axum::response::Response;
use syncline_web::pages::landing::LandingPage;

use super::show;
use crate::http::{extract::visitor::Visitor, page_error::PageError};

pub async fn page(visitor: Visitor) -> Result<Response, PageError> {
    show(&LandingPage { signed_in: visitor.account().is_some() })
}
