//! An app's conflicts: who wanted what, who had written it, how it ended.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    history::{Op, Writer},
    values::Value,
};
use crate::{
    chart::Chart,
    filters, links,
    shell::{Area, Shell},
};

/// The conflicts of an app.
#[derive(Debug, Template)]
#[template(path = "conflicts/list.html")]
pub struct ConflictsPage {
    pub shell: Shell,
    pub filter: ConflictFilter,
    /// The app's tables, to choose from.
    pub tables: Vec<String>,
    pub rows: ConflictRows,
    /// The list does not begin at the newest conflict.
    pub is_continued: bool,
    /// In numbers; None where nothing can match the filter, and on later pages.
    pub statistics: Option<Statistics>,
    pub kept: Kept,
}

/// How much of the ledger is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub days: i64,
    pub conflicts: i64,
}

/// Where and when conflicts happened.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub chart: Chart,
    pub tables: Vec<HotTable>,
    pub rows: Vec<HotRow>,
}

/// A table with conflicts.
#[derive(Debug, Clone)]
pub struct HotTable {
    pub table: String,
    pub conflicts: i64,
    /// The rows that they are about.
    pub rows: i64,
}

/// A row that was in conflict again and again.
#[derive(Debug, Clone)]
pub struct HotRow {
    pub scope: String,
    pub table: String,
    pub key: String,
    pub conflicts: i64,
    pub attempts: i64,
    pub last_at: OffsetDateTime,
}

/// Which conflicts are shown; what is empty does not restrict them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConflictFilter {
    pub table: String,
    pub scope: String,
    pub source: String,
    /// `open`, or an outcome: `kept_local`, `accepted_server`, `merged`, `gave_up`.
    pub outcome: String,
    /// The first and the last day, as `2026-07-15`.
    pub from: String,
    pub until: String,
}

impl ConflictFilter {
    fn is_empty(&self) -> bool {
        [&self.table, &self.scope, &self.source, &self.outcome, &self.from, &self.until]
            .iter()
            .all(|value| value.is_empty())
    }
}

/// The outcomes to choose from, with their names.
const OUTCOMES: [(&str, &str); 6] = [
    ("open", "still open"),
    ("kept_local", "device kept its own"),
    ("accepted_server", "device took the server’s"),
    ("merged", "device merged"),
    ("gave_up", "device gave up"),
    ("settled_by_hand", "settled by hand"),
];

/// Conflicts; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "conflicts/_rows.html")]
pub struct ConflictRows {
    pub shell: Shell,
    /// The newest first.
    pub conflicts: Vec<ConflictRow>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// A conflict as lists show it.
#[derive(Debug, Clone)]
pub struct ConflictRow {
    pub id: String,
    pub first_at: OffsetDateTime,
    pub table: String,
    pub key: String,
    /// What the device wanted.
    pub op: Op,
    pub scope: String,
    pub source: String,
    /// How often the device has run into it.
    pub attempts: i64,
    pub outcome: Outcome,
}

/// How a conflict ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Open,
    KeptLocal,
    AcceptedServer,
    Merged,
    GaveUp,
    /// Somebody wrote the row in the dashboard.
    SettledByHand,
}

impl Outcome {
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Self::Open => "warn",
            Self::KeptLocal | Self::AcceptedServer | Self::Merged | Self::SettledByHand => "good",
            Self::GaveUp => "bad",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::KeptLocal => "device kept its own",
            Self::AcceptedServer => "device took the server’s",
            Self::Merged => "merged",
            Self::GaveUp => "gave up",
            Self::SettledByHand => "settled by hand",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Open => "The device has not said yet how it goes on. It tries again when it syncs next.",
            Self::KeptLocal => "The device sent its row again on top of the server’s, and it was committed.",
            Self::AcceptedServer => "The device dropped its change and took the server’s row.",
            Self::Merged => "The device sent a row made of both, and it was committed.",
            Self::GaveUp => "The device dropped its change without taking the server’s row first.",
            Self::SettledByHand => {
                "The row was written here, in the dashboard. The device takes it over when it syncs next."
            }
        }
    }
}

/// One conflict.
#[derive(Debug, Template)]
#[template(path = "conflicts/detail.html")]
pub struct ConflictPage {
    pub shell: Shell,
    pub conflict: ConflictRow,
    pub facts: ConflictFacts,
    pub base: Side,
    pub device: Side,
    pub server: Side,
    /// A line for each column of the table, in its order.
    pub columns: Vec<ComparedColumn>,
}

/// More about a conflict.
#[derive(Debug, Clone)]
pub struct ConflictFacts {
    pub user: Option<String>,
    pub last_at: OffsetDateTime,
    /// The writer of the server's row; None: not known any more.
    pub server_writer: Option<Writer>,
    pub settled_at: Option<OffsetDateTime>,
    /// The bundle that settled it.
    pub settled_seq: Option<i64>,
    /// The account that settled it by hand.
    pub settled_by: Option<String>,
}

/// One of the three rows of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The row, as of this bundle; None: not committed.
    Row { version: Option<i64> },
    /// The row was deleted, as of this bundle; None: the deletion is not committed.
    Deleted { version: Option<i64> },
    /// There was no row.
    Absent,
    /// There was a row of this version, but it is not retained.
    Unknown { version: i64 },
}

impl Side {
    fn note(self) -> String {
        match self {
            Self::Row { version: Some(version) } => format!("bundle {version}"),
            Self::Row { version: None } => "not committed".to_owned(),
            Self::Deleted { version: Some(version) } => format!("deleted in bundle {version}"),
            Self::Deleted { version: None } => "deleted".to_owned(),
            Self::Absent => "no row".to_owned(),
            Self::Unknown { version } => format!("bundle {version}, not retained"),
        }
    }
}

/// One column of the three rows.
#[derive(Debug, Clone)]
pub struct ComparedColumn {
    pub name: String,
    pub is_key: bool,
    /// None where that side has no row.
    pub base: Option<Value>,
    pub device: Option<Value>,
    pub server: Option<Value>,
    /// Whether device and server differ from the base; without one, whether they differ from each other.
    pub device_changed: bool,
    pub server_changed: bool,
}

impl ComparedColumn {
    /// Both sides changed it, and not to the same value.
    fn is_disputed(&self) -> bool {
        self.device_changed && self.server_changed && self.device != self.server
    }
}

impl ConflictPage {
    /// Columns that a merge can take from one side or the other.
    fn mergeable(&self) -> Vec<&ComparedColumn> {
        let differs = |column: &&ComparedColumn| column.device_changed || column.server_changed;
        self.columns.iter().filter(|column| !column.is_key).filter(differs).collect()
    }

    /// What `Apply the device’s version` does.
    fn device_wish(&self) -> &'static str {
        match self.conflict.op {
            Op::Delete => "Deletes the row, as the device wanted.",
            _ => "Writes what the device wanted over the row as it is now.",
        }
    }

    /// One sentence that tells what happened.
    fn story(&self) -> String {
        let wish = match self.conflict.op {
            Op::Insert => "insert this row",
            Op::Update => "change this row",
            Op::Delete => "delete this row",
        };
        let met = match self.server {
            Side::Row { version: Some(version) } => format!("bundle {version} had written it"),
            Side::Deleted { version: Some(version) } => format!("bundle {version} had deleted it"),
            Side::Row { version: None } | Side::Deleted { version: None } => {
                "another had written it".to_owned()
            }
            Side::Absent => "the server had no such row".to_owned(),
            Side::Unknown { version } => format!("bundle {version} had touched it"),
        };
        let base = match self.base {
            Side::Row { version: Some(version) }
            | Side::Deleted { version: Some(version) }
            | Side::Unknown { version } => {
                format!(" starting from bundle {version}")
            }
            _ => String::new(),
        };
        format!("The device wanted to {wish}{base}, but {met}.")
    }
}
