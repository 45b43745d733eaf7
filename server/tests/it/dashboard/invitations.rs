//! Inviting people by a link, and what becomes of the link.

use reqwest::StatusCode;
use syncline::control::roles::Role;
use time::Duration;

use crate::support::{
    app::{PASSWORD, TestApp},
    browser::{Browser, Page},
};

const MEMBERS: &str = "/d/acme/members";
const INVITATIONS: &str = "/d/acme/invitations";

/// The path of a new link, made by whoever sits at the browser.
async fn invite(browser: &mut Browser, role: &str, note: &str) -> String {
    let page = browser.submit(MEMBERS, INVITATIONS, &[("role", role), ("note", note)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    let link = page.text(".issued pre");
    format!("/invite/{}", link.split("/invite/").nth(1).unwrap())
}

async fn owner(app: &TestApp) -> Browser {
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    owner
}

/// A page that says why a link is of no use, with that status.
fn over(page: &Page, status: StatusCode, says: &str) {
    assert_eq!(page.status, status, "{}", page.html);
    assert!(page.text("main").contains(says), "{}", page.html);
}

#[tokio::test]
async fn a_person_without_an_account_joins_by_the_link() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut owner = owner(&app).await;
    let link = invite(&mut owner, "developer", "bob@example.com").await;
    // Shown once, listed without it.
    let page = owner.get(MEMBERS).await;
    assert!(page.html.contains("bob@example.com") && !page.html.contains(&link), "{}", page.html);

    let mut bob = app.browser();
    let page = bob.get(&link).await;
    let text = page.text("main");
    assert!(
        text.contains("owner@acme.example invites you")
            && text.contains("Tenant acme")
            && text.contains("developer"),
        "{text}"
    );
    let sign_up = format!("{link}/sign-up");
    let page = bob.submit(&sign_up, &sign_up, &[("password", "short")]).await;
    assert_eq!(page.error_at("password"), "A password needs at least 8 characters.");
    assert_eq!(page.attribute("[name=email]", "value").unwrap(), "bob@example.com");
    let answer = bob.submit(&sign_up, &sign_up, &[("password", PASSWORD)]).await;
    assert_eq!(answer.location(), "/d/acme");
    assert_eq!(bob.follow(&answer).await.status, StatusCode::OK);
    // No organisation of his own was made on the way.
    assert_eq!(bob.get("/d").await.location(), "/d/acme");
    assert_eq!(bob.get("/d/acme/apps/new").await.status, StatusCode::OK);
    assert_eq!(bob.get("/d/acme/settings").await.status, StatusCode::FORBIDDEN);
    let log = owner.get("/d/acme/audit?action=member.joined").await;
    assert!(log.text("td[data-label=Details]").contains("developer"), "{}", log.html);
}

#[tokio::test]
async fn a_person_with_an_account_is_led_through_sign_in_and_accepts() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    app.tenant("bobs").await;
    let link = invite(&mut owner(&app).await, "viewer", "").await;
    let mut bob = app.browser();
    let page = bob.get(&link).await;
    let to_sign_in = page.attribute("a[href^='/sign-in']", "href").unwrap();
    let fields = [("email", "owner@bobs.example"), ("password", PASSWORD)];
    let answer = bob.submit(&to_sign_in, "/sign-in", &fields).await;
    assert_eq!(answer.location(), link);
    let answer = bob.submit(&link, &format!("{link}/accept"), &[]).await;
    assert_eq!(answer.location(), "/d/acme");
    assert!(bob.follow(&answer).await.text("[role=status]").contains("You are a member of Tenant acme"));
}

#[tokio::test]
async fn a_link_is_good_once_whoever_has_it() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut owner = owner(&app).await;
    let link = invite(&mut owner, "admin", "").await;
    let mut browsers = Vec::new();
    for slug in ["bobs", "eves"] {
        app.tenant(slug).await;
        let mut browser = app.browser();
        browser.sign_in(&format!("owner@{slug}.example")).await.location();
        browsers.push((browser.get(&link).await.form(&format!("{link}/accept")), browser));
    }
    let accept = format!("{link}/accept");
    let [(bobs, mut bob), (eves, mut eve)] = <[_; 2]>::try_from(browsers).ok().unwrap();
    let (one, two) = tokio::join!(bob.post(&accept, &bobs), eve.post(&accept, &eves));
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::SEE_OTHER, StatusCode::GONE]);
    over(&app.browser().get(&link).await, StatusCode::GONE, "was used already");
    over(&app.browser().get(&format!("{link}/sign-up")).await, StatusCode::GONE, "was used already");
    assert_eq!(owner.get(MEMBERS).await.texts("th[data-label=Person]").len(), 2);
}

#[tokio::test]
async fn links_that_expired_were_revoked_or_never_were_are_of_no_use() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut owner = owner(&app).await;
    let (link, revoked) =
        (invite(&mut owner, "viewer", "first").await, invite(&mut owner, "viewer", "second").await);
    let action = owner.get(MEMBERS).await.attribute("form[action$='/revoke']", "action").unwrap();
    owner.submit(MEMBERS, &action, &[]).await.location();
    over(&app.browser().get(&revoked).await, StatusCode::GONE, "was revoked");
    over(&app.browser().get("/invite/nonsense").await, StatusCode::NOT_FOUND, "no such invitation");

    assert_eq!(app.browser().get(&link).await.status, StatusCode::OK);
    app.clock.advance(Duration::days(7) + Duration::SECOND);
    over(&app.browser().get(&link).await, StatusCode::GONE, "has expired");
    assert!(owner.get(MEMBERS).await.texts("th[data-label=For]").is_empty());
    app.clock.advance(Duration::days(31));
    assert_eq!(app.state().control.remove_old_invitations().await.unwrap(), 2);
}

#[tokio::test]
async fn a_link_for_a_lower_role_changes_nothing_for_a_member() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.member(&acme, "bobs", Role::Admin).await;
    let link = invite(&mut owner(&app).await, "viewer", "").await;
    let mut bob = app.browser();
    bob.sign_in("owner@bobs.example").await.location();
    let page = bob.get(&link).await;
    assert!(page.text("main").contains("admin here already"), "{}", page.html);
    let csrf = [("csrf_token".to_owned(), page_csrf(&mut bob).await)];
    let answer = bob.post(&format!("{link}/accept"), &csrf).await;
    assert!(bob.follow(&answer).await.text("[role=alert]").contains("You are admin here already"));
    assert_eq!(bob.get("/d/acme/settings").await.status, StatusCode::OK, "still an admin");
    assert_eq!(app.browser().get(&link).await.status, StatusCode::OK, "still good for somebody else");
}

async fn page_csrf(browser: &mut Browser) -> String {
    browser.get("/account").await.csrf()
}

#[tokio::test]
async fn nobody_invites_above_their_role_and_links_go_with_their_makers_role() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bob = app.member(&acme, "bobs", Role::Admin).await;
    let mut admin = app.browser();
    admin.sign_in("owner@bobs.example").await.location();
    let page = admin.submit(MEMBERS, INVITATIONS, &[("role", "owner")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.error_at("role").contains("your own role"), "{}", page.html);
    for (field, value, says) in
        [("role", "king", "Choose a role"), ("days", "31", "from 1 to 30"), ("days", "x", "from 1 to 30")]
    {
        let page = admin.submit(MEMBERS, INVITATIONS, &[("role", "viewer"), (field, value)]).await;
        assert!(page.error_at(field).contains(says), "{field}={value}: {}", page.html);
    }

    let link = invite(&mut admin, "admin", "a friend").await;
    let mut owner = owner(&app).await;
    let change = format!("{MEMBERS}/{}/role", bob.owner.account_id);
    owner.submit(MEMBERS, &change, &[("role", "developer")]).await.location();
    over(&app.browser().get(&link).await, StatusCode::GONE, "was revoked");
    // Not even when the role comes back.
    owner.submit(MEMBERS, &change, &[("role", "admin")]).await.location();
    over(&app.browser().get(&link).await, StatusCode::GONE, "was revoked");
}
