//! Every page with data: none, the usual, and the worst that can be in it. For the gallery and the rendering tests.
//!
//! A page has three samples at least: `NAME-empty`, `NAME-typical` and `NAME-extreme`. Where it can be in further states,
//! more of them follow, each called as its state.

#![allow(unreachable_pub, reason = "included by the example and by the tests, which see it differently")]

mod conflicts;
mod control;
mod devices;
mod docs;
mod history;
mod overview;
mod people;
mod rejected_writes;
mod rows;
mod schema;
mod simulator;
mod tables;
mod users;
mod writes;

use std::any::type_name;

use askama::Template;
use syncline_web::{
    forms::Csrf,
    shell::{Area, May, Shell, TenantPlace},
};
use time::{Duration, OffsetDateTime, macros::datetime};

/// The rows that a page of a list has at most.
pub const PAGE: usize = 50;
/// The columns of a wide table.
pub const COLUMNS: usize = 40;
/// The sample of the reference as it is: what it says is kept in `openapi/` already.
pub const WHOLE_REFERENCE: &str = "docs-whole";

pub const NOW: OffsetDateTime = datetime!(2026-07-15 12:00 UTC);

pub const BASE_URL: &str = "https://sync.example.org/t/field-notes/survey";

/// Text that breaks out of HTML wherever it is not escaped.
pub const HOSTILE: &str = r#""><script>alert('x')</script><b>&amp;</b>"#;
/// Hebrew, Arabic and an override that flips what follows it.
pub const RIGHT_TO_LEFT: &str = "שלום עולם مرحبا بالعالم \u{202e}abc";
/// One word wider than a phone, and wider than a desk.
pub const LONG: &str = "Pneumonoultramicroscopicsilicovolcanoconiosis_Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft_0123456789_0123456789_0123456789_0123456789";

/// A rendered page and the name of its file.
#[derive(Clone)]
pub struct Sample {
    pub name: String,
    /// The type of the page, as Rust names it.
    pub page: &'static str,
    pub html: String,
}

/// Every page in every state.
pub fn all() -> Vec<Sample> {
    [
        overview::samples(),
        control::samples(),
        schema::samples(),
        tables::samples(),
        docs::samples(),
        users::samples(),
        devices::samples(),
        history::samples(),
        rejected_writes::samples(),
        conflicts::samples(),
        writes::samples(),
        rows::samples(),
        simulator::samples(),
    ]
    .concat()
}

fn sample<P: Template>(name: &str, page: &P) -> Sample {
    Sample { name: name.to_owned(), page: type_name::<P>(), html: page.render().expect("a sample renders") }
}

/// A text with everything in it that a person or a device can put into one.
pub fn worst() -> String {
    format!("{LONG} {HOSTILE} {RIGHT_TO_LEFT}")
}

/// The same as an address: the part before the @ may be almost anything.
pub fn worst_email() -> String {
    format!("{}{}@example.org", "very.long.address".repeat(6), RIGHT_TO_LEFT.replace(' ', "."))
}

/// A full page of a list: these over and over.
fn full_page<T: Clone>(rows: &[T]) -> Vec<T> {
    // One after the other, so that a stored page can say how often each comes.
    let times = PAGE.div_ceil(rows.len());
    rows.iter().flat_map(|row| vec![row.clone(); times]).take(PAGE).collect()
}

fn ago(span: Duration) -> OffsetDateTime {
    NOW - span
}

/// Signed in as an owner.
fn shell() -> Shell {
    Shell::new("maya@fieldnotes.example", Csrf::new("csrf-token"), NOW).in_tenant(TenantPlace::new(
        "field-notes",
        "Field Notes Ltd",
        "owner",
        May { develop: true, administer: true },
    ))
}

fn app_shell() -> Shell {
    shell().in_app("survey", "Survey")
}

/// Signed in as a viewer, with names that fit nowhere.
fn extreme_shell() -> Shell {
    extreme("viewer", May::default())
}

/// The same as an owner, who sees every form.
fn extreme_owner() -> Shell {
    extreme("owner", May { develop: true, administer: true })
}

fn extreme(role: &str, may: May) -> Shell {
    let tenant = TenantPlace::new("x".repeat(40), format!("{HOSTILE} {RIGHT_TO_LEFT}"), role, may);
    Shell::new(worst_email(), Csrf::new(HOSTILE), NOW).in_tenant(tenant).in_app("y".repeat(40), worst())
}

/// On a page of the organisation.
fn outside_apps(shell: Shell) -> Shell {
    Shell { app: None, ..shell }
}

/// On a page of the person.
fn outside_tenants(shell: Shell) -> Shell {
    Shell { tenant: None, app: None, ..shell }
}
