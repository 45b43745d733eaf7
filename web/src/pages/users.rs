//! An app's users: the scopes, each with its devices and rows.

use askama::Template;
use time::OffsetDateTime;

use serde::Deserialize;

use super::{
    devices::DeviceRow,
    end_users::EndUserTokens,
    history::{BundleRow, Writer},
};
use crate::{
    filters,
    forms::Field,
    links,
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
    /// Devices and conflicts were counted up to this number and one more.
    pub counted: i64,
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
    /// Everything was erased, and nothing has come since.
    Erased {
        at: OffsetDateTime,
    },
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
    /// Every table of the app.
    pub tables: Vec<TableRows>,
    pub storage: Storage,
    /// Somebody has asked for it, and it is not done yet.
    pub is_being_erased: bool,
    /// The newest first; at most [`UserPage::BUNDLES`].
    pub bundles: Vec<BundleRow>,
    /// Whoever is signed in on those devices; before the first, the user that the scope is named after.
    pub holders: Vec<EndUserTokens>,
    pub token: TokenForm,
    /// What was typed to confirm that the user is to be erased.
    pub confirmation: Field,
}

/// What a user has in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    pub name: String,
    pub rows: i64,
    /// False: there are more.
    pub is_exact: bool,
    /// Of the rows counted, about.
    pub bytes: i64,
}

/// What a user's data takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Bytes of rows, about.
    pub rows: i64,
    /// False: there are more.
    pub is_exact: bool,
    /// Bytes of retained bundles, about.
    pub history: i64,
    pub bundles: i64,
    /// Open and settled.
    pub conflicts: i64,
}

/// The form for a token to try things with, and the token once it is minted.
#[derive(Debug, Clone, Default)]
pub struct TokenForm {
    /// Empty: the user of the page.
    pub user: Field,
    pub minutes: i64,
    pub minted: Option<MintedToken>,
}

/// A token, shown once.
#[derive(Debug, Clone)]
pub struct MintedToken {
    pub plain_text: String,
    pub minutes: i64,
    pub base_url: String,
}

/// The token form as it was sent.
#[derive(Debug, Deserialize)]
pub struct TokenInput {
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub minutes: i64,
}

/// The form that erases, as it was sent.
#[derive(Debug, Deserialize)]
pub struct EraseInput {
    #[serde(default)]
    pub confirmation: String,
}

impl MintedToken {
    /// A call to try it with.
    fn example(&self) -> String {
        format!(
            "curl -H \"Authorization: Bearer $TOKEN\" -H \"Oversync-Source-ID: try-out\" \\\n  {}/sync/capabilities",
            self.base_url
        )
    }
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

    /// What can be done with the user.
    fn action(&self, action: &str) -> String {
        self.shell.links().user_action(&self.user.scope, action)
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
