//! An app's history: bundles, and what is in one.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use super::values::Value;
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// Bundles of an app.
#[derive(Debug, Template)]
#[template(path = "history/list.html")]
pub struct HistoryPage {
    pub shell: Shell,
    pub filter: HistoryFilter,
    /// What is wrong with the filter.
    pub filter_error: Option<String>,
    pub rows: BundleRows,
    /// The list does not begin at the newest bundle.
    pub is_continued: bool,
}

/// Which bundles are shown; what is empty does not restrict them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HistoryFilter {
    pub scope: String,
    pub source: String,
}

impl HistoryFilter {
    fn is_empty(&self) -> bool {
        self.scope.is_empty() && self.source.is_empty()
    }
}

/// Bundles; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "history/_rows.html")]
pub struct BundleRows {
    pub shell: Shell,
    /// The newest first.
    pub bundles: Vec<BundleRow>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// A bundle as lists show it.
#[derive(Debug, Clone)]
pub struct BundleRow {
    pub scope: String,
    pub seq: i64,
    pub committed_at: OffsetDateTime,
    pub writer: Writer,
    pub rows: i64,
    pub bytes: i64,
}

/// Who committed a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    Device {
        source: String,
    },
    /// The server itself, for an account or a key.
    Server {
        /// The writer's source id.
        source: String,
        /// Who, in words an administrator knows.
        on_behalf_of: Option<String>,
    },
}

/// One bundle.
#[derive(Debug, Template)]
#[template(path = "history/detail.html")]
pub struct BundlePage {
    pub shell: Shell,
    pub bundle: BundleRow,
    pub facts: BundleFacts,
    pub rows: ChangeRows,
    /// The list does not begin at the first row.
    pub is_continued: bool,
}

/// More about a bundle.
#[derive(Debug, Clone)]
pub struct BundleFacts {
    /// The writer's own number of the bundle.
    pub source_bundle_id: i64,
    pub bundle_hash: String,
    pub request_hash: Option<String>,
    pub user: Option<String>,
    /// The schema version whose columns the rows carry.
    pub schema_version: i64,
    /// The neighbours of the same scope that are retained.
    pub previous: Option<i64>,
    pub next: Option<i64>,
}

/// Rows of a bundle; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "history/_changes.html")]
pub struct ChangeRows {
    pub shell: Shell,
    pub scope: String,
    /// In the bundle's order.
    pub changes: Vec<Change>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// One row of a bundle.
#[derive(Debug, Clone)]
pub struct Change {
    /// From 0.
    pub ordinal: i64,
    pub table: String,
    pub key: String,
    pub op: Op,
    /// The row as it was after the bundle, a pair a column; empty for a deletion.
    pub values: Vec<(String, Value)>,
    /// The bundle that had touched the row before; None: none had.
    pub prior_version: Option<i64>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Insert,
    Update,
    Delete,
}

impl Op {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Self::Insert => "good",
            Self::Update => "info",
            Self::Delete => "bad",
        }
    }
}
