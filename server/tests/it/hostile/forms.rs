//! Bad forms: every form of the dashboard, filled in and sent as no page of ours would do it.
//!
//! The forms are found on the pages, by a walk along all links. Every POST of `http/routes.rs` that browsers may send is sent: one
//! that no page shows, because it belongs to the answer to another form, with the fields of its nearest neighbour.

use std::collections::{BTreeMap, VecDeque};

use reqwest::{Method, StatusCode};
use scraper::{ElementRef, Html, Selector};

use syncline::clock::Clock;
use time::Duration;

use super::requests::HOSTILE_SEGMENTS;
use crate::support::{
    browser::{Browser, Page},
    furnished::Furnished,
    routes::{Route, route_of, routes_of_pages},
};

/// These take away what the others need, or the session itself.
const LAST: [&str; 12] = [
    "/retire",
    "/erase",
    "/remove",
    "/revoke",
    "/delete",
    "/leave",
    "/transfer",
    "/end-others",
    "/sign-out",
    "/sign-up",
    "/sign-in/code",
    "/sign-in",
];

/// What no value should be, percent-encoded as it is sent.
const VALUES: [&str; 20] = [
    "",
    "+",
    "%00",
    "a%00b",
    "%FF%FE",
    "%C3%28",
    "%",
    "%zz",
    "%ED%A0%80",
    "%0D%0ASet-Cookie:+a=b",
    "%E2%80%AE%EF%BB%BF%F4%8F%BF%BF",
    "-1",
    "99999999999999999999999999",
    "-9223372036854775809",
    "1e400",
    "NaN",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "'%3B+drop+schema+public+cascade%3B+--",
    "../../../../etc/passwd",
    "%5B%7B%22a%22%3A%5B%5D%7D%5D",
];

/// A form as a page shows it.
#[derive(Debug, Clone)]
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    /// With these fields instead, the token replaced by that of the session.
    fn encoded(&self, token: &str) -> Vec<String> {
        let mut pairs: Vec<String> = self
            .fields
            .iter()
            .filter(|(name, _)| name != "csrf_token")
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.push(format!("csrf_token={}", encode(token)));
        pairs
    }

    /// Bodies of the right content type that are wrong in one place.
    fn bad_bodies(&self, token: &str) -> Vec<(String, Vec<u8>)> {
        let good = self.encoded(token);
        let mut all = Vec::new();
        let mut add = |what: String, pairs: &[String]| all.push((what, pairs.join("&").into_bytes()));
        for (at, pair) in good.iter().enumerate() {
            let (name, value) = pair.split_once('=').unwrap();
            let with = |replacement: String| {
                let mut pairs = good.clone();
                pairs[at] = replacement;
                pairs
            };
            for bad in VALUES {
                add(format!("{name} = {bad}"), &with(format!("{name}={bad}")));
            }
            let mut without = good.clone();
            without.remove(at);
            add(format!("{name} left out"), &without);
            add(format!("{name} without a value"), &with(name.to_owned()));
            add(format!("{name} twice"), &with(format!("{name}={value}&{name}={value}")));
            add(format!("{name} as a list"), &with(format!("{name}%5B%5D={value}&{name}%5Ba%5D=1")));
            add(format!("{name} = 100,000 letters"), &with(format!("{name}={}", "x".repeat(100_000))));
            add(
                format!("{name} = 30,000 emojis"),
                &with(format!("{name}={}", "%F0%9F%98%80".repeat(30_000))),
            );
        }
        let more = [good.join("&"), "no_such_field=1&_sync_scope_id=x&id=1&tenant_id=1".to_owned()];
        add("more fields".to_owned(), &more);
        add("a hundred thousand fields".to_owned(), &[good.join("&"), "a=1&".repeat(100_000)]);
        add("twice".to_owned(), &[good.join("&"), good.join("&")]);
        add("in capitals".to_owned(), &[good.join("&").to_uppercase()]);
        add("nothing".to_owned(), &[]);
        add("only separators".to_owned(), &["&&&===&&&".to_owned()]);
        add("JSON".to_owned(), &["{\"csrf_token\":\"x\"}".to_owned()]);
        add("3 MiB".to_owned(), &[good.join("&"), format!("x={}", "y".repeat(3 * 1024 * 1024))]);
        all.push(("every byte".to_owned(), (0..=255).collect()));
        all
    }
}

/// The same fields as another kind of body, or as nothing of the kind.
fn of_other_kinds(form: &Form, token: &str) -> Vec<(Option<&'static str>, Vec<u8>)> {
    let encoded = form.encoded(token).join("&");
    let part = |name: &str, more: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n")
    };
    let parts: String = form.fields.iter().map(|(name, value)| part(name, "", value)).collect();
    let token = part("csrf_token", "", token);
    let multipart = Some("multipart/form-data; boundary=b");
    let bodies: Vec<(Option<&'static str>, String)> = vec![
        (None, encoded.clone()),
        (Some(""), encoded.clone()),
        (Some("text/plain"), encoded.clone()),
        (Some("application/json"), "{}".to_owned()),
        (Some("application/json"), "[".repeat(100_000)),
        (Some("application/x-www-form-urlencoded; charset=utf-16"), encoded.clone()),
        (Some("multipart/form-data"), encoded.clone()),
        (Some("multipart/form-data; boundary="), encoded.clone()),
        (multipart, encoded),
        (multipart, String::new()),
        (multipart, "--b--\r\n".to_owned()),
        (multipart, format!("{token}{parts}--b--\r\n")),
        (multipart, format!("{parts}{token}--b--\r\n")),
        (multipart, format!("{token}{parts}")),
        (multipart, format!("{token}{token}{parts}{parts}--b--\r\n")),
        (
            multipart,
            format!("{token}{}--b--\r\n", part("file", "; filename=\"../../a\u{0}.csv\"", "a,b\u{0}\r\n\"1")),
        ),
        (
            multipart,
            format!("{token}{}--b--\r\n", part("file", "; filename=\"a.csv\"", &"\"".repeat(200_000))),
        ),
        (multipart, format!("{token}{}--b--\r\n", part("", "; filename=", ""))),
        (multipart, "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n".to_owned()),
        (multipart, format!("--b\r\n{}: x\r\n\r\nx\r\n--b--\r\n", "h".repeat(100_000))),
        (multipart, part("x", "", "y").repeat(20_000)),
    ];
    bodies.into_iter().map(|(kind, body)| (kind, body.into_bytes())).collect()
}

/// Signed in as the owner, and again when a form has ended the session.
struct Sender {
    browser: Browser,
    token: String,
    clock: Clock,
}

impl Sender {
    async fn new(furnished: &Furnished) -> Self {
        let mut browser = furnished.server.browser();
        browser.sign_in("owner@acme.example").await;
        let token = browser.get("/account").await.csrf();
        Self { browser, token, clock: furnished.server.clock.clone() }
    }

    /// Send it, and hold what comes back against what may come back.
    async fn send(&mut self, action: &str, kind: Option<&str>, what: &str, body: Vec<u8>) {
        if action.starts_with("/sign-") {
            // Nobody is told to wait before they may try again.
            self.clock.advance(Duration::seconds(3));
        }
        let (length, before) = (body.len(), self.browser.cookie().map(str::to_owned));
        let Some(page) = self.browser.post_bytes(action, kind, body).await else {
            assert!(length > 2 * 1024 * 1024, "{action}, {what}: no answer");
            return;
        };
        assert_harmless(&format!("{action}, {what}, {kind:?}"), &page);
        // Signed out, or somebody else.
        if self.browser.cookie().map(str::to_owned) != before {
            self.browser.forget_cookies();
            self.clock.advance(Duration::seconds(21));
            let signed_in = self.browser.sign_in("owner@acme.example").await;
            assert!(signed_in.status.is_redirection(), "after {action}, {what}: {}", signed_in.html);
            self.token = self.browser.get("/account").await.csrf();
        }
    }

    async fn badly(&mut self, form: &Form) {
        const URLENCODED: Option<&str> = Some("application/x-www-form-urlencoded");
        for (what, body) in form.bad_bodies(&self.token.clone()) {
            self.send(&form.action, URLENCODED, &what, body).await;
        }
        for (kind, body) in of_other_kinds(form, &self.token.clone()) {
            self.send(&form.action, kind, "another kind of body", body).await;
        }
        let segments: Vec<&str> = form.action.split('/').collect();
        for at in 1..segments.len() {
            for hostile in HOSTILE_SEGMENTS {
                let mut segments = segments.clone();
                segments[at] = hostile;
                let body = form.encoded(&self.token).join("&").into_bytes();
                self.send(&segments.join("/"), URLENCODED, "a hostile address", body).await;
            }
        }
    }
}

/// A page that was found, a way to go on, or a refusal in words; never a failure, and nothing of the inside.
fn assert_harmless(what: &str, page: &Page) {
    let (status, html) = (page.status, &page.html);
    assert!(!status.is_server_error(), "{what}: {status} {html}");
    if !status.is_client_error() {
        return;
    }
    // What HTTP itself refuses has no page.
    let in_words = html.contains("<h1") || html.contains("field-error") || html.len() < 400;
    assert!(in_words, "{what}: {status} {html}");
    for inside in ["SQLSTATE", "panicked", "sqlx", "src/http", "invalid byte sequence"] {
        assert!(!html.contains(inside), "{what}: the answer shows the inside, {inside}: {html}");
    }
}

/// What a walk along all links has found.
#[derive(Default)]
struct Found {
    /// One form for each route that a page shows one for.
    forms: BTreeMap<String, Form>,
    /// Something to put into the parameter of a route.
    values: BTreeMap<String, String>,
}

impl Found {
    /// The pages of strangers, and those of a person who sees all that there is.
    async fn on_all_pages(furnished: &Furnished, posts: &[Route]) -> Self {
        let mut found = Self::default();
        found.walk(furnished.server.browser(), "/", posts).await;
        found.walk(Sender::new(furnished).await.browser, "/d", posts).await;
        found
    }

    async fn walk(&mut self, mut browser: Browser, start: &str, posts: &[Route]) {
        let pages = routes_of_pages(&Method::GET);
        let mut ahead = VecDeque::from([start.to_owned()]);
        let mut been: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while let Some(address) = ahead.pop_front() {
            let path = address.split(['?', '#']).next().unwrap().to_owned();
            let Some(route) = route_of(&pages, &path) else { continue };
            let been = been.entry(route.path.clone()).or_default();
            if been.len() == 3 || been.contains(&path) {
                continue;
            }
            been.push(path.clone());
            self.learn(route, &path);
            let page = browser.get(&address).await;
            if page.status.is_redirection() {
                ahead.push_back(page.location());
            }
            if !page.html.contains("<html") {
                continue;
            }
            let (links, forms) = links_and_forms(&page.html);
            ahead.extend(links);
            for form in forms {
                let path = form.action.split('?').next().unwrap();
                let route =
                    route_of(posts, path).unwrap_or_else(|| panic!("{address} posts to {}", form.action));
                self.learn(route, path);
                self.forms.entry(route.path.clone()).or_insert(form);
            }
        }
    }

    /// Remember what stands where the route has parameters.
    fn learn(&mut self, route: &Route, path: &str) {
        for (name, value) in
            route.path.split('/').zip(path.split('/')).filter(|(name, _)| name.starts_with('{'))
        {
            self.values.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }

    /// The form of a route: the one that was found, or one made up from that of the route that is most like it.
    fn form_of(&self, route: &Route) -> Form {
        if let Some(form) = self.forms.get(&route.path) {
            return form.clone();
        }
        let fill = |part: &str| {
            self.values.get(part).cloned().unwrap_or_else(|| part.trim_matches(['{', '}']).to_owned())
        };
        let action = route.path.split('/').map(fill).collect::<Vec<_>>().join("/");
        let alike =
            |path: &String| path.split('/').zip(route.path.split('/')).take_while(|(a, b)| a == b).count();
        let (_, neighbour) = self.forms.iter().max_by_key(|(path, _)| alike(path)).expect("there are forms");
        Form { action, fields: neighbour.fields.clone() }
    }
}

/// Where a page's links go, and its posting forms, once for each of the buttons that post elsewhere.
fn links_and_forms(html: &str) -> (Vec<String>, Vec<Form>) {
    let document = Html::parse_document(html);
    let selector = |text: &str| Selector::parse(text).unwrap();
    let (link, form, button) = (
        selector("a[href^='/']:not([download])"),
        selector("form[method=post]"),
        selector("button[formaction]"),
    );
    let links = document.select(&link).filter_map(|link| link.attr("href")).map(str::to_owned).collect();
    let mut forms = Vec::new();
    for form in document.select(&form) {
        let elsewhere = form.select(&button).filter_map(|button| button.attr("formaction"));
        for action in form.attr("action").into_iter().chain(elsewhere) {
            let action = action.split('#').next().unwrap().to_owned();
            forms.push(Form { action, fields: fields_of(form) });
        }
    }
    (links, forms)
}

/// Every field that can be sent, with the value that is there or a likely one.
fn fields_of(form: ElementRef<'_>) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for field in form.select(&Selector::parse("[name]").unwrap()) {
        let name = field.attr("name").unwrap();
        let known = fields.iter().any(|(known, _)| known == name);
        let is_chosen = field.attr("checked").is_some();
        if field.attr("type") == Some("radio") && known && !is_chosen {
            continue;
        }
        let value = match field.value().name() {
            "textarea" => field.text().collect(),
            "select" => {
                let chosen = field.select(&Selector::parse("option[selected]").unwrap()).next();
                chosen.and_then(|option| option.attr("value")).unwrap_or_default().to_owned()
            }
            _ => field.attr("value").unwrap_or_default().to_owned(),
        };
        if field.attr("type") == Some("radio") {
            fields.retain(|(known, _)| known != name);
        }
        fields.push((name.to_owned(), value));
    }
    fields
}

#[tokio::test]
async fn no_bad_form_makes_the_server_fail() {
    let furnished = Furnished::new().await;
    let posts = routes_of_pages(&Method::POST);
    let found = Found::on_all_pages(&furnished, &posts).await;
    // The walk has not lost its way.
    for route in [
        "/sign-in",
        "/account/password",
        "/d/{tenant}/{app}/keys/{key}/revoke",
        "/d/{tenant}/{app}/settings/delete",
    ] {
        assert!(found.forms.contains_key(route), "no form for {route}");
    }

    let mut sender = Sender::new(&furnished).await;
    let mut forms: Vec<Form> = posts.iter().map(|route| found.form_of(route)).collect();
    forms.sort_by_key(|form| LAST.iter().position(|end| form.action.ends_with(end)).map_or(0, |at| at + 1));
    for form in &forms {
        sender.badly(form).await;
    }
    assert_eq!(sender.browser.get("/account").await.status, StatusCode::OK);
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
