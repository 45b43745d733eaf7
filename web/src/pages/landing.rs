//! The page at `/`, for people who are not signed in.

use askama::Template;

use crate::links;

/// What Syncline is, and the way in.
#[derive(Debug, Template)]
#[template(path = "landing/page.html")]
pub struct LandingPage {
    /// Someone is signed in: the buttons lead to their apps instead.
    pub signed_in: bool,
}
