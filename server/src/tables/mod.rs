//! What an app syncs: its tables, their versions, and the SQL that captures every change to them.
//!
//! `ddl` reads `CREATE TABLE` text into a [`spec`]; `plan` compares two specs; `render` and `triggers` turn the
//! difference into SQL; `publish` runs it; `catalog` is what the sync engine knows of the result.

pub mod activity;
pub(crate) mod apply_sql;
pub mod browse;
pub mod catalog;
pub mod check;
mod constraint;
pub mod ddl;
pub mod engine_schema;
pub mod filter;
pub mod ident;
pub mod in_the_way;
pub mod inspect;
pub mod payload_sql;
pub mod plan;
pub mod publish;
pub mod published;
pub mod render;
pub mod sizes;
pub mod spec;
mod triggers;

pub use constraint::ConstraintInfo;
