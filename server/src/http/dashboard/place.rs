//! Where pages are: scopes, sources and cursors in addresses. Whatever is none is not found, or the beginning.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use syncline_web::{links, pages::history::Writer};

use crate::{
    control::apps::base_url,
    http::{PublicUrl, extract::member::AppViewer, page_error::PageError},
    ids::{ScopeId, SourceId},
};

/// The part of the path that names a scope.
#[derive(Debug, Deserialize)]
pub struct ScopePath {
    pub scope: String,
}

/// The parts of the path that name a device.
#[derive(Debug, Deserialize)]
pub struct DevicePath {
    pub scope: String,
    pub source: String,
}

/// The scope that a decoded segment of a path names.
pub(super) fn scope_in_path(segment: &str) -> Result<ScopeId, PageError> {
    ScopeId::parse(links::read_segment(segment)).map_err(|_| PageError::NotFound)
}

/// The source of a device that a decoded segment of a path names.
pub(super) fn source_in_path(segment: &str) -> Result<SourceId, PageError> {
    SourceId::parse_device(links::read_segment(segment)).map_err(|_| PageError::NotFound)
}

/// A cursor as the value of a query.
pub(super) fn cursor_text(cursor: &impl Serialize) -> String {
    serde_json::to_string(cursor).expect("BUG: a cursor is plain JSON")
}

/// The cursor in the value of a query; None for the beginning. Links get edited: what is no cursor, or holds a
/// character that PostgreSQL does not, begins at the beginning too.
pub(super) fn read_cursor<C: DeserializeOwned>(text: &str) -> Option<C> {
    (!text.contains(r"\u0000")).then(|| serde_json::from_str(text).ok()).flatten()
}

/// Where the app that the page is about is reached from outside.
pub(super) fn base_url_of(viewer: &AppViewer, public_url: &PublicUrl) -> String {
    base_url(public_url.as_str(), &viewer.tenant().slug, &viewer.app().slug)
}

/// Who wrote, by the source that is on record.
pub(super) fn writer(source: String, on_behalf_of: Option<String>) -> Writer {
    if source.starts_with(SourceId::SERVER_PREFIX) {
        Writer::Server { source, on_behalf_of }
    } else {
        Writer::Device { source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_cursor_is_the_beginning() {
        assert_eq!(read_cursor::<String>(&cursor_text(&"a\"b")), Some("a\"b".to_owned()));
        assert_eq!(read_cursor::<String>(&cursor_text(&"a\0b")), None);
        assert_eq!(read_cursor::<String>("{"), None);
    }
}
