//! The overview in front of somebody who sets an app up and does not touch the page (issue 4, item 7).

use serde_json::json;

use super::{
    harness::Look,
    story::{Story, writes},
};
use crate::support::device::schema::DDL;

#[tokio::test]
async fn the_first_device_its_first_bundle_and_all_that_follows_appear_by_themselves() {
    let story = Story::of(DDL).await;
    let screen = &story.screen;
    screen.until("it is live", "document.querySelector('.live.on')").await;
    screen.evaluate("window.untouched = true;", json!([])).await;
    screen.sees("Waiting for its first request").await;
    screen.shot("overview-waiting").await;

    let mut phone = story.device("ada", "phone").await;
    phone.sync().await.unwrap();
    screen.sees("The first device has arrived: phone.").await;
    screen.sees("Waiting for the first change").await;
    screen.shot("overview-arrived").await;
    writes(&mut phone, "f1", "Plants").await;
    screen.sees("The first bundle has arrived: your app syncs.").await;
    screen.misses("Waiting for the first change").await;
    screen.until("a bar is drawn", "document.querySelector('#chart-commits .chart-bar')").await;

    // A second device, which loses against the first.
    let laptop = story.plain_device("ada", "laptop").await;
    writes(&mut phone, "f1", "Herbs").await;
    let row = json!({
        "schema": "main", "table": "folders", "key": { "id": "f1" }, "op": "UPDATE", "base_row_version": 1,
        "payload": { "id": "f1", "title": "Stones" },
    });
    laptop.push(1, &[row]).await.refused(409, "push_conflict");
    let figure = |name: &str, value: i32| {
        format!(
            "[...document.querySelectorAll('.figures > div')].some((one) => \
             one.querySelector('dt').innerText.toLowerCase() === '{name}' && one.querySelector('dd').innerText === '{value}')"
        )
    };
    for (name, value) in [("commits, last hour", 2), ("devices", 2), ("open conflicts", 1)] {
        screen.until(&format!("{name}: {value}"), &figure(name, value)).await;
    }
    screen.sees("laptop lost").await;
    screen.until("the page was not loaded anew", "window.untouched").await;

    for (range, said) in [
        ("Week", "in steps of six hours"),
        ("Month", "day by day"),
        ("Hour", "minute by minute"),
        ("Day", "hour by hour"),
    ] {
        screen.click(range).await;
        screen.sees(said).await;
    }
    for chart in ["commits", "rows", "pulls", "failures", "devices", "commit-latency", "pull-latency"] {
        let drawn = format!("document.getElementById('chart-{chart}')");
        screen.until(&format!("there is a chart of {chart}"), &drawn).await;
    }
    for look in [Look::DESKTOP, Look::DESKTOP_DARK, Look::PHONE, Look::PHONE_DARK] {
        screen.look(look).await;
        screen
            .until(
                "nothing is cut off",
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth",
            )
            .await;
        screen.shot("overview").await;
    }
    screen.is_quiet().await;
}
