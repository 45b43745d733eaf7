//! The history of one row: its versions, who made them, what each changed, and the way back.

use askama::Template;
use time::OffsetDateTime;

use super::{
    history::{Op, Writer},
    write_preview::ChangedColumn,
};
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// A row and what happened to it.
#[derive(Debug, Template)]
#[template(path = "history/row.html")]
pub struct RowHistoryPage {
    pub shell: Shell,
    pub row: RowPlace,
    /// The bundle that touched it last.
    pub current: i64,
    pub is_deleted: bool,
    pub versions: RowVersions,
    /// The list does not begin at the newest version.
    pub is_continued: bool,
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPlace {
    pub scope: String,
    pub table: String,
    pub key: String,
}

/// Versions; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "history/_versions.html")]
pub struct RowVersions {
    pub shell: Shell,
    pub row: RowPlace,
    /// The newest first.
    pub versions: Vec<RowVersion>,
    /// The address of the following page.
    pub next: Option<String>,
    /// What came before the last of them has been pruned.
    pub is_pruned: bool,
}

/// The row after one bundle.
#[derive(Debug, Clone)]
pub struct RowVersion {
    pub version: i64,
    pub op: Op,
    pub writer: Writer,
    /// The end user who pushed it.
    pub user: Option<String>,
    pub committed_at: OffsetDateTime,
    pub columns: Vec<ChangedColumn>,
    /// The bytes of a row that is too large to be shown.
    pub too_large: Option<i64>,
    /// The row is so now.
    pub is_current: bool,
}

impl RowVersion {
    /// Of a change the columns that changed, of what comes or goes all.
    fn shown(&self) -> Vec<&ChangedColumn> {
        let is_whole = self.columns.iter().all(|column| column.before.is_none() || column.after.is_none());
        self.columns.iter().filter(|column| is_whole || column.changed).collect()
    }

    /// Something that can be restored: a row, and not the one that is there.
    fn can_be_restored(&self) -> bool {
        self.op != Op::Delete && !self.is_current
    }

    fn label(&self) -> String {
        format!("Restore version {}", self.version)
    }
}

impl RowVersions {
    /// One of those that are shown can be restored.
    fn can_restore(&self) -> bool {
        self.versions.iter().any(RowVersion::can_be_restored)
    }

    fn restore_preview(&self) -> String {
        self.shell.links().restore_row_preview(&self.row.scope, &self.row.table, &self.row.key)
    }
}
