//! Every page with data: none, the usual, and the worst that can be in it. For the gallery and the rendering tests.

#![allow(unreachable_pub, reason = "included by the example and by the tests, which see it differently")]

mod activity;
mod app;
mod conflicts;
mod control;
mod overview;
mod people;
mod rows;
mod simulator;
mod writes;

use askama::Template;
use syncline_web::{
    forms::Csrf,
    shell::{Area, May, Shell, TenantPlace},
};
use time::{Duration, OffsetDateTime, macros::datetime};

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
    pub html: String,
}

/// Every page in every state.
pub fn all() -> Vec<Sample> {
    [
        overview::samples(),
        control::samples(),
        app::samples(),
        activity::samples(),
        conflicts::samples(),
        writes::samples(),
        rows::samples(),
        simulator::samples(),
    ]
    .concat()
}

fn sample(name: &str, page: &impl Template) -> Sample {
    Sample { name: name.to_owned(), html: page.render().expect("a sample renders") }
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
    let tenant =
        TenantPlace::new("x".repeat(40), format!("{RIGHT_TO_LEFT} {HOSTILE}"), "viewer", May::default());
    Shell::new(format!("{}@example.org", "very.long.address".repeat(6)), Csrf::new(HOSTILE), NOW)
        .in_tenant(tenant)
        .in_app("y".repeat(40), format!("{LONG} {HOSTILE}"))
}
