//! The dashboard: what a role lets a member do, and that a stranger finds nothing.

use reqwest::{Method, StatusCode};
use sqlx::AssertSqlSafe;
use syncline::{
    control::{invitations::NewInvitation, members::MemberAdmin, roles::Role},
    http::abilities,
    ids::{ConflictId, RejectedWriteId},
};

use super::{Neighbours, Route, devices::open, fingerprint, routes_of};
use crate::support::browser::{Browser, Page};

/// Roles in the order of what they may do; the number is what [`needed`] answers.
const ROLES: [&str; 4] = ["viewer", "developer", "admin", "owner"];

/// The least role for a route, as a place in [`ROLES`]; None: any account, whatever it belongs to. It is declared in
/// `http/abilities.rs`, and shown on the members page from there.
fn needed(route: &Route) -> Option<usize> {
    let path = route.path.strip_prefix("/d/{tenant}")?;
    let role = abilities::needed(route.method.as_str(), path);
    let role = role.unwrap_or_else(|| panic!("no ability names {} {path}", route.method));
    ROLES.iter().position(|name| *name == role.as_str())
}

/// People of acme in every role, and one who belongs elsewhere.
struct People {
    neighbours: Neighbours,
    members: Vec<Browser>,
    stranger: Browser,
    /// A member whom others may change or remove.
    spare_account: String,
    spare_key: String,
    /// A pending invitation, and the secret part of its link.
    invitation: String,
    invitation_token: String,
    ids: AppIds,
}

/// What pages of acme's app show one of.
struct AppIds {
    conflict: String,
    rejected_write: String,
}

/// Something to see on every page of the app: alice's rows, a device, a conflict and a refused push.
async fn fill(neighbours: &Neighbours) -> AppIds {
    open(&neighbours.notes, "alice").await;
    let schema = neighbours.notes.app.app_id.schema();
    let (conflict, rejected) = (ConflictId::new(), RejectedWriteId::new());
    let pool = neighbours.server.pool().await;
    for sql in [
        format!(
            "insert into {schema}._sync_device (scope_id, source_id, first_seen_at, last_seen_at)
             values ('alice', 'somebody', now(), now())
             on conflict do nothing"
        ),
        format!(
            "insert into {schema}._sync_conflict (
                 scope_id, conflict_id, first_at, last_at, source_id, source_bundle_id, table_no, key, op,
                 base_row_version, server_row_version, server_row_deleted
             )
             select 'alice', '{}', now(), now(), 'somebody', 1, t.table_no, 'f1', 'INSERT', 0, 1, false
             from {schema}._sync_table t where t.table_name = 'folders'",
            conflict.uuid()
        ),
        format!(
            "insert into {schema}._sync_rejected_write (
                 scope_id, rejected_id, fingerprint, source_id, code, message, row_count, rows, first_at, last_at, state
             )
             values ('alice', '{}', 'f', 'somebody', 'push_commit_invalid', 'm', 1, '[]', now(), now(), 'open')",
            rejected.uuid()
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    AppIds { conflict: conflict.to_string(), rejected_write: rejected.to_string() }
}

impl People {
    async fn new() -> Self {
        let neighbours = Neighbours::new().await;
        let server = &neighbours.server;
        let mut owner = server.browser();
        owner.sign_in("owner@acme.example").await;
        let mut members = Vec::new();
        for role in &ROLES[..3] {
            let member = format!("{role}-inc");
            let member = server.member(&neighbours.acme, &member, Role::parse(role).unwrap()).await;
            let mut browser = server.browser();
            browser.sign_in(&member.owner.email).await;
            members.push(browser);
        }
        members.push(owner);
        let spare = server.member(&neighbours.acme, "spare-inc", Role::Viewer).await;
        let by = MemberAdmin {
            tenant: &neighbours.acme.tenant,
            actor: neighbours.acme.owner.actor(),
            role: Role::Owner,
        };
        let invitation = NewInvitation::new(Role::Viewer, "spare", 7).unwrap();
        let (invitation, invitation_token) = server.state().control.invite(&by, &invitation).await.unwrap();
        let key = syncline::control::api_keys::NewApiKey::unrestricted(
            syncline::control::api_keys::KeyKind::Secret,
            "spare",
        );
        let (actor, app) = (neighbours.acme.owner.actor(), &neighbours.notes.app);
        let issued = server.state().control.issue_api_key(&actor, app, key.unwrap()).await.unwrap();
        let mut stranger = server.browser();
        stranger.sign_in("owner@globex.example").await;
        let ids = fill(&neighbours).await;
        // What the devices did is written down later, by nobody's request: wait for it.
        neighbours.server.state().engine.write_device_facts().await;
        Self {
            ids,
            spare_account: spare.owner.account_id.to_string(),
            spare_key: issued.key.api_key_id.to_string(),
            invitation: invitation.invitation_id.to_string(),
            invitation_token: invitation_token.expose().to_owned(),
            neighbours,
            members,
            stranger,
        }
    }

    fn path(&self, route: &Route, tenant: &str, app: &str) -> String {
        let path = route
            .path
            .replace("{tenant}", tenant)
            .replace("{app}", app)
            .replace("{account}", &self.spare_account)
            .replace("{key}", &self.spare_key)
            .replace("{invitation}", &self.invitation)
            .replace("{token}", &self.invitation_token)
            .replace("{session}", "00")
            .replace("{table}", "folders")
            .replace("{row}", "f1")
            .replace("{scope}", "alice")
            .replace("{source}", "somebody")
            .replace("{seq}", "1")
            .replace("{conflict}", &self.ids.conflict)
            .replace("{write}", &self.ids.rejected_write);
        assert!(!path.contains('{'), "this matrix does not know how to fill in {path}");
        path
    }
}

/// Ask for a page, or post a form that has the right token and nothing else.
async fn ask(browser: &mut Browser, route: &Route, path: &str) -> Page {
    if route.method == Method::GET {
        return browser.get(path).await;
    }
    let token = browser.get("/account").await.csrf();
    browser.post(path, &[("csrf_token".to_owned(), token)]).await
}

#[tokio::test]
async fn pages_of_people_are_closed_to_those_who_are_not_signed_in() {
    let people = People::new().await;
    let pool = people.neighbours.server.pool().await;
    let before = fingerprint(&pool).await;
    for route in routes_of("for_people") {
        let path = people.path(&route, "acme", "notes");
        for cookie in [None, Some("syncline_session=AAAAAAAAAAAAAAAAAAAAAA"), Some("syncline_session=%00")] {
            let mut browser = people.neighbours.server.browser();
            if let Some(cookie) = cookie {
                browser.set_cookie(cookie);
            }
            let page = if route.method == Method::GET {
                browser.get(&path).await
            } else {
                browser.post(&path, &[("csrf_token".to_owned(), "made up".to_owned())]).await
            };
            let to_sign_in = page.status.is_redirection() && page.location().starts_with("/sign-in");
            let refused = matches!(page.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            assert!(
                to_sign_in || refused,
                "{} {path} with {cookie:?}: {} {}",
                route.method,
                page.status,
                page.html
            );
            assert!(!page.html.contains("owner@acme.example"), "{path}");
        }
    }
    assert_eq!(fingerprint(&pool).await, before);
}

#[tokio::test]
async fn a_stranger_finds_nothing_where_a_tenant_is() {
    let mut people = People::new().await;
    let pool = people.neighbours.server.pool().await;
    let before = fingerprint(&pool).await;
    for route in routes_of("for_people").into_iter().filter(|route| needed(route).is_some()) {
        let (there, nowhere) =
            (people.path(&route, "acme", "notes"), people.path(&route, "nowhere", "notes"));
        let found = ask(&mut people.stranger, &route, &there).await;
        let absent = ask(&mut people.stranger, &route, &nowhere).await;
        assert_eq!(absent.status, StatusCode::NOT_FOUND, "{nowhere}");
        assert_eq!(found.status, StatusCode::NOT_FOUND, "{} {there}: {}", route.method, found.html);
        assert_eq!(found.texts("main"), absent.texts("main"), "{there}");
        if route.path.contains("{app}") {
            // Acme's other app, under the stranger's own tenant.
            let elsewhere = people.path(&route, "globex", "tasks");
            let elsewhere = ask(&mut people.stranger, &route, &elsewhere).await;
            assert_eq!(elsewhere.status, StatusCode::NOT_FOUND, "{}", elsewhere.html);
        }
    }
    // Ids of acme's things under the stranger's own app: nothing of acme's changes.
    // (An export of a table of one's own is written into one's own audit log.)
    let names_a_thing =
        |route: &Route| route.path.matches('{').count() > 2 && !route.path.contains("/export.");
    for route in routes_of("for_people").into_iter().filter(names_a_thing) {
        let path = people.path(&route, "globex", "notes");
        ask(&mut people.stranger, &route, &path).await;
    }
    assert_eq!(fingerprint(&pool).await, before);
}

#[tokio::test]
async fn a_member_does_what_the_role_allows_and_no_more() {
    let mut people = People::new().await;
    let pool = people.neighbours.server.pool().await;
    let before = fingerprint(&pool).await;
    let mut routes = routes_of("for_people");
    routes.retain(|route| needed(route).is_some());
    for route in &routes {
        let path = people.path(route, "acme", "notes");
        for (role, name) in ROLES.iter().enumerate().take(needed(route).unwrap()) {
            let page = ask(&mut people.members[role], route, &path).await;
            assert_eq!(
                page.status,
                StatusCode::FORBIDDEN,
                "a {name}: {} {path}: {}",
                route.method,
                page.html
            );
        }
    }
    assert_eq!(fingerprint(&pool).await, before, "somebody did what their role does not allow");

    // Those that take something away come last.
    let takes_away = ["/revoke", "/remove", "/transfer", "/leave"];
    routes.sort_by_key(|route| {
        takes_away.iter().position(|end| route.path.ends_with(end)).map_or(0, |at| at + 1)
    });
    for route in &routes {
        let path = people.path(route, "acme", "notes");
        for (role, name) in ROLES.iter().enumerate().skip(needed(route).unwrap()) {
            let page = ask(&mut people.members[role], route, &path).await;
            let status = page.status;
            assert!(
                status != StatusCode::FORBIDDEN && !status.is_server_error(),
                "a {name}: {} {path}: {status} {}",
                route.method,
                page.html
            );
            // Each takes it away from those who come after: the spare member, one's own membership.
            let gone_before = ["/remove", "/transfer"].iter().any(|end| route.path.ends_with(end))
                && status == StatusCode::NOT_FOUND;
            assert!(status != StatusCode::NOT_FOUND || gone_before, "a {name}: {} {path}", route.method);
            assert!(
                !page.status.is_redirection() || !page.location().starts_with("/sign-in"),
                "a {name}: {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_form_that_our_page_did_not_make_changes_nothing() {
    let mut people = People::new().await;
    let pool = people.neighbours.server.pool().await;
    let before = fingerprint(&pool).await;
    let anothers = people.stranger.get("/account").await.csrf();
    for route in routes_of("for_people").into_iter().filter(|route| route.method == Method::POST) {
        let path = people.path(&route, "acme", "notes");
        for token in ["", "made up", &anothers] {
            let values = [("csrf_token".to_owned(), token.to_owned())];
            let page = people.members[3].post(&path, &values).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} with {token:?}: {}", page.html);
        }
        let page = people.members[3].post(&path, &[]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} without a token: {}", page.html);
    }
    assert_eq!(fingerprint(&pool).await, before);
    assert_eq!(people.members[3].get("/account").await.status, StatusCode::OK, "still signed in");
}
