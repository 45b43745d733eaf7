//! An app's first page: where it is reached, how it is doing, how to begin.

use askama::Template;
use time::OffsetDateTime;

use super::values::Tone;
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The first page of an app.
#[derive(Debug, Template)]
#[template(path = "overview/page.html")]
pub struct OverviewPage {
    pub shell: Shell,
    pub base_url: String,
    pub figures: Figures,
    pub quick_start: QuickStart,
}

/// The live part: the page fetches it again every few seconds.
#[derive(Debug, Template)]
#[template(path = "overview/_figures.html")]
pub struct Figures {
    pub shell: Shell,
    pub setup: Setup,
    pub status: Status,
    pub users: i64,
    pub devices: i64,
    /// Devices seen within the last day.
    pub devices_today: i64,
    pub tables: i64,
    pub open_conflicts: i64,
    pub open_rejections: i64,
    pub last_commit_at: Option<OffsetDateTime>,
}

/// How far the app has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    pub has_tables: bool,
    pub has_key: bool,
    pub has_device: bool,
}

impl Setup {
    fn is_complete(self) -> bool {
        self.has_tables && self.has_key && self.has_device
    }

    /// The first step that is not done: 1, 2 or 3.
    fn next_step(self) -> u8 {
        match self {
            Self { has_tables: false, .. } => 1,
            Self { has_key: false, .. } => 2,
            Self { .. } => 3,
        }
    }
}

/// How the app is doing, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub tone: Tone,
    /// One or two words.
    pub label: String,
    pub sentence: String,
}

/// What to copy to begin with, filled in for the app.
#[derive(Debug, Clone)]
pub struct QuickStart {
    pub base_url: String,
    pub logical_schema: String,
    /// The tables with their sync keys, in the order of the catalog; a few are enough.
    pub tables: Vec<(String, String)>,
    pub numbers_profile: bool,
}

/// A tab of the quick start.
struct Snippet {
    id: &'static str,
    label: &'static str,
    /// What has to be there before.
    before: &'static str,
    code: String,
}

#[derive(Template)]
#[template(path = "overview/snippets/curl.txt", escape = "none")]
struct Curl<'a>(&'a QuickStart);

#[derive(Template)]
#[template(path = "overview/snippets/kotlin.txt", escape = "none")]
struct Kotlin<'a>(&'a QuickStart);

#[derive(Template)]
#[template(path = "overview/snippets/go.txt", escape = "none")]
struct Go<'a>(&'a QuickStart);

#[derive(Template)]
#[template(path = "overview/snippets/dart.txt", escape = "none")]
struct Dart<'a>(&'a QuickStart);

impl QuickStart {
    fn snippets(&self) -> askama::Result<[Snippet; 4]> {
        Ok([
            Snippet {
                id: "curl",
                label: "curl",
                before: "With a secret key in SYNCLINE_KEY, a token for a user, then what a device asks first.",
                code: Curl(self).render()?,
            },
            Snippet {
                id: "kotlin",
                label: "Kotlin",
                before: "With dev.goquick.sqlitenow:core and :oversqlite, and oversqlite = true for the database.",
                code: Kotlin(self).render()?,
            },
            Snippet {
                id: "go",
                label: "Go",
                before: "With github.com/mobiletoly/go-oversync/oversqlite.",
                code: Go(self).render()?,
            },
            Snippet {
                id: "dart",
                label: "Dart",
                before: "With sqlitenow_runtime and sqlitenow_oversqlite, and oversqlite: true for the database.",
                code: Dart(self).render()?,
            },
        ])
    }
}
