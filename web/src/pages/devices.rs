//! An app's devices, each with its verdict.

use askama::Template;
use time::OffsetDateTime;

use super::{end_users::EndUserTokens, values::Tone};
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The devices of an app.
#[derive(Debug, Template)]
#[template(path = "devices/list.html")]
pub struct DevicesPage {
    pub shell: Shell,
    /// The scope whose devices are shown; empty: all.
    pub scope: String,
    /// How the user or the device begins that is looked for; empty: any.
    pub begins_with: String,
    /// The word of the verdict that is looked for; empty: any.
    pub verdict: String,
    /// All verdicts: their words and labels.
    pub kinds: Vec<(&'static str, &'static str)>,
    /// What there is to look at.
    pub trouble: Vec<Trouble>,
    pub rows: DeviceRows,
    /// The list does not begin at its beginning.
    pub is_continued: bool,
}

/// Devices with one verdict that somebody should look at.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub tone: Tone,
    pub word: &'static str,
    pub label: &'static str,
    pub count: i64,
    /// There may be more.
    pub at_least: bool,
}

impl DevicesPage {
    fn is_filtered(&self) -> bool {
        !(self.scope.is_empty() && self.begins_with.is_empty() && self.verdict.is_empty())
    }

    fn trouble_href(&self, word: &str) -> String {
        links::with_query(&self.shell.links().devices(), &[("verdict", word)])
    }
}

/// Devices; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "devices/_rows.html")]
pub struct DeviceRows {
    pub shell: Shell,
    /// Those seen last first.
    pub devices: Vec<DeviceRow>,
    /// The address of the following page.
    pub next: Option<String>,
    /// Only devices of some verdict are shown, and this page has looked at as many as one may.
    pub looked_in_vain: bool,
}

/// A device as lists show it.
#[derive(Debug, Clone)]
pub struct DeviceRow {
    pub scope: String,
    pub source: String,
    pub verdict: Verdict,
    /// The client library, as its requests tell.
    pub client: Option<String>,
    pub last_seen_at: OffsetDateTime,
    /// Bundles the device does not have yet; None: it has not told what it has.
    pub behind: i64,
}

/// What the server's facts about a device amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub tone: Tone,
    /// A few words: `healthy`, `push rejected`.
    pub label: String,
    /// A sentence with the cause.
    pub sentence: String,
    /// What to do about it.
    pub advice: Option<String>,
    pub since: Option<OffsetDateTime>,
}

impl Verdict {
    /// The sentence is not only the label once more.
    pub(crate) fn says_more(&self) -> bool {
        !self.sentence.trim_end_matches('.').eq_ignore_ascii_case(&self.label)
    }
}

/// One device.
#[derive(Debug, Template)]
#[template(path = "devices/detail.html")]
pub struct DevicePage {
    pub shell: Shell,
    pub device: DeviceRow,
    pub facts: DeviceFacts,
    /// Refusals that have not been followed by a success yet.
    pub last_error: Option<LastError>,
    pub cause: Option<Cause>,
    /// Those of the user who was signed in on it last.
    pub holders: Vec<EndUserTokens>,
    /// It may not write any more.
    pub is_retired: bool,
    /// The newest first.
    pub events: Vec<DeviceEvent>,
}

/// What the server knows of a device.
#[derive(Debug, Clone)]
pub struct DeviceFacts {
    pub user: Option<String>,
    pub address: Option<String>,
    pub first_seen_at: OffsetDateTime,
    /// When, and the bundle that came of it.
    pub last_push: Option<(OffsetDateTime, Option<i64>)>,
    /// When, and the checkpoint the device named.
    pub last_pull: Option<(OffsetDateTime, Option<i64>)>,
    /// The last bundle that was sent to it, and the latest there is.
    pub last_sent: Option<i64>,
    pub latest: i64,
    pub behind: i64,
    pub last_snapshot_at: Option<OffsetDateTime>,
    /// It has an open stream that tells it of new bundles.
    pub is_watching: bool,
    /// Uploads and downloads from scratch that are under way.
    pub open_pushes: Vec<OpenPush>,
    pub open_snapshots: Vec<OpenSnapshot>,
    /// Bundles the device has committed.
    pub bundles: i64,
    pub replaces: Option<String>,
    pub replaced_by: Option<String>,
    /// The device that replaces it has called, so it has a page.
    pub successor_called: bool,
}

/// An upload that is under way.
#[derive(Debug, Clone)]
pub struct OpenPush {
    pub began_at: OffsetDateTime,
    pub staged: i64,
    pub planned: i64,
}

/// A download from scratch that is under way.
#[derive(Debug, Clone)]
pub struct OpenSnapshot {
    pub began_at: OffsetDateTime,
    pub rows: i64,
    pub bundle_seq: i64,
}

/// Where the cause of a verdict can be looked at.
#[derive(Debug, Clone)]
pub struct Cause {
    pub label: &'static str,
    pub href: String,
    /// What it is about: a table and a key.
    pub about: Option<String>,
}

/// What a device was refused last.
#[derive(Debug, Clone)]
pub struct LastError {
    pub at: OffsetDateTime,
    pub verb: String,
    pub code: String,
    pub message: String,
    /// Refusals in a row.
    pub count: i64,
    pub since: Option<OffsetDateTime>,
}

/// A request of a device that tells something.
#[derive(Debug, Clone)]
pub struct DeviceEvent {
    pub at: OffsetDateTime,
    pub verb: String,
    /// The HTTP status.
    pub status: i64,
    /// None when it succeeded.
    pub code: Option<String>,
    pub message: Option<String>,
    pub bundle_seq: Option<i64>,
}

impl DeviceEvent {
    fn tone(&self) -> &'static str {
        match self.status {
            ..400 => "good",
            409 => "warn",
            _ => "bad",
        }
    }
}

impl DevicePage {
    /// The bundles of the device.
    fn history_href(&self) -> String {
        let (scope, source) = (self.device.scope.as_str(), self.device.source.as_str());
        links::with_query(&self.shell.links().history(), &[("scope", scope), ("source", source)])
    }

    /// The conflicts of the device.
    fn conflicts_href(&self) -> String {
        let (scope, source) = (self.device.scope.as_str(), self.device.source.as_str());
        links::with_query(&self.shell.links().conflicts(), &[("scope", scope), ("source", source)])
    }
}
