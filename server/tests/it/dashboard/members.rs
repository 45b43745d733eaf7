//! Members and their roles, and the audit log that tells what they did.

use reqwest::StatusCode;
use syncline::{
    control::{
        accounts::Account,
        members::{MemberAdmin, Role},
    },
    tables::spec::WireProfile,
};

use crate::support::{
    app::{TestApp, TestTenant},
    browser::Browser,
};

const MEMBERS: &str = "/d/acme/members";

/// A browser of somebody who has that role in `acme`.
async fn member(app: &TestApp, acme: &TestTenant, slug: &str, role: Role) -> (TestTenant, Browser) {
    let other = app.tenant(slug).await;
    let by = MemberAdmin { tenant: &acme.tenant, actor: acme.owner.actor(), role: Role::Owner };
    let email = syncline::control::accounts::Email::parse(&other.owner.email).unwrap();
    app.state().control.add_member(&by, &email, role).await.unwrap();
    let mut browser = app.browser();
    browser.sign_in(&other.owner.email).await.location();
    (other, browser)
}

#[tokio::test]
async fn a_member_is_added_changed_and_removed() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bob = app.tenant("bobs").await;
    let mut owner = app.browser();
    owner.sign_in(&acme.owner.email).await.location();
    let answer = owner.submit(MEMBERS, MEMBERS, &[("email", "OWNER@bobs.example"), ("role", "viewer")]).await;
    assert_eq!(answer.location(), MEMBERS);

    let mut browser = app.browser();
    browser.sign_in(&bob.owner.email).await.location();
    assert_eq!(browser.get("/d/acme").await.status, StatusCode::OK);
    // Two organisations now: a choice of them.
    let choice = browser.get("/d").await;
    assert!(choice.html.contains("Tenant acme") && choice.html.contains("Tenant bobs"), "{}", choice.html);

    let change = format!("{MEMBERS}/{}/role", bob.owner.account_id);
    assert_eq!(browser.get("/d/acme/apps/new").await.status, StatusCode::FORBIDDEN);
    owner.submit(MEMBERS, &change, &[("role", "developer")]).await.location();
    assert_eq!(browser.get("/d/acme/apps/new").await.status, StatusCode::OK);

    let remove = format!("{MEMBERS}/{}/remove", bob.owner.account_id);
    owner.submit(MEMBERS, &remove, &[]).await.location();
    assert_eq!(browser.get("/d/acme").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_form_says_what_is_wrong() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut owner = app.browser();
    owner.sign_in(&acme.owner.email).await.location();
    for (email, role, field, says) in [
        ("nobody@example.com", "viewer", "email", "Ask the person to sign up first"),
        ("nobody", "viewer", "email", "Type an email address"),
        ("owner@acme.example", "viewer", "email", "This account is a member already."),
        ("nobody@example.com", "king", "role", "Choose a role."),
    ] {
        let page = owner.submit(MEMBERS, MEMBERS, &[("email", email), ("role", role)]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.error_at(field).contains(says), "{email} {role}: {}", page.html);
    }
}

#[tokio::test]
async fn a_tenant_keeps_an_owner_and_only_owners_touch_owners() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (bob, mut admin) = member(&app, &acme, "bobs", Role::Admin).await;
    let control = &app.state().control;
    let by_owner = MemberAdmin { tenant: &acme.tenant, actor: acme.owner.actor(), role: Role::Owner };
    let by_admin = MemberAdmin { tenant: &acme.tenant, actor: bob.owner.actor(), role: Role::Admin };
    let says =
        async |outcome: Result<(), syncline::control::members::MemberError>| outcome.unwrap_err().to_string();
    let (ada, bob) = (acme.owner.account_id, bob.owner.account_id);
    let last = "a tenant needs at least one owner";
    assert_eq!(says(control.remove_member(&by_owner, ada).await).await, last);
    assert_eq!(says(control.change_role(&by_owner, ada, Role::Viewer).await).await, last);
    let owners = "only an owner may make, change or remove an owner";
    assert_eq!(says(control.remove_member(&by_admin, ada).await).await, owners);
    assert_eq!(says(control.change_role(&by_admin, ada, Role::Viewer).await).await, owners);
    assert_eq!(says(control.change_role(&by_admin, bob, Role::Owner).await).await, owners);
    // The page does not offer what would be refused, and says so when it is asked all the same.
    let page = admin.get(MEMBERS).await;
    assert!(!page.html.contains(&format!("{ada}/remove")), "{}", page.html);
    let csrf = vec![("csrf_token".to_owned(), page.csrf()), ("role".to_owned(), "viewer".to_owned())];
    let answer = admin.post(&format!("{MEMBERS}/{ada}/role"), &csrf).await;
    assert!(admin.follow(&answer).await.text("[role=alert]").contains("Only an owner"), "{}", answer.html);

    control.change_role(&by_owner, bob, Role::Owner).await.unwrap();
    control.remove_member(&by_owner, ada).await.unwrap();
    assert_eq!(control.members(acme.tenant.tenant_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_owners_who_remove_each_other_at_once_leave_one() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (bob, _) = member(&app, &acme, "bobs", Role::Owner).await;
    let control = &app.state().control;
    let by =
        |account: &Account| MemberAdmin { tenant: &acme.tenant, actor: account.actor(), role: Role::Owner };
    let (ada, eve) = (by(&acme.owner), by(&bob.owner));
    let (one, two) = tokio::join!(
        control.remove_member(&ada, bob.owner.account_id),
        control.remove_member(&eve, acme.owner.account_id),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(control.members(acme.tenant.tenant_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_role_may_do_what_it_says_and_no_more() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let acme = &notes.owner;
    let (ok, no) = (StatusCode::OK, StatusCode::FORBIDDEN);
    for (slug, role, keys, add_member, delete) in [
        ("viewers", Role::Viewer, no, no, no),
        ("developers", Role::Developer, StatusCode::UNPROCESSABLE_ENTITY, no, no),
        (
            "admins",
            Role::Admin,
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (_, mut browser) = member(&app, acme, slug, role).await;
        let page = browser.get("/d/acme/notes/settings").await;
        assert_eq!(page.status, ok, "{role}");
        let csrf = vec![("csrf_token".to_owned(), page.csrf())];
        assert_eq!(browser.post("/d/acme/notes/keys", &csrf).await.status, keys, "{role} keys");
        assert_eq!(browser.post(MEMBERS, &csrf).await.status, add_member, "{role} members");
        assert_eq!(
            browser.post("/d/acme/notes/settings/delete", &csrf).await.status,
            delete,
            "{role} delete"
        );
        let offered = page.texts("form[action*='settings/delete']").len();
        assert_eq!(offered, usize::from(role >= Role::Admin), "{role}");
    }
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_page_by_page() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "create table t (id text primary key not null);").await;
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let page = owner.get("/d/acme/audit").await;
    let actions = page.texts("td[data-label=What]");
    assert_eq!(
        actions,
        ["api_key.issued", "api_key.issued", "schema.published", "app.created", "tenant.created"]
    );
    assert!(page.texts("td[data-label=Who]").iter().all(|who| who == "owner@acme.example"));
    assert!(!page.html.contains(&notes.secret_key));

    for number in 0..60 {
        let key = syncline::control::api_keys::NewApiKey::unrestricted(
            syncline::control::api_keys::KeyKind::Publishable,
            &format!("key {number}"),
        );
        let actor = notes.owner.owner.actor();
        app.state().control.issue_api_key(&actor, &notes.app, key.unwrap()).await.unwrap();
    }
    let first = owner.get("/d/acme/audit").await;
    assert_eq!(first.texts("td[data-label=What]").len(), 50);
    let next = first.attribute("tr.more a", "href").unwrap();
    // As htmx fetches it: rows alone.
    let rest = owner.get_part(&next).await;
    assert!(!rest.html.contains("<html") && rest.html.contains("tenant.created"), "{}", rest.html);
    assert_eq!(rest.html.matches("data-label=\"What\"").count(), 15);
    assert_eq!(owner.get("/d/acme/audit?before=nonsense").await.status, StatusCode::OK);
}
