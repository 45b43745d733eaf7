//! The main job, whole: from sign-up to two devices in sync and a conflict on the screen (issue 2).

use std::collections::BTreeMap;

use reqwest::Client;
use serde_json::json;

use super::Screen;
use crate::support::{
    app::{Answer, TestApp},
    device::{
        Device, Resolution,
        schema::{DDL, Profile, RowId, Value},
        transport::Transport,
    },
};

/// Sign up, create an app, publish its tables and issue a key; answers the base URL and the key that the pages show.
pub(super) async fn become_a_tenant(screen: &Screen) -> (String, String) {
    screen.visit("/").await;
    screen.click("Sign up").await;
    screen.fill("Email", "ada@acme.example").await;
    screen.fill("Password", "a long password").await;
    screen.fill("Organisation", "Acme & Söhne").await;
    screen.fill("Name in addresses", "acme").await;
    screen.click("Create account").await;

    screen.sees("Make your first app").await;
    screen.click("New app").await;
    screen.fill("Name", "Field notes").await;
    screen.click("Create app").await;

    screen.sees("Your tables").await;
    screen.fill("CREATE TABLE statements", "CREATE TABLE note (id INTEGER PRIMARY KEY);").await;
    screen.click("Preview").await;
    screen.sees("stands in the way").await;
    screen.fill("CREATE TABLE statements", DDL).await;
    screen.click("Preview").await;
    screen.sees("Adds table folders").await;
    screen.click("Publish version 1").await;
    screen.sees("Version 1, published").await;

    screen.click("API keys").await;
    screen.sees("No keys yet").await;
    screen.fill("Name", "production server").await;
    screen.choose("Secret").await;
    screen.click("Issue key").await;
    screen.sees("This is the only time the whole key is shown").await;
    let key = screen.text(".issued code").await;

    screen.click("Overview").await;
    (screen.text(".base-url code").await, key)
}

/// A device of ada's that speaks to the app as any client does.
async fn device(name: &str, base_url: &str, key: &str) -> Device {
    let client = Client::new();
    let request = client.post(format!("{base_url}/auth/token")).bearer_auth(key);
    let answer = Answer::of(request.json(&json!({ "user_id": "ada" }))).await.json();
    let token = answer["access_token"].as_str().expect("a token for the key").to_owned();
    Device::new(name, Profile::Strings, Transport::new(client, base_url, token))
}

fn folder(title: &str) -> BTreeMap<&'static str, Value> {
    BTreeMap::from([("id", Value::Text("f1".to_owned())), ("title", Value::Text(title.to_owned()))])
}

#[tokio::test]
async fn from_sign_up_to_two_devices_in_sync_and_a_conflict_on_the_screen() {
    let app = TestApp::start().await;
    go_all_the_way(&app, &Screen::at(app.url()).await).await;
}

#[tokio::test]
async fn the_same_without_scripts() {
    let app = TestApp::start().await;
    let screen = Screen::at(app.url()).await;
    screen.forbid_scripts().await;
    go_all_the_way(&app, &screen).await;
}

async fn go_all_the_way(app: &TestApp, screen: &Screen) {
    let (base_url, key) = become_a_tenant(screen).await;
    assert_eq!(base_url, format!("{}/t/acme/field-notes", app.url()));

    let f1 = RowId::new("folders", "f1");
    let (mut phone, mut laptop) =
        (device("phone", &base_url, &key).await, device("laptop", &base_url, &key).await);
    laptop.resolution = Resolution::ServerWins;
    assert!(phone.put(f1.clone(), folder("Plants")));
    phone.sync().await.unwrap();
    laptop.sync().await.unwrap();
    assert_eq!(laptop.rows().get(&f1), Some(&folder("Plants")));
    // Both change the same row, and neither has heard of the other's change.
    assert!(phone.put(f1.clone(), folder("Plants of spring")));
    assert!(laptop.put(f1.clone(), folder("Herbs")));
    phone.sync().await.unwrap();
    laptop.sync().await.unwrap();
    assert_eq!(laptop.tally.of("conflicts"), 1);
    assert_eq!(phone.rows().differences(laptop.rows()), [] as [String; 0]);
    app.state().engine.write_device_facts().await;

    screen.click("Users").await;
    screen.click("ada").await;
    screen.sees("2 bundles").await;
    for name in ["phone", "laptop"] {
        screen.sees(name).await;
    }
    screen.click_in("1 row", "folders").await;
    screen.sees("Plants of spring").await;

    screen.click("Devices").await;
    screen.sees("Installations of your app").await;
    assert_eq!(screen.texts(".table.stack tbody tr").await.len(), 2);
    screen.click("laptop").await;
    screen.sees("Timeline").await;

    screen.click("Conflicts").await;
    screen.click_in("laptop", "folders f1").await;
    screen.sees("The three rows").await;
    assert_eq!(screen.texts(".compare tr.disputed td").await, ["Plants", "Herbs", "Plants of spring"]);

    screen.click("History").await;
    screen.click_in("phone", "2").await;
    screen.sees("Plants of spring").await;

    screen.click("API reference").await;
    screen.sees(&format!("{base_url}/sync/pull")).await;
    screen.sign_out().await;
    screen.is_quiet().await;
}
