//! Every URL × everybody: nobody, a bogus credential, too low a role or the wrong kind of key, another tenant, and the
//! one it is for.
//!
//! The URLs are read from `http/routes.rs`, the one list of them. A URL that this test cannot place fails it: say in
//! [`place`] for whom it is, and in [`Names`] what its variable parts name.

use std::{collections::BTreeMap, fs, path::Path};

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use syncline::{
    control::{
        accounts::Email,
        api_keys::KeyKind,
        members::{MemberAdmin, Role},
    },
    tables::spec::WireProfile,
};

use crate::support::app::{Answer, TestApp, TestSyncApp};

const DDL: &str = "create table notes (id text primary key not null, title text not null);";

/// For whom a URL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anybody; tells nothing about tenants.
    Public,
    /// Anybody who knows the app's address.
    PublicOfApp,
    /// A secret key of the app.
    SecretKey,
    /// A device of an end user of the app.
    Device,
    /// A person who is signed in, whoever it is.
    Person,
    /// A member of the tenant, or of the app's tenant, with at least this role.
    Member(Role),
}

/// The lowest role that may do it. Looking is for every member; the rest is written down here.
fn place(method: &Method, path: &str) -> Place {
    let after = |prefix: &str| path.strip_prefix(prefix);
    if let Some(rest) = after("/t/{tenant}/{app}/").map(|rest| rest.trim_start_matches("v/{version}/")) {
        return match rest.split('/').next() {
            Some("auth" | "api") => Place::SecretKey,
            Some("sync") => Place::Device,
            Some("syncx") => Place::PublicOfApp,
            _ => panic!("{path}: for whom is it?"),
        };
    }
    if path.starts_with("/d/{tenant}") {
        let role = match (method, path) {
            (&Method::GET, "/d/{tenant}/apps/new") => Role::Developer,
            (&Method::GET, _) => Role::Viewer,
            (_, "/d/{tenant}/{app}/settings/delete") => Role::Admin,
            (_, path) if path.starts_with("/d/{tenant}/members") => Role::Admin,
            _ => Role::Developer,
        };
        return Place::Member(role);
    }
    match path {
        "/" | "/sign-up" | "/sign-in" | "/livez" | "/readyz" | "/metrics" | "/static/{*address}" => {
            Place::Public
        }
        "/sign-out" | "/account" | "/account/password" | "/d" => Place::Person,
        _ => panic!("{path}: for whom is it?"),
    }
}

/// Every `(method, path)` of `http/routes.rs`.
fn routes() -> Vec<(Method, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/routes.rs");
    let source = fs::read_to_string(source).unwrap();
    let mut routes = Vec::new();
    for call in source.split(".route(").skip(1) {
        let path = call.split('"').nth(1).unwrap().to_owned();
        let handlers = &call[call.find(',').unwrap()..];
        for (name, method) in [
            ("get(", Method::GET),
            ("post(", Method::POST),
            ("put(", Method::PUT),
            ("patch(", Method::PATCH),
            ("delete(", Method::DELETE),
        ] {
            let called = handlers.match_indices(name).any(|(at, _)| {
                !handlers[..at]
                    .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
            });
            if called {
                routes.push((method, path.clone()));
            }
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

/// What the variable parts of a path name: real things of the victim, so that only the credential is wrong.
struct Names(BTreeMap<&'static str, String>);

impl Names {
    fn fill(&self, path: &str) -> String {
        let mut filled = path.to_owned();
        while let Some(start) = filled.find('{') {
            let end = start + filled[start..].find('}').unwrap();
            let name = filled[start + 1..end].to_owned();
            let value = self.0.get(name.as_str()).unwrap_or_else(|| panic!("{path}: what is {name}?"));
            filled.replace_range(start..=end, value);
        }
        filled
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut names = self.0.clone();
        names.insert(name, value.to_owned());
        Self(names)
    }
}

/// Acme with an app that Ada's device has synced to, and Globex with one of its own.
struct World {
    app: TestApp,
    acme: TestSyncApp,
    globex: TestSyncApp,
    names: Names,
    /// Ada's token.
    token: String,
    /// Session cookie and form token, by who it is.
    people: BTreeMap<&'static str, (String, String)>,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let owner = app.tenant("acme").await;
        let acme = app.create_app_of(&owner, "notes", WireProfile::Numbers, DDL).await;
        let rival = app.tenant("globex").await;
        let globex = app.create_app_of(&rival, "notes", WireProfile::Numbers, DDL).await;
        let token = acme.token("ada").await;
        let push_id = sync_once(&acme, &token).await;
        let keys = app.state().control.api_keys(&acme.app).await.unwrap();
        let key = keys.iter().find(|key| key.kind == KeyKind::Publishable).unwrap();
        let unknown_id = "0192f0c1-a5d8-7c0b-b1c5-a1f0e5b7d9a3";
        let names = Names(BTreeMap::from([
            ("tenant", "acme".to_owned()),
            ("app", "notes".to_owned()),
            ("version", "1".to_owned()),
            ("*address", "none".to_owned()),
            ("key", key.api_key_id.to_string()),
            ("account", owner.owner.account_id.to_string()),
            ("push_id", push_id),
            ("snapshot_id", unknown_id.to_owned()),
            ("bundle_seq", "1".to_owned()),
            ("seq", "1".to_owned()),
            ("scope", "ada".to_owned()),
            ("source", "device-1".to_owned()),
            ("table", "notes".to_owned()),
            ("conflict", format!("cfl_{}", unknown_id.replace('-', ""))),
            ("write", format!("rej_{}", unknown_id.replace('-', ""))),
            ("id", unknown_id.to_owned()),
        ]));
        let mut people = BTreeMap::new();
        people.insert("owner", sign_in(&app, "owner@acme.example").await);
        people.insert("stranger", sign_in(&app, "owner@globex.example").await);
        for (who, role) in [("viewer", Role::Viewer), ("developer", Role::Developer), ("admin", Role::Admin)]
        {
            let by = MemberAdmin { tenant: &owner.tenant, account: &owner.owner, role: Role::Owner };
            let account = app.tenant(&format!("{who}s")).await.owner;
            let email = Email::parse(&account.email).unwrap();
            app.state().control.add_member(by, &email, role).await.unwrap();
            people.insert(who, sign_in(&app, &account.email).await);
        }
        Self { app, acme, globex, names, token, people }
    }

    async fn ask(&self, method: &Method, path: &str, credential: Credential<'_>) -> Answer {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let request = client.request(method.clone(), format!("{}{path}", self.app.url()));
        let posts = *method != Method::GET;
        let request = match credential {
            Credential::None => request,
            Credential::Bearer(token) => request.bearer_auth(token).header("oversync-source-id", "device-1"),
            Credential::Session(who) => {
                let (cookie, csrf) = &self.people[who];
                let request = request.header(header::COOKIE, format!("syncline_session={cookie}"));
                let form = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
                let form =
                    form.into_iter().fold(request, |request, (name, value)| request.header(name, value));
                form.body(if posts { format!("csrf_token={csrf}") } else { String::new() })
            }
        };
        let json = !matches!(credential, Credential::Session(_)) && posts;
        // A stream has a head at once and an end never.
        let request = if json { request.json(&json!({})) } else { request };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let stream = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.to_str().unwrap().starts_with("text/event-stream"));
        let text = if stream { String::new() } else { response.text().await.unwrap() };
        Answer { status, headers, text }
    }
}

#[derive(Debug, Clone, Copy)]
enum Credential<'a> {
    None,
    Bearer(&'a str),
    Session(&'a str),
}

/// Session cookie and form token of somebody who signs in.
async fn sign_in(app: &TestApp, email: &str) -> (String, String) {
    let mut browser = app.browser();
    browser.sign_in(email).await.location();
    let csrf = browser.get("/account").await.csrf();
    (browser.cookie().unwrap().to_owned(), csrf)
}

/// Ada's device pushes a row, and leaves a second push begun.
async fn sync_once(app: &TestSyncApp, token: &str) -> String {
    let call = async |method: Method, path: &str, body: Value| {
        let request = reqwest::Client::new()
            .request(method, format!("{}/sync/{path}", app.base_url))
            .bearer_auth(token)
            .header("oversync-source-id", "device-1")
            .json(&body);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    };
    call(Method::POST, "connect", json!({ "has_local_pending_rows": false })).await;
    let mut push_id = String::new();
    for number in [1, 2] {
        let new = json!({ "source_bundle_id": number, "planned_row_count": 1 });
        push_id = call(Method::POST, "push-sessions", new).await["push_id"].as_str().unwrap().to_owned();
        if number == 1 {
            let row = json!({
                "schema": "main", "table": "notes", "key": { "id": "n-1" }, "op": "INSERT",
                "base_row_version": 0, "payload": { "id": "n-1", "title": "one" },
            });
            let chunk = json!({ "start_row_ordinal": 0, "rows": [row] });
            call(Method::POST, &format!("push-sessions/{push_id}/chunks"), chunk).await;
            call(Method::POST, &format!("push-sessions/{push_id}/commit"), json!({})).await;
        }
    }
    push_id
}

/// It got past who may: whatever is wrong with the empty request is told, and nothing broke.
fn let_in(answer: &Answer, what: &str) {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status);
    assert!(!refused && !answer.status.is_server_error(), "{what}: {} {}", answer.status, answer.text);
    assert_ne!(answer.json()["message"], "There is no app at this URL.", "{what}");
}

#[tokio::test]
async fn every_url_of_an_apps_programs_is_closed_to_everybody_else() {
    let world = World::new().await;
    let rivals_token = world.globex.token("ada").await;
    let (acme, names) = (&world.acme, &world.names);
    for (method, route) in routes() {
        let place = place(&method, &route);
        let (good, wrong_kind) = match place {
            Place::SecretKey => (acme.secret_key.as_str(), &[world.token.as_str()][..]),
            Place::Device => {
                (world.token.as_str(), &[acme.secret_key.as_str(), acme.publishable_key.as_str()][..])
            }
            _ => continue,
        };
        let path = names.fill(&route);
        let what = format!("{method} {path}");
        // No credential, a bogus one, one of the wrong kind, and another tenant's of the right kind.
        let mut unauthenticated = vec![
            Credential::None,
            Credential::Bearer("bogus"),
            Credential::Bearer("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"),
        ];
        unauthenticated.extend(wrong_kind.iter().map(|key| Credential::Bearer(key)));
        unauthenticated.push(Credential::Bearer(&world.globex.secret_key));
        unauthenticated.push(Credential::Bearer(&rivals_token));
        unauthenticated.push(Credential::Session("owner"));
        for credential in unauthenticated {
            let answer = world.ask(&method, &path, credential).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what} {credential:?}: {}", answer.text);
            assert_eq!(answer.code(), "authentication_failed", "{what} {credential:?}");
        }
        if place == Place::SecretKey {
            let answer = world.ask(&method, &path, Credential::Bearer(&acme.publishable_key)).await;
            assert_eq!(answer.code(), "secret_key_required", "{what}: {}", answer.text);
        }
        // With a good credential, at the address of an app that is not there, and of a tenant that is not.
        let nowhere = [names.with("app", "nothing"), names.with("tenant", "nobody")];
        let mut bodies = Vec::new();
        for names in nowhere {
            let answer = world.ask(&method, &names.fill(&route), Credential::Bearer(good)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}: {}", answer.text);
            bodies.push(answer.text);
        }
        assert_eq!(bodies[0], bodies[1], "{what}");
    }
    // The rightful ones come last: some of what they do cannot be done twice.
    for (method, route) in routes() {
        let path = names.fill(&route);
        let good = match place(&method, &route) {
            Place::SecretKey => &acme.secret_key,
            Place::Device => &world.token,
            _ => continue,
        };
        let answer = world.ask(&method, &path, Credential::Bearer(good)).await;
        let_in(&answer, &format!("{method} {path}"));
    }
}

#[tokio::test]
async fn every_page_is_closed_to_everybody_else() {
    let world = World::new().await;
    let names = &world.names;
    let ranks = [("viewer", Role::Viewer), ("developer", Role::Developer), ("admin", Role::Admin)];
    for (method, route) in routes() {
        let path = names.fill(&route);
        let what = format!("{method} {path}");
        let place = place(&method, &route);
        let needed = match place {
            Place::Member(role) => Some(role),
            Place::Person => None,
            _ => continue,
        };
        for credential in [Credential::None, Credential::Bearer(&world.acme.secret_key)] {
            let answer = world.ask(&method, &path, credential).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{what} {credential:?}: {}", answer.text);
            assert!(answer.headers["location"].to_str().unwrap().starts_with("/sign-in"), "{what}");
        }
        let Some(needed) = needed else { continue };
        // Another tenant's owner learns as much of what is there as of what is not: nothing.
        let there = world.ask(&method, &path, Credential::Session("stranger")).await;
        let nowhere = names.with("tenant", "nobody").with("app", "nothing").fill(&route);
        let nowhere = world.ask(&method, &nowhere, Credential::Session("stranger")).await;
        assert_eq!(there.status, StatusCode::NOT_FOUND, "{what}: {}", there.text);
        assert_eq!((nowhere.status, &nowhere.text), (there.status, &there.text), "{what}");
        for (who, _) in ranks.iter().filter(|(_, role)| *role < needed) {
            let answer = world.ask(&method, &path, Credential::Session(who)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what} as {who}: {}", answer.text);
        }
        if method != Method::GET {
            let (cookie, _) = &world.people["owner"];
            let request = reqwest::Client::new()
                .request(method.clone(), format!("{}{path}", world.app.url()))
                .header(header::COOKIE, format!("syncline_session={cookie}"))
                .form_body("csrf_token=guess");
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what} without its token: {}", answer.text);
            assert!(answer.text.contains("This form is out of date"), "{what}");
        }
    }
    for (method, route) in routes() {
        // What signs out or removes the owner would end the walk.
        if route == "/sign-out" || route.ends_with("/remove") || route.ends_with("/role") {
            continue;
        }
        let who = match place(&method, &route) {
            Place::Member(Role::Viewer) => "viewer",
            Place::Member(Role::Developer) => "developer",
            Place::Member(Role::Admin) => "admin",
            Place::Member(Role::Owner) | Place::Person => "owner",
            _ => continue,
        };
        let path = names.fill(&route);
        let answer = world.ask(&method, &path, Credential::Session(who)).await;
        let_in(&answer, &format!("{method} {path}"));
    }
}

/// A form body without the crate's optional features.
trait FormBody {
    fn form_body(self, body: &'static str) -> Self;
}

impl FormBody for reqwest::RequestBuilder {
    fn form_body(self, body: &'static str) -> Self {
        self.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
    }
}

#[tokio::test]
async fn what_is_public_says_nothing_of_tenants() {
    let world = World::new().await;
    for (method, route) in routes() {
        if place(&method, &route) != Place::Public {
            continue;
        }
        let path = world.names.fill(&route);
        let answer = world.ask(&method, &path, Credential::None).await;
        assert!(!answer.status.is_server_error(), "{method} {path}");
        for secret in ["acme", "globex", "notes", "ada", "device-1"] {
            assert!(!answer.text.contains(secret), "{method} {path} says {secret}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn another_users_push_is_not_reached_with_ones_own_token() {
    let world = World::new().await;
    let eve = world.acme.token("eve").await;
    let push_id = &world.names.0["push_id"];
    for (method, path) in [
        (Method::POST, format!("/t/acme/notes/sync/push-sessions/{push_id}/commit")),
        (Method::DELETE, format!("/t/acme/notes/sync/push-sessions/{push_id}")),
    ] {
        let answer = world.ask(&method, &path, Credential::Bearer(&eve)).await;
        assert_eq!(answer.code(), "push_session_forbidden", "{method} {path}: {}", answer.text);
    }
    let pulled =
        world.ask(&Method::GET, "/t/acme/notes/sync/pull?after_bundle_seq=0", Credential::Bearer(&eve)).await;
    assert!(!pulled.text.contains("n-1"), "{}", pulled.text);
}
