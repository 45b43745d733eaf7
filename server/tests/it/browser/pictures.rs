//! The pictures in README.md. Made when somebody asks for them, `just pictures`, and looked at before they are committed.

use serde_json::json;
use syncline::tables::spec::WireProfile;
use time::Duration;

use super::{Screen, harness::Look, screen_of_the_owner};
use crate::support::{
    app::{TestApp, TestSyncApp},
    furnished::PlainDevice,
};

const DDL: &str = "
    create table site (id text primary key not null, name text not null unique, elevation integer check (elevation >= 0));
    create table sighting (
        id text primary key not null,
        site_id text references site (id) on delete cascade,
        species text not null,
        seen_on text,
        certain boolean
    );";

const SPECIES: [&str; 8] = [
    "Gentiana clusii",
    "Leontopodium nivale",
    "Saxifraga oppositifolia",
    "Primula auricula",
    "Nigritella nigra",
    "Androsace alpina",
    "Ranunculus glacialis",
    "Soldanella pusilla",
];

fn site(op: &str, base: i64, name: &str, elevation: i64) -> serde_json::Value {
    json!({
        "schema": "main", "table": "site", "key": { "id": "gornergrat" }, "op": op, "base_row_version": base,
        "payload": { "id": "gornergrat", "name": name, "elevation": elevation.to_string() },
    })
}

fn sighting(number: usize, species: &str) -> serde_json::Value {
    let id = format!("sighting-{number:02}");
    json!({
        "schema": "main", "table": "sighting", "key": { "id": id }, "op": "INSERT", "base_row_version": 0,
        "payload": {
            "id": id, "site_id": "gornergrat", "species": species, "seen_on": format!("2026-07-{:02}", number + 1),
            "certain": if number.is_multiple_of(3) { "0" } else { "1" },
        },
    })
}

/// Botanists with phones, of whom one disagrees and one cannot count.
async fn fill(app: &TestApp) -> TestSyncApp {
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let pool = app.pool().await;
    for sql in
        ["update platform.tenant set name = 'Alpine Botany'", "update platform.app set name = 'Field notes'"]
    {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    let phone = PlainDevice::connected(&notes, "ada", "ada-pixel-9").await;
    phone.commits(1, &[site("INSERT", 0, "Gornergrat", 3089)]).await;
    let tablet = PlainDevice::connected(&notes, "ada", "ada-ipad").await;
    let mut others = Vec::new();
    for user in ["grace", "katherine", "dorothy"] {
        let device = PlainDevice::connected(&notes, user, &format!("{user}-phone")).await;
        device.commits(1, &[site("INSERT", 0, "Gornergrat", 3089)]).await;
        others.push((device, 1));
    }
    // A forenoon in the field, in less than an hour.
    for (number, species) in SPECIES.iter().enumerate() {
        app.clock.advance(Duration::minutes(5));
        phone.commits(number as i64 + 2, &[sighting(number, species)]).await;
        tablet.pulls().await;
        for (device, committed) in others.iter_mut().take(number % 4) {
            *committed += 1;
            device.commits(*committed, &[sighting(number, species)]).await;
            device.pulls().await;
        }
    }
    phone.commits(10, &[site("UPDATE", 1, "Gornergrat, south face", 3089)]).await;
    phone.pulls().await;
    tablet.push(1, &[site("UPDATE", 1, "Gornergrat, upper station", 3090)]).await;
    let (device, committed) = &others[0];
    device.push(*committed + 1, &[site("UPDATE", 1, "Rotenboden", -2815)]).await;
    app.state().engine.write_device_facts().await;
    app.state().engine.write_rollups().await;
    notes
}

async fn picture(screen: &Screen, look: Look, path: &str, name: &str) {
    screen.look(look).await;
    screen.visit(path).await;
    screen.shot(name).await;
}

#[tokio::test]
#[ignore = "makes the pictures of README.md: just pictures"]
async fn pictures_of_the_dashboard() {
    let app = TestApp::start().await;
    fill(&app).await;
    let screen = screen_of_the_owner(&app).await;
    screen.without_scroll_bars().await;
    let (wide, dark) = (Look { height: 860, ..Look::DESKTOP }, Look { height: 860, ..Look::DESKTOP_DARK });
    picture(&screen, wide, "/d/acme/notes", "overview").await;
    picture(&screen, dark, "/d/acme/notes/devices/grace/grace-phone", "device").await;
    screen.look(wide).await;
    screen.visit("/d/acme/notes/conflicts").await;
    screen.click("site gornergrat").await;
    screen.sees("The three rows").await;
    screen.shot("conflict").await;
    picture(&screen, Look::PHONE_DARK, "/d/acme/notes/devices", "phone").await;

    screen.look(wide).await;
    screen.visit("/d/acme/notes/simulator").await;
    screen.click("Let two devices sync").await;
    screen.sees("Row by row and version by version the two are the same.").await;
    screen.evaluate("document.querySelector('.sim-step.warn').scrollIntoView();", json!([])).await;
    screen.shot("simulator").await;
}

#[tokio::test]
#[ignore = "makes pictures of the pages with ordinary data, to be looked at"]
async fn pictures_of_ordinary_pages() {
    let app = TestApp::start().await;
    fill(&app).await;
    let screen = screen_of_the_owner(&app).await;
    for look in [Look::DESKTOP, Look::DESKTOP_DARK, Look::PHONE, Look::PHONE_DARK] {
        screen.look(look).await;
        for (name, path) in ORDINARY {
            screen.visit(path).await;
            screen.shot_of_the_page(&format!("ordinary/{name}-{}", look.name)).await;
        }
        for (name, list) in [("conflict", "conflicts"), ("rejected-write", "rejected")] {
            screen.visit(&format!("/d/acme/notes/{list}")).await;
            screen.click(&screen.text(".table.stack tbody th a").await).await;
            screen.sees("Facts").await;
            screen.shot_of_the_page(&format!("ordinary/{name}-{}", look.name)).await;
        }
    }
}

const ORDINARY: [(&str, &str); 15] = [
    ("overview", "/d/acme/notes"),
    ("tables", "/d/acme/notes/tables"),
    ("table", "/d/acme/notes/tables/sighting"),
    ("row", "/d/acme/notes/tables/site/row?scope=ada&key=gornergrat"),
    ("row-history", "/d/acme/notes/history/ada/rows/site/gornergrat"),
    ("users", "/d/acme/notes/users"),
    ("user", "/d/acme/notes/users/ada"),
    ("devices", "/d/acme/notes/devices"),
    ("device", "/d/acme/notes/devices/grace/grace-phone"),
    ("conflicts", "/d/acme/notes/conflicts"),
    ("rejected", "/d/acme/notes/rejected"),
    ("history", "/d/acme/notes/history"),
    ("bundle", "/d/acme/notes/history/ada/10"),
    ("map", "/d/acme/notes/schema/map"),
    ("members", "/d/acme/members"),
];
