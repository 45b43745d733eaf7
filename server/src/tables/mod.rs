//! What an app syncs: its tables, their versions, and the SQL that captures every change to them.
//!
//! `ddl` reads `CREATE TABLE` text into a [`spec`]; `plan` compares two specs; `render` and `triggers` turn the
//! difference into SQL; `publish` runs it; `catalog` is what the sync engine knows of the result.

pub mod catalog;
pub mod check;
pub mod ident;
pub mod spec;
