//! An app's users: the scopes, each with its devices and rows.

use askama::Template;
use time::OffsetDateTime;

use super::{
    devices::DeviceRow,
    history::{BundleRow, Writer},
};
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The users of an app.
#[derive(Debug, Template)]
#[template(path = "users/list.html")]
pub struct UsersPage {
    pub shell: Shell,
    /// The text a user's id begins with; empty: all users.
    pub prefix: String,
    pub rows: UserRows,
    /// The list does not begin at the first user.
    pub is_continued: bool,
}

/// Users; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "users/_rows.html")]
pub struct UserRows {
    pub shell: Shell,
    /// In order of id.
    pub users: Vec<UserRow>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// A user as the list shows them.
#[derive(Debug, Clone)]
pub struct UserRow {
    pub scope: String,
    pub state: ScopeState,
    pub devices: i64,
    /// The newest bundle; 0 before the first.
    pub bundle_seq: i64,
    pub open_conflicts: i64,
    pub last_commit_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
}

/// How far a scope has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeState {
    /// No device has filled it yet.
    Uninitialized,
    /// One device is filling it.
    Initializing,
    Initialized,
}

/// One user.
#[derive(Debug, Template)]
#[template(path = "users/detail.html")]
pub struct UserPage {
    pub shell: Shell,
    pub user: UserRow,
    /// Bundles at or below are pruned.
    pub floor_seq: i64,
    /// Those seen last first; at most [`UserPage::DEVICES`].
    pub devices: Vec<DeviceRow>,
    /// Live rows of each table.
    pub tables: Vec<(String, i64)>,
    /// The newest first; at most [`UserPage::BUNDLES`].
    pub bundles: Vec<BundleRow>,
}

impl UserPage {
    pub const DEVICES: i64 = 20;
    pub const BUNDLES: i64 = 10;

    /// The page of all devices of the user.
    fn devices_href(&self) -> String {
        links::with_query(&self.shell.links().devices(), &[("scope", &self.user.scope)])
    }

    /// The page of all bundles of the user.
    fn history_href(&self) -> String {
        links::with_query(&self.shell.links().history(), &[("scope", &self.user.scope)])
    }

    /// The rows of the user in `table`.
    fn table_href(&self, table: &str) -> String {
        links::with_query(&self.shell.links().table(table), &[("scope", &self.user.scope)])
    }

    /// The conflicts of the user.
    fn conflicts_href(&self) -> String {
        links::with_query(&self.shell.links().conflicts(), &[("scope", &self.user.scope)])
    }
}
