//! Who did what in a tenant.

use askama::Template;
use time::OffsetDateTime;

use crate::{
    filters, links,
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
}

/// The rows of one page of the log; also what `Show more` fetches.
#[derive(Debug, Template)]
#[template(path = "audit/_rows.html")]
pub struct AuditRows {
    pub now: OffsetDateTime,
    pub entries: Vec<AuditEntry>,
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
    /// The action's name: `api_key.created`.
    pub action: String,
    /// What the thing it was done to was called then.
    pub subject: String,
    /// Anything else worth reading, as `name: value` pairs.
    pub details: Vec<(String, String)>,
}
