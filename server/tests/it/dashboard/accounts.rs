//! Signing up, in and out; the password; sessions.

use reqwest::StatusCode;
use time::Duration;

use crate::support::app::{PASSWORD, TestApp};

const SIGN_UP: [(&str, &str); 4] = [
    ("email", "Ada@Example.com"),
    ("password", PASSWORD),
    ("tenant_name", "Zoë's Café"),
    ("tenant_slug", ""),
];

#[tokio::test]
async fn a_person_signs_up_and_is_at_home() {
    let app = TestApp::start().await;
    let mut ada = app.browser();
    let answer = ada.submit("/sign-up", "/sign-up", &SIGN_UP).await;
    assert_eq!(answer.location(), "/d/zoe-s-cafe");
    let home = ada.follow(&answer).await;
    assert_eq!(home.status, StatusCode::OK);
    assert!(home.html.contains("Zoë&#39;s Café"), "{}", home.html);
    // The landing and sign-in pages know who is there.
    assert_eq!(ada.get("/sign-in").await.location(), "/d");
    assert_eq!(ada.get("/d").await.location(), "/d/zoe-s-cafe");

    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let policy = home.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[tokio::test]
async fn sign_up_says_at_each_field_what_is_wrong_and_keeps_what_was_typed() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let fields = [("email", "ada@"), ("password", "short"), ("tenant_name", "  "), ("tenant_slug", "Ad min")];
    let page = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(page.error_at("email"), "Type an email address, like ada@example.com.");
    assert_eq!(page.error_at("password"), "A password needs at least 8 characters.");
    assert_eq!(page.error_at("tenant_name"), "Give it a name.");
    assert_eq!(page.error_at("tenant_slug"), "Use only lowercase letters a–z, digits and dashes.");
    assert_eq!(page.attribute("[name=email]", "value").unwrap(), "ada@");
    assert_eq!(page.attribute("[name=tenant_slug]", "value").unwrap(), "Ad min");
    assert!(!page.html.contains("short"), "the password is shown");
}

#[tokio::test]
async fn addresses_of_people_and_organisations_are_taken_once() {
    let app = TestApp::start().await;
    app.browser().submit("/sign-up", "/sign-up", &SIGN_UP).await.location();
    let page = app
        .browser()
        .submit("/sign-up", "/sign-up", &[&SIGN_UP[1..], &[("email", "ADA@example.COM")]].concat())
        .await;
    assert!(page.error_at("email").contains("There is an account"), "{}", page.html);
    let page = app
        .browser()
        .submit("/sign-up", "/sign-up", &[&SIGN_UP[1..], &[("email", "b@example.com")]].concat())
        .await;
    assert!(page.error_at("tenant_slug").contains("Another organisation"), "{}", page.html);
    let page = app
        .browser()
        .submit(
            "/sign-up",
            "/sign-up",
            &[&SIGN_UP[..2], &[("tenant_name", "日本"), ("tenant_slug", "")]].concat(),
        )
        .await;
    assert!(page.error_at("tenant_slug").contains("Type one"), "{}", page.html);
    let page = app
        .browser()
        .submit("/sign-up", "/sign-up", &[&SIGN_UP[..3], &[("tenant_slug", "admin")]].concat())
        .await;
    assert!(page.error_at("tenant_slug").contains("reserved"), "{}", page.html);
}

#[tokio::test]
async fn a_person_signs_in_goes_on_to_where_they_wanted_and_signs_out() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    let sent = browser.get("/d/acme/members?x=1").await;
    assert_eq!(sent.location(), "/sign-in?next=%2Fd%2Facme%2Fmembers%3Fx%3D1");
    let fields = [("email", "OWNER@acme.example"), ("password", PASSWORD)];
    let answer = browser.submit(&sent.location(), "/sign-in", &fields).await;
    assert_eq!(answer.location(), "/d/acme/members?x=1");
    assert_eq!(browser.follow(&answer).await.status, StatusCode::OK);

    let before = browser.with_the_same_cookies();
    let answer = browser.submit("/d/acme", "/sign-out", &[]).await;
    assert_eq!(answer.location(), "/");
    assert_eq!(browser.cookie(), None);
    let mut thief = before;
    assert!(thief.get("/d/acme").await.location().starts_with("/sign-in"));
}

#[tokio::test]
async fn signing_in_gives_the_session_another_id() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    browser.get("/sign-in").await;
    let planted = browser.with_the_same_cookies();
    browser.sign_in("owner@acme.example").await.location();
    assert_ne!(browser.cookie(), planted.cookie());
    let mut planted = planted;
    assert!(planted.get("/d/acme").await.location().starts_with("/sign-in"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_alike() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut pages = Vec::new();
    for email in ["owner@acme.example", "nobody@acme.example", "no address"] {
        let fields = [("email", email), ("password", "wrong password")];
        let page = app.browser().submit("/sign-in", "/sign-in", &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(page.attribute("[name=email]", "value").unwrap(), email);
        pages.push(page.text("[role=alert]"));
    }
    assert_eq!(pages[0], "The email address or the password is wrong.");
    assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    let fields = [("email", "owner@acme.example"), ("password", "wrong password")];
    for _ in 0..10 {
        let page = browser.submit("/sign-in", "/sign-in", &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let page = browser.sign_in("owner@acme.example").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "the right password does not help either");
    assert!(page.text("[role=alert]").starts_with("Too many tries; try again in"), "{}", page.html);
    app.clock.advance(Duration::seconds(21));
    browser.sign_in("owner@acme.example").await.location();
}

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    let fields = [("email", "owner@acme.example"), ("password", PASSWORD)];
    let fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    // No session at all, a session but no token, another session's token.
    assert_eq!(browser.post("/sign-in", &fields).await.status, StatusCode::FORBIDDEN);
    browser.get("/sign-in").await;
    assert_eq!(browser.post("/sign-in", &fields).await.status, StatusCode::FORBIDDEN);
    let foreign = app.browser().get("/sign-in").await.csrf();
    let with_foreign = [fields.clone(), vec![("csrf_token".to_owned(), foreign)]].concat();
    let page = browser.post("/sign-in", &with_foreign).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.html.contains("This form is out of date"), "{}", page.html);
    assert!(browser.get("/d").await.location().starts_with("/sign-in"));
}

#[tokio::test]
async fn changing_the_password_ends_every_other_session() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let (mut here, mut there) = (app.browser(), app.browser());
    here.sign_in("owner@acme.example").await.location();
    there.sign_in("owner@acme.example").await.location();

    let wrong = [("current", "not my password"), ("new", "a new passphrase")];
    let page = here.submit("/account", "/account/password", &wrong).await;
    assert_eq!(page.error_at("current"), "This is not your present password.");
    let right = [("current", PASSWORD), ("new", "a new passphrase")];
    let answer = here.submit("/account", "/account/password", &right).await;
    let page = here.follow(&answer).await;
    assert!(page.text("[role=status]").contains("signed out everywhere else"), "{}", page.html);
    // Said once.
    assert!(here.get("/account").await.texts("[role=status]").is_empty());

    assert!(there.get("/account").await.location().starts_with("/sign-in"));
    assert_eq!(there.sign_in("owner@acme.example").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [("email", "owner@acme.example"), ("password", "a new passphrase")];
    there.submit("/sign-in", "/sign-in", &fields).await.location();
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    app.clock.advance(Duration::days(13));
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    app.clock.advance(Duration::days(2));
    assert!(browser.get("/account").await.location().starts_with("/sign-in"));
    assert!(app.state().control.remove_expired_sessions().await.unwrap() >= 1);
}

#[tokio::test]
async fn looking_at_pages_writes_no_session_and_strangers_leave_none_for_long() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let sessions = async |pool: &sqlx::PgPool| -> i64 {
        sqlx::query_scalar("select count(*) from platform.session").fetch_one(pool).await.unwrap()
    };
    let pool = app.pool().await;
    let mut browser = app.browser();
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    assert!(browser.get("/d/acme").await.location().starts_with("/sign-in"));
    assert_eq!(sessions(&pool).await, 0, "nothing had to be remembered");

    browser.sign_in("owner@acme.example").await.location();
    for path in ["/d/acme", "/account", "/d/acme/members", "/"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.headers.contains_key("set-cookie"), "{path} changed the session");
    }
    app.browser().get("/sign-up").await;
    app.clock.advance(Duration::hours(5));
    assert_eq!(app.state().control.remove_expired_sessions().await.unwrap(), 1, "the stranger's");
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let (mut here, mut there, mut third) = (app.browser(), app.browser(), app.browser());
    for browser in [&mut here, &mut there, &mut third] {
        browser.sign_in("owner@acme.example").await.location();
        browser.get("/account").await;
    }
    let page = here.get("/account").await;
    assert_eq!(page.texts("#sessions tbody tr").len(), 3, "{}", page.html);
    assert!(page.texts("#sessions td[data-label=Address]").iter().all(|address| address == "127.0.0.1"));
    assert_eq!(page.texts("#sessions form[action$='/end']").len(), 2, "not this one");
    // Nobody ends another person's.
    app.tenant("eves").await;
    let mut eve = app.browser();
    eve.sign_in("owner@eves.example").await.location();
    let handle = page.attribute("#sessions form[action$='/end']", "action").unwrap();
    let csrf = [("csrf_token".to_owned(), eve.get("/account").await.csrf())];
    assert_eq!(eve.post(&handle, &csrf).await.status, StatusCode::NOT_FOUND);

    here.submit("/account", &handle, &[]).await.location();
    let ended = [there.get("/account").await.status, third.get("/account").await.status];
    assert_eq!(ended.iter().filter(|status| status.is_redirection()).count(), 1, "{ended:?}");
    here.submit("/account", "/account/sessions/end-others", &[]).await.location();
    assert!(there.get("/account").await.status.is_redirection());
    assert!(third.get("/account").await.status.is_redirection());
    let events = here.get("/account").await.texts("#events th");
    assert!(events.contains(&"All other sessions were ended".to_owned()), "{events:?}");
}

#[tokio::test]
async fn an_account_is_deleted_unless_an_organisation_would_be_nobodys() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bob = app.member(&acme, "bobs", syncline::control::roles::Role::Developer).await;
    let mut browser = app.browser();
    browser.sign_in(&bob.owner.email).await.location();
    let path = "/account/delete";
    let mut typed = async |password: &str, confirmation: &str| {
        browser
            .submit("/account", path, &[("delete_password", password), ("confirmation", confirmation)])
            .await
    };
    assert_eq!(
        typed("wrong password", "owner@bobs.example").await.error_at("delete_password"),
        "This is not your password."
    );
    assert!(typed(PASSWORD, "bob").await.error_at("confirmation").contains("owner@bobs.example"));
    let page = typed(PASSWORD, "owner@bobs.example").await;
    assert!(page.text("#delete [role=alert]").contains("only owner of Tenant bobs"), "{}", page.html);

    let control = &app.state().control;
    control.delete_tenant(&bob.owner, &Default::default(), &bob.tenant, "Tenant bobs").await.unwrap();
    assert_eq!(typed(PASSWORD, "Owner@Bobs.example").await.location(), "/");
    assert!(browser.get("/account").await.location().starts_with("/sign-in"));
    assert_eq!(browser.sign_in("owner@bobs.example").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(control.members(acme.tenant.tenant_id, None, 100).await.unwrap().len(), 1);
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let log = owner.get("/d/acme/audit?action=member.left").await;
    assert_eq!(log.texts("td[data-label=To]"), ["owner@bobs.example"]);
}

#[tokio::test]
async fn asking_which_addresses_have_accounts_is_slowed_down() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    let fields = [
        ("email", "owner@acme.example"),
        ("password", PASSWORD),
        ("tenant_name", "x"),
        ("tenant_slug", "another"),
    ];
    for _ in 0..20 {
        let page = browser.submit("/sign-up", "/sign-up", &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let page = browser.submit("/sign-up", "/sign-up", &fields).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    // Signing in from there goes on.
    browser.sign_in("owner@acme.example").await.location();
}
