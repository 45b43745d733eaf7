//! Who did what in a tenant.

use askama::Template;
use time::OffsetDateTime;

use crate::{
    filters,
    forms::Field,
    links,
    shell::{Area, Shell},
};

/// The audit log, the newest entry first.
#[derive(Debug, Template)]
#[template(path = "audit/page.html")]
pub struct AuditPage {
    pub shell: Shell,
    pub rows: AuditRows,
    /// The page does not begin at the newest entry.
    pub is_continued: bool,
    pub filter: AuditFilterForm,
    /// Where the same entries are had as a file.
    pub csv: String,
    pub ndjson: String,
}

/// What is asked of the log.
#[derive(Debug, Clone, Default)]
pub struct AuditFilterForm {
    pub actor: String,
    pub action: String,
    /// An app's id.
    pub app: String,
    pub since: Field,
    pub until: Field,
    /// Every action there is.
    pub actions: Vec<&'static str>,
    /// Ids and names of the tenant's apps.
    pub apps: Vec<(String, String)>,
}

impl AuditFilterForm {
    fn is_set(&self) -> bool {
        [&self.actor, &self.action, &self.app, &self.since.value, &self.until.value]
            .iter()
            .any(|value| !value.is_empty())
    }

    /// The app asked for is none of the tenant's any more.
    fn is_about_a_former_app(&self) -> bool {
        !self.app.is_empty() && self.apps.iter().all(|(id, _)| *id != self.app)
    }
}

/// The rows of one page of the log; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "audit/_rows.html")]
pub struct AuditRows {
    pub now: OffsetDateTime,
    pub entries: Vec<AuditEntry>,
    /// So many entries were looked at that the page ends before it is full.
    pub looked_at: Option<i64>,
    /// The address of the following page.
    pub next: Option<String>,
}

/// What kind of actor did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    Account,
    ApiKey,
    Command,
}

/// One action.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    pub at: OffsetDateTime,
    /// Whose it was: an email, the name of a key, or the command line.
    pub actor: String,
    pub actor_kind: ActorKind,
    /// The address it was done from; None for the command line.
    pub address: Option<String>,
    /// The action's name: `api_key.created`.
    pub action: String,
    /// The app it was about, if that is not the thing it was done to.
    pub app: Option<String>,
    /// What the thing it was done to was called then.
    pub subject: String,
    /// Anything else worth reading, as `name: value` pairs.
    pub details: Vec<(String, String)>,
}
