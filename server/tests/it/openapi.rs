//! The committed specification is the one the code makes, and it has every URL that programs call.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

fn committed() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/syncline.json")).unwrap()
}

#[test]
fn the_committed_specification_is_current() {
    assert!(
        committed() == syncline::openapi::specification(),
        "openapi/syncline.json is out of date: run `cargo run -- openapi > openapi/syncline.json`"
    );
}

/// `http/routes.rs` is the one list of URLs; what hangs under an app's base URL is for programs and is documented.
#[test]
fn every_url_of_an_app_is_in_the_specification() {
    let routes =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/routes.rs")).unwrap();
    let routed: BTreeSet<String> = routes
        .split('"')
        .filter(|text| text.starts_with("/t/{tenant}/{app}/") && !text.contains("/v/{version}"))
        .map(str::to_owned)
        .collect();
    let specification: Value = serde_json::from_str(&committed()).unwrap();
    let documented: BTreeSet<String> = specification["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(!routed.is_empty());
    assert_eq!(routed, documented);
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    let specification: Value = serde_json::from_str(&committed()).unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in specification["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no operationId"));
            assert!(ids.insert(id.to_owned()), "{name}: the operationId {id} occurs twice");
            assert!(operation["tags"][0].is_string(), "{name} has no tag");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name} says nothing of success");
        }
    }
}
