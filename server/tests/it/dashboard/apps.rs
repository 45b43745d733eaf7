//! Making an app, its keys, its settings and its end.

use reqwest::{Method, StatusCode};
use serde_json::json;
use syncline::tables::spec::WireProfile;

use crate::support::{
    app::{TestApp, TestSyncApp},
    browser::Browser,
};

/// An app and its owner's browser.
async fn owner_of_an_app(app: &TestApp) -> (TestSyncApp, Browser) {
    let notes = app.create_app(WireProfile::Strings, "").await;
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    (notes, browser)
}

async fn mint(app: &TestSyncApp, key: &str) -> StatusCode {
    app.call(Method::POST, "auth/token", key, Some(json!({ "user_id": "ada" }))).await.status
}

#[tokio::test]
async fn an_app_is_made_and_found_at_its_address() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    let form = "/d/acme/apps/new";
    let fields = [("name", "Zoë's Notes"), ("wire_profile", "numbers"), ("logical_schema", "business")];
    let answer = browser.submit(form, form, &fields).await;
    assert_eq!(answer.location(), "/d/acme/zoe-s-notes/schema");
    let live = app.state().directory.find("acme", "zoe-s-notes").await.unwrap().unwrap();
    assert_eq!((live.app.profile, live.app.logical_schema.as_str()), (WireProfile::Numbers, "business"));
    let home = browser.get("/d/acme").await;
    assert!(home.html.contains("Zoë&#39;s Notes"), "{}", home.html);
    assert!(home.html.contains(&format!("{}/t/acme/zoe-s-notes", app.url())), "{}", home.html);
}

#[tokio::test]
async fn the_form_says_at_each_field_what_is_wrong() {
    let app = TestApp::start().await;
    let (_, mut browser) = owner_of_an_app(&app).await;
    let form = "/d/acme/apps/new";
    let fields = [("name", ""), ("slug", "a--b"), ("wire_profile", "fax"), ("logical_schema", "_sync_x")];
    let page = browser.submit(form, form, &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(page.error_at("name"), "Give it a name.");
    assert!(page.error_at("slug").contains("no two dashes in a row"), "{}", page.html);
    assert_eq!(page.error_at("wire_profile"), "Choose one of the two.");
    assert!(page.error_at("logical_schema").starts_with("Use a letter"), "{}", page.html);
    assert_eq!(page.attribute("[name=slug]", "value").unwrap(), "a--b");

    let page = browser.submit(form, form, &[("name", "Notes"), ("slug", "notes")]).await;
    assert!(page.error_at("slug").contains("has an app at this address"), "{}", page.html);
}

#[tokio::test]
async fn a_key_is_shown_once_and_revoked() {
    let app = TestApp::start().await;
    let (notes, mut browser) = owner_of_an_app(&app).await;
    let keys = "/d/acme/notes/keys";
    let fields = [("name", "backend"), ("kind", "secret"), ("scope_tokens", "on"), ("expires_in_days", "30")];
    let page = browser.submit(keys, keys, &fields).await;
    assert_eq!((page.status, &page.headers["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
    let token = page.text(".issued pre");
    assert!(token.starts_with("sk_live_"), "{token}");
    assert_eq!(mint(&notes, &token).await, StatusCode::OK);

    let listed = browser.get(keys).await;
    assert!(!listed.html.contains(&token) && listed.html.contains("backend"), "{}", listed.html);
    let revoke = listed.attribute("form[action*=revoke]", "action").unwrap();
    let answer = browser.submit(keys, &revoke, &[]).await;
    assert_eq!(answer.location(), keys);
    assert!(browser.follow(&answer).await.text("[role=status]").contains("revoked"));
    assert_eq!(mint(&notes, &token).await, StatusCode::UNAUTHORIZED);

    for (fields, field) in [
        ([("name", ""), ("kind", "secret"), ("expires_in_days", "")], "name"),
        ([("name", "x"), ("kind", "magic"), ("expires_in_days", "")], "kind"),
        ([("name", "x"), ("kind", "publishable"), ("expires_in_days", "-1")], "expires_in_days"),
    ] {
        let page = browser.submit(keys, keys, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!page.error_at(field).is_empty(), "{field}: {}", page.html);
    }
}

#[tokio::test]
async fn settings_are_kept_checked_and_shown_again_without_the_secret() {
    let app = TestApp::start().await;
    let (_, mut browser) = owner_of_an_app(&app).await;
    let settings = "/d/acme/notes/settings";
    let fields = [("name", "Better notes"), ("min_bundles", "500"), ("max_age_days", "")];
    let answer = browser.submit(settings, settings, &fields).await;
    let page = browser.follow(&answer).await;
    assert_eq!(page.attribute("[name=min_bundles]", "value").unwrap(), "500");
    assert!(page.html.contains("Better notes"));
    let page = browser.submit(settings, settings, &[("name", " "), ("max_age_days", "0")]).await;
    assert_eq!(page.error_at("name"), "Give it a name.");
    assert!(page.error_at("max_age_days").starts_with("Type a number of days"), "{}", page.html);

    let auth = "/d/acme/notes/settings/end-user-auth";
    let secret = "an hs256 secret of ours";
    let fields = [("jwt_hs256_secret", secret), ("issuer", "https://us.example"), ("user_claim", "uid")];
    let answer = browser.submit(settings, auth, &fields).await;
    let page = browser.follow(&answer).await;
    assert!(!page.html.contains(secret));
    assert_eq!(page.attribute("[name=issuer]", "value").unwrap(), "https://us.example");
    let page = browser.submit(settings, auth, &[("jwt_hs256_secret", "short"), ("issuer", "x")]).await;
    assert_eq!(page.error_at("jwt_hs256_secret"), "An HS256 secret has 16 to 1024 characters.");
    assert_eq!(page.attribute("[name=issuer]", "value").unwrap(), "x");
    let page = browser.submit(settings, auth, &[("clock_skew_seconds", "soon")]).await;
    assert_eq!(page.error_at("clock_skew_seconds"), "The clock skew is 0 to 600 seconds.");
}

#[tokio::test]
async fn a_token_can_be_tested() {
    let app = TestApp::start().await;
    let (notes, mut browser) = owner_of_an_app(&app).await;
    let (settings, test) = ("/d/acme/notes/settings", "/d/acme/notes/settings/test-token");
    let token = notes.token_in_scope("ada", "team-7").await;
    let page = browser.submit(settings, test, &[("token", &token)]).await;
    assert!(page.html.contains("team-7"), "{}", page.html);
    let page = browser.submit(settings, test, &[("token", "eyJhbGciOiJub25lIn0.e30.")]).await;
    assert!(page.html.contains("alg none; only HS256 is accepted"), "{}", page.html);
}

#[tokio::test]
async fn an_app_is_deleted_when_its_name_is_typed() {
    let app = TestApp::start().await;
    let (notes, mut browser) = owner_of_an_app(&app).await;
    let (settings, delete) = ("/d/acme/notes/settings", "/d/acme/notes/settings/delete");
    let page = browser.submit(settings, delete, &[("confirmation", "notes")]).await;
    assert_eq!(page.error_at("confirmation"), "Type the app's name: App notes");
    assert_eq!(mint(&notes, &notes.secret_key).await, StatusCode::OK);

    let answer = browser.submit(settings, delete, &[("confirmation", "App notes")]).await;
    assert_eq!(answer.location(), "/d/acme");
    assert!(browser.follow(&answer).await.text("[role=status]").contains("App notes is deleted"));
    assert_eq!(mint(&notes, &notes.secret_key).await, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(settings).await.status, StatusCode::NOT_FOUND);
}
