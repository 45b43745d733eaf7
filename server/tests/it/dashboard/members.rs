//! Members and their roles, and what becomes of an organisation.

use reqwest::StatusCode;
use syncline::{
    control::{accounts::Account, members::MemberAdmin, roles::Role},
    tables::spec::WireProfile,
};

use crate::support::{
    app::{TestApp, TestTenant},
    browser::Browser,
};

const MEMBERS: &str = "/d/acme/members";

/// A browser of somebody who has that role in `acme`.
async fn member(app: &TestApp, acme: &TestTenant, slug: &str, role: Role) -> (TestTenant, Browser) {
    let other = app.member(acme, slug, role).await;
    let mut browser = app.browser();
    browser.sign_in(&other.owner.email).await.location();
    (other, browser)
}

#[tokio::test]
async fn a_role_that_is_changed_or_taken_away_counts_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut owner = app.browser();
    owner.sign_in(&acme.owner.email).await.location();
    let (bob, mut browser) = member(&app, &acme, "bobs", Role::Developer).await;
    // Two organisations: a choice of them.
    let choice = browser.get("/d").await;
    assert!(choice.html.contains("Tenant acme") && choice.html.contains("Tenant bobs"), "{}", choice.html);

    // A form that lies open while the role goes is refused.
    let form = browser.get("/d/acme/apps/new").await;
    assert_eq!(form.status, StatusCode::OK);
    let values = form.form("/d/acme/apps/new");
    let change = format!("{MEMBERS}/{}/role", bob.owner.account_id);
    owner.submit(MEMBERS, &change, &[("role", "viewer")]).await.location();
    assert_eq!(browser.post("/d/acme/apps/new", &values).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/d/acme").await.status, StatusCode::OK);

    let remove = format!("{MEMBERS}/{}/remove", bob.owner.account_id);
    owner.submit(MEMBERS, &remove, &[]).await.location();
    assert_eq!(browser.get("/d/acme").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.post("/d/acme/leave", &values).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_member_may_leave_but_the_last_owner() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (_, mut viewer) = member(&app, &acme, "bobs", Role::Viewer).await;
    assert_eq!(viewer.submit(MEMBERS, "/d/acme/leave", &[]).await.location(), "/d");
    assert_eq!(viewer.get("/d/acme").await.status, StatusCode::NOT_FOUND);

    let mut owner = app.browser();
    owner.sign_in(&acme.owner.email).await.location();
    let page = owner.get(MEMBERS).await;
    assert!(page.html.contains("You are the only owner"), "{}", page.html);
    let csrf = [("csrf_token".to_owned(), page.csrf())];
    let answer = owner.post("/d/acme/leave", &csrf).await;
    assert!(owner.follow(&answer).await.text("[role=alert]").contains("at least one owner"));
    let log = owner.get("/d/acme/audit?action=member.left").await;
    assert_eq!(log.texts("td[data-label=To]"), ["owner@bobs.example"]);
    assert!(log.text("td[data-label=Who]").contains("127.0.0.1"), "{}", log.html);
}

#[tokio::test]
async fn an_owner_hands_the_ownership_over() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (bob, mut heir) = member(&app, &acme, "bobs", Role::Developer).await;
    let (_, mut admin) = member(&app, &acme, "eves", Role::Admin).await;
    let transfer = format!("{MEMBERS}/{}/transfer", bob.owner.account_id);
    let csrf = [("csrf_token".to_owned(), admin.get(MEMBERS).await.csrf())];
    assert_eq!(admin.post(&transfer, &csrf).await.status, StatusCode::FORBIDDEN);

    let mut owner = app.browser();
    owner.sign_in(&acme.owner.email).await.location();
    owner.submit(MEMBERS, &transfer, &[]).await.location();
    let roles: Vec<_> = app.state().control.members(acme.tenant.tenant_id, None, 100).await.unwrap();
    let roles: Vec<_> = roles.iter().map(|member| (member.email.as_str(), member.role)).collect();
    assert_eq!(roles[0], ("owner@bobs.example", Role::Owner));
    assert!(roles.contains(&("owner@acme.example", Role::Admin)), "{roles:?}");
    // Once: the former owner may not do it again.
    let csrf = [("csrf_token".to_owned(), owner.get(MEMBERS).await.csrf())];
    assert_eq!(owner.post(&transfer, &csrf).await.status, StatusCode::FORBIDDEN);
    assert_eq!(heir.get("/d/acme/settings").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_members_page_shows_what_each_role_may_do() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    let page = owner.get(MEMBERS).await;
    let abilities = page.texts(".abilities tbody th");
    assert_eq!(abilities.len(), syncline::http::abilities::ABILITIES.len());
    // Owner, admin, developer, viewer.
    let row = abilities.iter().position(|does| does == "Create apps").unwrap();
    let cells = page.texts(".abilities tbody td");
    let said: Vec<bool> = cells[row * 4..row * 4 + 4].iter().map(|cell| cell.contains("yes")).collect();
    assert_eq!(said, [true, true, true, false]);
}

#[tokio::test]
async fn an_organisation_is_renamed_and_deleted() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let (_, mut admin) = member(&app, &notes.owner, "bobs", Role::Admin).await;
    const SETTINGS: &str = "/d/acme/settings";
    let page = admin.submit(SETTINGS, SETTINGS, &[("name", " ")]).await;
    assert_eq!(
        (page.status, page.error_at("name")),
        (StatusCode::UNPROCESSABLE_ENTITY, "Give it a name.".into())
    );
    admin.submit(SETTINGS, SETTINGS, &[("name", "Acme & Söhne")]).await.location();
    let page = admin.get(SETTINGS).await;
    assert!(
        page.html.contains("Acme &#38; Söhne") && !page.html.contains("settings/delete"),
        "{}",
        page.html
    );

    let mut owner = app.browser();
    owner.sign_in("owner@acme.example").await.location();
    const DELETE: &str = "/d/acme/settings/delete";
    let csrf = ("csrf_token".to_owned(), owner.get(SETTINGS).await.csrf());
    let typed = |name: &str| [csrf.clone(), ("confirmation".to_owned(), name.to_owned())];
    assert_eq!(owner.post(DELETE, &typed("Acme & Söhne")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let control = &app.state().control;
    control.delete_app(&notes.owner.owner.actor(), &notes.app, &notes.app.name).await.unwrap();
    let page = owner.submit(SETTINGS, DELETE, &[("confirmation", "Acme")]).await;
    assert!(page.error_at("confirmation").contains("Acme & Söhne"), "{}", page.html);
    let answer = owner.submit(SETTINGS, DELETE, &[("confirmation", "Acme & Söhne")]).await;
    assert_eq!(answer.location(), "/d");
    assert_eq!(admin.get("/d/acme").await.status, StatusCode::NOT_FOUND);
    assert!(owner.get("/account").await.html.contains("An organisation was deleted"));
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
    let last = "a tenant needs at least one owner; transfer the ownership first";
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
    assert_eq!(control.members(acme.tenant.tenant_id, None, 100).await.unwrap().len(), 1);
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
    assert_eq!(control.members(acme.tenant.tenant_id, None, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_role_may_do_what_it_says_and_no_more() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    let acme = &notes.owner;
    let (ok, no) = (StatusCode::OK, StatusCode::FORBIDDEN);
    for (slug, role, keys, invite, delete) in [
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
        assert_eq!(browser.post("/d/acme/invitations", &csrf).await.status, invite, "{role} invitations");
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
async fn members_come_a_page_at_a_time_the_mightiest_first() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for sql in [
        "insert into platform.account (account_id, email, email_key, password_hash, created_at)
         select gen_random_uuid(), 'P' || n || '@x.example', 'p' || n || '@x.example', '-', now()
         from generate_series(100, 220) n",
        "insert into platform.member (tenant_id, account_id, role, created_at)
         select $1, a.account_id, case when a.email_key < 'p110' then 'admin' else 'viewer' end, now()
         from platform.account a
         where a.email_key like 'p%@x.example'",
    ] {
        let query = sqlx::query(sql);
        let query = if sql.contains("$1") { query.bind(acme.tenant.tenant_id.uuid()) } else { query };
        query.execute(&app.pool().await).await.unwrap();
    }
    let mut browser = app.browser();
    browser.sign_in(&acme.owner.email).await.location();
    let first = browser.get(MEMBERS).await;
    let (mut people, mut next) = (first.texts("th[data-label=Person]"), first.attribute("tr.more a", "href"));
    assert_eq!(people.len(), 50);
    assert!(people[0].starts_with("owner@acme.example"), "{people:?}");
    while let Some(address) = next {
        let page = browser.get(&address).await;
        people.extend(page.texts("th[data-label=Person]"));
        assert!(page.html.contains("All members"), "{}", page.html);
        // `Show more` fetches the rows alone.
        let part = browser.get_part(&address).await.html;
        assert!(!part.contains("<main") && part.contains(people.last().unwrap()), "{part}");
        next = page.attribute("tr.more a", "href");
    }
    let known: Vec<String> = (100..=220).map(|n| format!("P{n}@x.example")).collect();
    assert_eq!(people[1..], known);
}
