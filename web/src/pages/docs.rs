//! The API reference of an app, made from the OpenAPI document with the app's own base URL filled in.
//!
//! Rendered here instead of by a viewer in the browser: it needs no script, works on a phone, can be searched and
//! printed, and keeps to the policy that forbids inline script and style.

mod openapi;

use askama::Template;
use serde_json::Value;

use crate::{
    links,
    shell::{Area, Shell},
};

/// The API reference.
#[derive(Debug, Template)]
#[template(path = "docs/page.html")]
pub struct DocsPage {
    pub shell: Shell,
    pub base_url: String,
    pub reference: Reference,
}

/// What an OpenAPI document says, in the order of its tags.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    version: String,
    introduction: Vec<Paragraph>,
    groups: Vec<Group>,
}

impl Reference {
    /// Read `document`, an OpenAPI 3.1 document whose first server is the app's base URL. What the document leaves out
    /// is left out here; it is ours, so nothing is refused.
    pub fn read(document: &Value) -> Self {
        openapi::read(document)
    }
}

/// Operations that belong together.
#[derive(Debug, Clone)]
struct Group {
    name: String,
    description: String,
    operations: Vec<Operation>,
}

/// One thing that can be asked of the API.
#[derive(Debug, Clone)]
struct Operation {
    id: String,
    method: String,
    /// Without the app's base URL, for lists: `/sync/pull`.
    path: String,
    summary: String,
    description: Vec<Paragraph>,
    /// What `Authorization` carries; None: nothing.
    credential: Option<String>,
    parameters: Vec<Member>,
    request: Option<Body>,
    responses: Vec<Response>,
    curl: String,
}

/// A parameter, or a member of a JSON object.
#[derive(Debug, Clone)]
struct Member {
    /// Dotted from the outermost object: `rows[].key`.
    name: String,
    ty: String,
    required: bool,
    description: Vec<Paragraph>,
}

/// The JSON of a request or an answer.
#[derive(Debug, Clone)]
struct Body {
    content_type: String,
    members: Vec<Member>,
    example: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
struct Response {
    status: String,
    description: Vec<Paragraph>,
    body: Option<Body>,
}

impl Response {
    fn tone(&self) -> &'static str {
        match self.status.as_bytes().first() {
            Some(b'2') => "good",
            Some(b'4') => "warn",
            Some(b'5') => "bad",
            _ => "plain",
        }
    }

    /// Error bodies all look alike and are described once.
    fn is_error(&self) -> bool {
        !self.status.starts_with('2')
    }
}

/// A paragraph of text, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Paragraph(Vec<Piece>);

/// A piece of a paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Code(String),
}
