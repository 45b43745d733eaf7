//! The quick start of README.md, step by step, on the real program; what is pasted is taken from the README.

use std::{fs, path::Path, process::Command, time::Duration};

use reqwest::StatusCode;

use crate::support::{browser::Browser, server::RealServer};

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What step 3 says to paste.
fn pasted_tables() -> String {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let after = readme.split("```sql").nth(1).expect("the README has tables to paste");
    after.split("```").next().unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_quick_start_ends_with_two_devices_in_sync_and_a_conflict_on_the_screen() {
    let server = RealServer::start().await;
    let mut person = Browser::new(&server.base_url());

    let sign_up = [("email", "ada@example.com"), ("password", "a long password"), ("tenant_name", "acme")];
    let home = person.submit("/sign-up", "/sign-up", &sign_up).await;
    assert_eq!(home.location(), "/d/acme");

    let app = person.submit("/d/acme/apps/new", "/d/acme/apps/new", &[("name", "notes")]).await;
    assert!(app.location().starts_with("/d/acme/notes"), "{}", app.location());

    let (schema, preview) = ("/d/acme/notes/schema", "/d/acme/notes/schema/preview");
    let apply = "/d/acme/notes/schema/apply";
    let shown = person.submit(schema, preview, &[("ddl", &pasted_tables())]).await;
    let published = person.post(apply, &shown.form(apply)).await;
    assert!(published.status.is_redirection(), "{}", published.html);

    let keys = "/d/acme/notes/keys";
    let new_key = [("name", "quick start"), ("kind", "secret"), ("scope_tokens", "on")];
    let key = person.submit(keys, keys, &new_key).await.text(".issued code");

    let base_url = format!("{}/t/acme/notes", server.base_url());
    let devices =
        Command::new(repository().join("deploy/two-devices")).args([&base_url, &key]).output().unwrap();
    let printed = String::from_utf8(devices.stdout).unwrap();
    assert!(devices.status.success(), "{printed}{}", String::from_utf8_lossy(&devices.stderr));
    assert!(printed.contains("\"error\":\"push_conflict\""), "{printed}");
    let last_pull = printed.rsplit("==>").nth(1).unwrap();
    assert!(last_pull.contains("\"body\":\"Buy oat milk\"") && !last_pull.contains("two milks"), "{printed}");
    let (_, named) = printed.trim_end().rsplit_once(" at ").unwrap();

    let conflicts = person.get(named.strip_prefix(&server.base_url()).unwrap()).await;
    assert_eq!(conflicts.status, StatusCode::OK);
    let conflict = person.get(&conflicts.attribute("tbody th a", "href").unwrap()).await;
    for version in ["Buy milk", "Buy oat milk", "Buy two milks"] {
        assert!(conflict.text(".compare").contains(version), "{version}: {}", conflict.html);
    }
    // What devices did is written down within a second or two.
    while person.get("/d/acme/notes/devices").await.texts("tbody tr").len() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
