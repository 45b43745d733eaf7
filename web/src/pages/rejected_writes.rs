//! The inbox of refused writes: each distinct failure once.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{history::Op, values::Value};
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The inbox.
#[derive(Debug, Template)]
#[template(path = "rejected_writes/list.html")]
pub struct RejectedWritesPage {
    pub shell: Shell,
    pub filter: RejectedWriteFilter,
    pub rows: RejectedWriteRows,
    pub kept: KeptWrites,
    /// The list does not begin at the latest failure.
    pub is_continued: bool,
}

/// How much of the inbox is kept.
#[derive(Debug, Clone, Copy)]
pub struct KeptWrites {
    /// Since the last try.
    pub days: i64,
    /// The latest of the app, and of each user.
    pub of_app: i64,
    pub of_user: i64,
    /// Of the rows of each.
    pub row_bytes: i64,
}

/// Which failures are shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RejectedWriteFilter {
    /// `open`, `resolved`, `ignored`; empty: all.
    pub state: String,
    pub scope: String,
}

/// The states to choose from, with their names.
const STATES: [(&str, &str); 3] = [("open", "open"), ("resolved", "resolved"), ("ignored", "ignored")];

/// Failures; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "rejected_writes/_rows.html")]
pub struct RejectedWriteRows {
    pub shell: Shell,
    /// The latest first.
    pub writes: Vec<RejectedWriteRow>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// A failure as the list shows it.
#[derive(Debug, Clone)]
pub struct RejectedWriteRow {
    pub id: String,
    pub last_at: OffsetDateTime,
    /// The wire's code.
    pub code: String,
    /// The sentence the device was told.
    pub message: String,
    pub table: Option<String>,
    pub scope: String,
    pub source: String,
    pub attempts: i64,
    pub state: WriteState,
}

/// What became of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteState {
    /// The device may still be blocked by it.
    Open,
    Resolved,
    Ignored,
}

impl WriteState {
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Self::Open => "bad",
            Self::Resolved => "good",
            Self::Ignored => "plain",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Ignored => "ignored",
        }
    }
}

/// One failure.
#[derive(Debug, Template)]
#[template(path = "rejected_writes/detail.html")]
pub struct RejectedWritePage {
    pub shell: Shell,
    pub write: RejectedWriteRow,
    pub facts: RejectedWriteFacts,
    /// The refused rows, as many as were kept.
    pub rows: Vec<RefusedRow>,
    /// So many bytes of rows are kept.
    pub row_bytes: i64,
    /// What to do about it.
    pub advice: String,
    /// The rows on the server that it has run into, where they can be told; a few of many.
    pub in_the_way: Vec<Obstacle>,
}

/// More about a failure.
#[derive(Debug, Clone)]
pub struct RejectedWriteFacts {
    pub user: Option<String>,
    pub first_at: OffsetDateTime,
    pub constraint: Option<String>,
    pub column: Option<String>,
    pub source_bundle_id: Option<i64>,
    /// How many rows were refused, kept or not.
    pub row_count: i64,
    pub state_at: Option<OffsetDateTime>,
    /// The account that put it into its state.
    pub state_by: Option<String>,
    /// What the constraint demands, in words.
    pub rule: Option<String>,
}

/// A row that a refused write has run into, or misses.
#[derive(Debug, Clone)]
pub struct Obstacle {
    pub table: String,
    pub key: String,
    /// `has the value already`.
    pub said: String,
    pub can_be_restored: bool,
    pub has_history: bool,
}

/// A row that was refused.
#[derive(Debug, Clone)]
pub struct RefusedRow {
    pub table: String,
    pub key: String,
    /// None: the device sent something else.
    pub op: Option<Op>,
    /// As the device sent it, a pair a column.
    pub values: Vec<(String, Value)>,
}

impl RefusedRow {
    /// The server may know the row: the device does not say that it is new.
    fn may_be_known(&self) -> bool {
        matches!(self.op, Some(Op::Update | Op::Delete)) && !self.table.is_empty()
    }
}

impl RejectedWritePage {
    /// Since when and by whom.
    fn state_note(&self) -> Option<String> {
        Some(format!("by {}", self.facts.state_by.as_deref()?))
    }

    /// Rows that were refused but not kept.
    fn rows_left_out(&self) -> i64 {
        self.facts.row_count - i64::try_from(self.rows.len()).unwrap_or(i64::MAX)
    }
}
