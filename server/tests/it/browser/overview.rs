//! The overview in front of somebody who sets an app up and does not touch the page.

use std::collections::BTreeMap;

use reqwest::Client;
use syncline::tables::spec::WireProfile;

use super::{harness::Look, screen_of_the_owner};
use crate::support::{
    app::TestApp,
    device::{
        Device,
        schema::{DDL, Profile, RowId, Value},
        transport::Transport,
    },
};

#[tokio::test]
async fn the_first_device_and_its_first_bundle_appear_by_themselves() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let screen = screen_of_the_owner(&app).await;
    screen.visit("/d/acme/notes").await;
    screen.until("it is live", "document.querySelector('.live.on')").await;
    screen.sees("Waiting for its first request").await;
    screen.shot("overview-waiting").await;

    let transport = Transport::new(Client::new(), &notes.base_url, notes.token("ada").await);
    let mut phone = Device::new("phone", Profile::Strings, transport);
    phone.sync().await.unwrap();
    screen.sees("The first device has arrived: phone.").await;
    screen.sees("Waiting for the first change").await;
    screen.shot("overview-arrived").await;
    let title =
        BTreeMap::from([("id", Value::Text("f1".to_owned())), ("title", Value::Text("Plants".to_owned()))]);
    assert!(phone.put(RowId::new("folders", "f1"), title));
    phone.sync().await.unwrap();
    screen.sees("The first bundle has arrived: your app syncs.").await;
    screen.misses("Waiting for the first change").await;
    screen.until("a bar is drawn", "document.querySelector('#chart-commits .chart-bar')").await;

    screen.click("Day").await;
    screen.sees("hour by hour").await;
    for look in [Look::DESKTOP, Look::DESKTOP_DARK, Look::PHONE, Look::PHONE_DARK] {
        screen.look(look).await;
        screen.until("nothing is cut off", "document.documentElement.scrollWidth <= innerWidth").await;
        screen.shot("overview").await;
    }
    screen.is_quiet().await;
}
