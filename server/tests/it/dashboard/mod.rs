//! The dashboard, looked at with a browser as somebody.

mod accounts;
mod apps;
mod data;
mod members;
mod overview;
