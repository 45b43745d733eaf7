//! The two-device simulator, from the button to nothing left (issue 4, item 8).

use std::time::{Duration, Instant};

use super::{Screen, whole_path::become_a_tenant};
use crate::support::app::TestApp;

/// From sign-up until the conflict is in the ledger, as the issue asks.
const WITHIN: Duration = Duration::from_mins(2);

#[tokio::test]
async fn two_devices_conflict_and_converge_at_the_press_of_a_button_and_leave_nothing() {
    let app = TestApp::start().await;
    let screen = Screen::at(app.url()).await;
    let began = Instant::now();
    become_a_tenant(&screen).await;
    screen.click("Simulator").await;
    screen.click("Let two devices sync").await;
    screen.until("the first step is shown", "document.querySelector('.sim-step h2')").await;
    screen.evaluate("window.untouched = true;", serde_json::json!([])).await;
    // The others come by themselves.
    screen.sees("The tablet meets a conflict").await;
    screen.sees("Row by row and version by version the two are the same.").await;
    screen.sees("Remove the simulation").await;
    screen.until("the page was not loaded anew", "window.untouched").await;
    let user = screen.text(".simulation-facts code").await;
    let named = screen.texts(".simulation-facts code").await;
    assert!(named.len() > 1 && !named.contains(&String::new()), "user and table: {named:?}");
    // What was said is there to read.
    screen.click("Phone").await;
    screen.until("the request is shown", "document.querySelector('.sim-exchange details[open] pre')").await;
    screen.shot("simulator").await;

    screen.click("See it in the ledger").await;
    screen.sees("The three rows").await;
    screen.sees("Changed on the phone").await;
    screen.sees("Changed on the tablet").await;
    assert!(began.elapsed() < WITHIN, "{:?} after sign-up", began.elapsed());
    screen.sees(&user).await;
    screen.click("Conflicts").await;
    screen.sees(&user).await;
    screen.click("Simulator").await;
    screen.click("Remove the simulation").await;
    screen.sees("The simulation is removed, with everything that the devices did.").await;
    screen.sees("Let two devices sync").await;
    screen.click("Conflicts").await;
    screen.sees("No conflicts").await;
    screen.click("Users").await;
    screen.sees("No users yet").await;
    screen.is_quiet().await;
}
