//! What went wrong, as a page with ways out.

use askama::Template;

use crate::links;

/// An error a person can understand and leave.
#[derive(Debug, Template)]
#[template(path = "errors/page.html")]
pub struct ErrorPage {
    /// The HTTP status, shown small.
    pub status: u16,
    /// A few words: `This page does not exist`.
    pub title: String,
    /// A sentence that says what to do.
    pub sentence: String,
    /// Where to go instead; the first is the main one.
    pub ways_out: Vec<WayOut>,
}

/// A link that leads away from an error.
#[derive(Debug, Clone)]
pub struct WayOut {
    pub label: String,
    pub href: String,
}

impl ErrorPage {
    /// An error whose only way out is the start page.
    pub fn new(status: u16, title: impl Into<String>, sentence: impl Into<String>) -> Self {
        let start = WayOut { label: "Go to the start page".to_owned(), href: links::LANDING.to_owned() };
        Self { status, title: title.into(), sentence: sentence.into(), ways_out: vec![start] }
    }
}
