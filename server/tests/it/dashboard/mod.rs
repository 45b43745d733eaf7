//! The dashboard, looked at with a browser as somebody.

mod accounts;
mod apps;
mod members;
