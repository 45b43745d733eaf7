//! What happened to a row, and the ways back (issue 4, item 4).

use super::story::{Story, folder, title_on, writes};
use crate::support::device::{Device, schema::DDL};

/// Two devices of ada that both have the folders f1 and f2: bundles 1 and 2.
async fn start() -> (Story, Device, Device) {
    let story = Story::of(DDL).await;
    let (mut phone, mut laptop) = (story.device("ada", "phone").await, story.device("ada", "laptop").await);
    writes(&mut phone, "f1", "Plants").await;
    writes(&mut phone, "f2", "Stones").await;
    laptop.sync().await.unwrap();
    story.facts_are_written().await;
    (story, phone, laptop)
}

#[tokio::test]
async fn an_old_version_and_an_erased_row_come_back_on_every_device() {
    let (story, mut phone, mut laptop) = start().await;
    let screen = &story.screen;
    writes(&mut laptop, "f1", "Herbs").await;
    laptop.delete(&folder("f2"));
    laptop.sync().await.unwrap();

    screen.click("Tables").await;
    screen.click("folders").await;
    screen.click("f1").await;
    screen.sees("last touched by bundle 3").await;
    screen.click("History of the row").await;
    screen.sees("every version that is retained").await;
    assert_eq!(screen.texts(".versions tbody th").await, ["3 current", "1"]);
    let (by, changed) = (".versions tbody td[data-label=By]", ".versions del, .versions ins");
    let writers = screen.texts(by).await;
    assert!(writers[0].starts_with("laptop ada") && writers[1].starts_with("phone ada"), "{writers:?}");
    assert_eq!(screen.texts(changed).await[..2], ["Plants", "Herbs"]);
    screen.click("Restore version 1…").await;
    screen.sees("1 row in folders changes; 2 devices receive this as bundle 5.").await;
    assert_eq!(screen.texts(".write-rows del, .write-rows ins").await, ["Herbs", "Plants"]);
    screen.click("Restore version 1").await;
    screen.sees("Done, as bundle 5. Devices receive it when they sync next.").await;
    screen.sees("owner@acme.example").await;

    screen.click("← 4").await;
    screen.sees("the row is gone").await;
    screen.click("History of the row").await;
    screen.sees("Bundle 4 deleted it.").await;
    screen.click("Restore version 2…").await;
    screen.sees("2 devices receive this as bundle 6.").await;
    screen.click("Restore version 2").await;
    screen.sees("Done, as bundle 6.").await;
    for device in [&mut phone, &mut laptop] {
        device.sync().await.unwrap();
        assert_eq!(title_on(device, "f1").as_deref(), Some("Plants"));
        assert_eq!(title_on(device, "f2").as_deref(), Some("Stones"));
    }
    // And from the history back to the row.
    screen.click("History of the row").await;
    screen.click("Open the row").await;
    screen.sees("last touched by bundle 6").await;
    screen.is_quiet().await;
}

#[tokio::test]
async fn a_bundle_is_undone_and_what_happened_later_stays_unless_it_is_chosen() {
    let (story, mut phone, mut laptop) = start().await;
    let screen = &story.screen;
    // Bundle 3 changes both folders, bundle 4 one of them again.
    assert!(laptop.put(folder("f1"), super::story::titled("f1", "Herbs")));
    writes(&mut laptop, "f2", "Pebbles").await;
    phone.sync().await.unwrap();
    writes(&mut phone, "f2", "Rocks").await;

    screen.click("History").await;
    screen.click_in("laptop", "3").await;
    screen.sees("You see first what that does.").await;
    screen.click("Undo this bundle…").await;
    screen.sees("A later bundle touched one of the rows").await;
    screen.sees("1 row in folders changes; 2 devices receive this as bundle 5.").await;
    assert_eq!(screen.texts(".write-rows del, .write-rows ins").await, ["Herbs", "Plants"]);
    screen.choose_in("changed by bundle 4", "folders f2").await;
    screen.click("Show what that would do").await;
    screen.sees("2 rows in folders change; 2 devices receive this as bundle 5.").await;
    screen.choose_in("changed by bundle 4", "folders f2").await;
    screen.click("Show what that would do").await;
    screen.sees("1 row in folders changes").await;
    screen.click("Undo bundle 3").await;
    screen.sees("Done, as bundle 5.").await;
    for device in [&mut phone, &mut laptop] {
        device.sync().await.unwrap();
        assert_eq!(title_on(device, "f1").as_deref(), Some("Plants"));
        assert_eq!(title_on(device, "f2").as_deref(), Some("Rocks"));
    }
    screen.is_quiet().await;
}
