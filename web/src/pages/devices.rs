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
    pub rows: DeviceRows,
    /// The list does not begin at the device seen last.
    pub is_continued: bool,
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
    pub behind: Option<i64>,
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

/// One device.
#[derive(Debug, Template)]
#[template(path = "devices/detail.html")]
pub struct DevicePage {
    pub shell: Shell,
    pub device: DeviceRow,
    pub facts: DeviceFacts,
    /// Refusals that have not been followed by a success yet.
    pub last_error: Option<LastError>,
    /// Those of the user who was signed in on it last.
    pub tokens: Option<EndUserTokens>,
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
    pub last_snapshot_at: Option<OffsetDateTime>,
    /// It has an open stream that tells it of new bundles.
    pub is_watching: bool,
    /// Uploads and downloads from scratch that are under way.
    pub open_pushes: i64,
    pub open_snapshots: i64,
    /// Bundles the device has committed.
    pub bundles: i64,
    pub replaces: Option<String>,
    pub replaced_by: Option<String>,
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
