//! The API reference of an app, and the document it is made from.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use syncline_web::{
    pages::docs::{DocsPage, Reference},
    shell::Area,
};

use super::{place::base_url_of, show};
use crate::{
    http::{PublicUrl, extract::member::AppViewer, page_error::PageError},
    openapi,
};

pub async fn page(viewer: AppViewer, State(public_url): State<PublicUrl>) -> Result<Response, PageError> {
    let base_url = base_url_of(&viewer, &public_url);
    let document = openapi::for_app(&viewer.app().name, &base_url);
    let reference = Reference::read(&document);
    show(&DocsPage { shell: viewer.shell(Area::Docs), base_url, reference })
}

/// The OpenAPI document with the app's base URL as its server.
pub async fn document(viewer: AppViewer, State(public_url): State<PublicUrl>) -> Response {
    let base_url = base_url_of(&viewer, &public_url);
    let name = format!("attachment; filename=\"{}-openapi.json\"", viewer.app().slug);
    let document = openapi::for_app(&viewer.app().name, &base_url);
    ([(header::CONTENT_DISPOSITION, name)], Json(document)).into_response()
}
