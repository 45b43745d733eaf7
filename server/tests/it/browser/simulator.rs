//! The two-device simulator, from the button to nothing left (issue 4, item 8).

use super::story::Story;
use crate::support::device::schema::DDL;

#[tokio::test]
async fn two_devices_conflict_and_converge_at_the_press_of_a_button_and_leave_nothing() {
    let story = Story::of(DDL).await;
    let screen = &story.screen;
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
