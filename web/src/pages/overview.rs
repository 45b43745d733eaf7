//! An app's first page: how it is doing right now, what happened lately, how to begin.

use askama::Template;
use time::OffsetDateTime;

use super::{conflicts::ConflictRow, devices::DeviceRow, rejected_writes::RejectedWriteRow, values::Tone};
use crate::{
    chart::Chart,
    filters,
    links::{self, AppLinks},
    shell::{Area, Shell},
};

/// The first page of an app.
#[derive(Debug, Template)]
#[template(path = "overview/page.html")]
pub struct OverviewPage {
    pub shell: Shell,
    pub base_url: String,
    /// None: the app is set up.
    pub steps: Option<Steps>,
    pub figures: Figures,
    pub activity: Activity,
    pub quick_start: QuickStart,
}

/// How far the app has come: a stream replaces it while the page is open, until and when everything is done.
#[derive(Debug, Template)]
#[template(path = "overview/_steps.html")]
pub struct Steps {
    pub shell: Shell,
    pub setup: Setup,
}

/// What is so right now: a stream replaces it while the page is open.
#[derive(Debug, Template)]
#[template(path = "overview/_figures.html")]
pub struct Figures {
    pub shell: Shell,
    pub status: Status,
    /// Users, devices, conflicts and refused writes were counted up to this number and one more.
    pub counted: i64,
    pub users: i64,
    pub devices: Devices,
    pub tables: i64,
    pub open_conflicts: i64,
    pub open_rejections: i64,
    pub last_commit_at: Option<OffsetDateTime>,
    pub last_hour: LastHour,
    /// Devices that need a look, those refused last first; a few.
    pub trouble: Vec<DeviceRow>,
    /// The latest, a few.
    pub conflicts: Vec<ConflictRow>,
    /// Those still open, the latest first; a few.
    pub rejections: Vec<RejectedWriteRow>,
}

/// The devices by when they last called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Devices {
    pub all: i64,
    /// Within a day.
    pub today: i64,
    /// Whose last request of some kind was refused, within a week.
    pub refused: i64,
    /// For a week or longer.
    pub silent: i64,
}

/// What happened within the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastHour {
    pub commits: i64,
    pub rows_pushed: i64,
    pub pulls: i64,
    pub rows_served: i64,
}

/// How far the app has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setup {
    pub has_tables: bool,
    pub has_key: bool,
    pub has_device: bool,
    pub has_bundle: bool,
    /// The device that called last, as long as there is no bundle.
    pub newcomer: Option<FirstDevice>,
}

/// The device that the quick start was waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstDevice {
    pub scope: String,
    pub source: String,
    pub last_seen_at: OffsetDateTime,
}

impl Setup {
    pub fn is_complete(&self) -> bool {
        self.has_tables && self.has_device && self.has_bundle
    }

    /// The first step that is not done; 5: all are.
    fn next_step(&self) -> u8 {
        let done = [self.has_tables, self.key_is_done(), self.has_device, self.has_bundle];
        done.iter().position(|done| !done).map_or(5, |at| at as u8 + 1)
    }

    /// A device that has called got its token somehow: perhaps from the tenant's own sign-in, without any key of ours.
    fn key_is_done(&self) -> bool {
        self.has_key || self.has_device
    }

    /// What to say to who watched while the step before this one was done.
    fn arrival(&self) -> String {
        match (self.next_step(), &self.newcomer) {
            (4, Some(device)) => format!("The first device has arrived: {}.", device.source),
            (5, _) => "The first bundle has arrived: your app syncs.".to_owned(),
            (2, _) => "The tables are published.".to_owned(),
            (3, _) => "There is a key. Now let the first device call.".to_owned(),
            _ => String::new(),
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

/// What happened lately, drawn.
#[derive(Debug, Template)]
#[template(path = "overview/_activity.html")]
pub struct Activity {
    pub shell: Shell,
    pub range: Range,
    /// Empty as long as no device has called.
    pub charts: Vec<Chart>,
}

/// How far back the charts look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Range {
    #[default]
    Hour,
    Day,
    Week,
    Month,
}

impl Range {
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// As addresses say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The range that an address names; links get edited, and then it is the first.
    pub fn read(text: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.as_str() == text).unwrap_or_default()
    }

    fn label(self) -> &'static str {
        match self {
            Self::Hour => "Hour",
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
        }
    }

    /// What the charts show, in words.
    fn said(self) -> &'static str {
        match self {
            Self::Hour => "The last hour, minute by minute.",
            Self::Day => "The last 24 hours, hour by hour.",
            Self::Week => "The last seven days, in steps of six hours.",
            Self::Month => "The last 30 days, day by day.",
        }
    }

    fn address(self, links: &AppLinks) -> String {
        links::with_query(links.overview(), &[("range", self.as_str())])
    }

    fn live(self, links: &AppLinks) -> String {
        links::with_query(&links.live(), &[("range", self.as_str())])
    }
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
