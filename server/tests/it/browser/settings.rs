//! An app's settings: how much history it keeps, and what devices would notice of less.

use time::Duration;

use super::story::{Story, writes};
use crate::support::device::schema::DDL;

#[tokio::test]
async fn whoever_keeps_less_history_is_told_how_many_devices_must_rebuild() {
    let story = Story::of(DDL).await;
    let screen = &story.screen;
    let (mut phone, mut laptop) = (story.device("ada", "phone").await, story.device("ada", "laptop").await);
    writes(&mut phone, "f1", "Plants").await;
    laptop.sync().await.unwrap();
    for number in 0..4 {
        writes(&mut phone, "f1", &format!("Draft {number}")).await;
    }
    story.facts_are_written().await;
    story.app.clock.advance(Duration::days(3));

    screen.click("Settings").await;
    screen.fill("Always keep the newest bundles of a user", "2").await;
    // Younger than that: nobody would notice.
    screen.fill("Prune the others after days", "30").await;
    screen.click("Save").await;
    screen.sees("Saved.").await;
    screen.fill("Prune the others after days", "2").await;
    screen.click("Save").await;
    screen.sees("Nothing is saved yet. With this, 1 device must download everything anew").await;
    // Another number is another question.
    screen.fill("Always keep the newest bundles of a user", "1").await;
    screen.click("Save all the same").await;
    screen.sees("Nothing is saved yet. With this, 1 device must").await;
    screen.click("Save all the same").await;
    screen.sees("Saved.").await;
    screen.misses("Nothing is saved yet").await;
    screen.until("it is saved", "document.getElementById('max_age_days').value === '2'").await;

    let state = story.app.state();
    let app = state.control.ready_apps(None, 1).await.unwrap().remove(0);
    let keep = state.history_kept(&app.retention).unwrap();
    state.engine.prune_history(&app.app_id.schema(), keep).await.unwrap();
    // Its token has ended by now.
    laptop.transport = story.device("ada", "laptop").await.transport;
    laptop.sync().await.unwrap();
    assert_eq!((laptop.tally.of("rebuilds"), phone.tally.of("rebuilds")), (1, 0));
    screen.is_quiet().await;
}
