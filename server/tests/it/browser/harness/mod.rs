//! Chromium, chromedriver, and a person in front of them.

mod chromedriver;
mod in_page;
mod screen;
mod session;

pub(crate) use screen::{Look, Screen};
