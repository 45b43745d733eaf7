//! Scripts that run in the page, by the browser's own door, which the page's CSP does not close.

/// What a person points at: `what` (a [`Kind`]), its name, and a text that must be around it or null.
pub(super) const FIND: &str = include_str!("in_page.js");

/// Writes down what moves by itself.
pub(super) const WATCH_WHAT_MOVES: &str = include_str!("moved.js");

/// All that is to be read on the screen.
pub(super) const READ: &str =
    "return document.body ? document.body.innerText.replace(/\\s+/g, ' ').trim() : '';";

/// How something is used, and so what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Press,
    Fill,
    Choose,
    Select,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Press => "press",
            Self::Fill => "fill",
            Self::Choose => "choose",
            Self::Select => "select",
        }
    }
}
