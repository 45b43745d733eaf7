//! What only a real browser can tell: whole paths through the screen, as a person takes them.
//!
//! A test sits in front of a [`Screen`](harness::Screen): headless Chromium with a profile of its own, driven by chromedriver. It
//! fails where there is no browser (`./deploy/test` installs one).
//!
//! ```ignore
//! let app = TestApp::start().await;
//! let screen = Screen::at(app.url()).await;            // or screen_of_the_owner(&app), signed in
//! screen.visit("/sign-up").await;
//! screen.fill("Email", "ada@acme.example").await;      // a field, by its label
//! screen.choose("Secret").await;                       // a radio button or a check box, by its label
//! screen.attach("Choose a file", &path).await;         // a file, for a field by its label
//! let (name, bytes) = screen.download("CSV").await;    // what a link gives
//! screen.select("Outcome", "open").await;              // an option of a list
//! screen.click("Create account").await;                // a button or link, by its accessible name
//! screen.click_in("laptop", "Retire").await;           // the one in the row (item, dialog, section) with that text
//! screen.sees("No apps yet").await;                    // waits until the page says so
//! screen.misses("Loading").await;                      // waits until it no longer does
//! screen.until("the chart is drawn", "document.querySelector('svg.chart path')").await;
//! assert_eq!(screen.texts("tbody th").await, ["2", "1"]);
//! screen.look(Look::PHONE_DARK).await;                 // size and theme
//! screen.shot("devices").await;                        // into the folder SYNCLINE_SCREENSHOTS, if that is set
//! screen.nothing_moved().await;                      // by itself, since the page was loaded
//! screen.is_quiet().await;                             // no error and no breach of the CSP was logged so far
//! ```
//!
//! Every step waits for what it needs, a while and no longer, and a step that fails says what was on the screen. Nothing
//! here looks at times. A test has one screen at a time (drop it before the next): few browsers run at once, and tests that each held
//! one and waited for another would wait for ever.

mod axe;
mod conflicts;
mod devices;
mod feel;
#[allow(dead_code, reason = "a person can do more than tests need so far")]
mod harness;
mod inbox;
mod overview;
mod pages;
mod people;
mod pictures;
mod questions;
mod restore;
mod roles;
mod settings;
mod simulator;
mod story;
mod tables;
mod users;
mod whole_path;

use crate::support::app::TestApp;
pub(crate) use harness::Screen;

/// A browser in which the owner of the tenant `acme` has signed in.
pub(crate) async fn screen_of_the_owner(app: &TestApp) -> Screen {
    let screen = Screen::at(app.url()).await;
    screen.sign_in("owner@acme.example").await;
    screen
}
