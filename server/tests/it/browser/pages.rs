//! Every page, looked at: by axe-core, for things that do not fit, and for what the browser complains about; on a desktop
//! and a phone, light and dark, without data and with the most extreme.
//!
//! Nobody lists the pages. A walk follows every link, from the front page and from the first page of a person who is signed in, and
//! must in the end have been on every page of `http/routes.rs`.

mod on_the_way;

use std::collections::{BTreeMap, VecDeque};

use reqwest::Method;
use serde_json::json;
use syncline::tables::spec::WireProfile;

use super::{Screen, axe, harness::Look, screen_of_the_owner};
use crate::support::{
    app::TestApp,
    furnished::Furnished,
    routes::{Route, route_of, routes_of_pages},
};

/// Addresses that answer with something else than a page.
const NOT_PAGES: [&str; 10] = [
    "/d/{tenant}/audit.csv",
    "/d/{tenant}/audit.ndjson",
    "/d/{tenant}/{app}/docs/openapi.json",
    "/d/{tenant}/{app}/figures",
    "/d/{tenant}/{app}/live",
    "/d/{tenant}/{app}/simulator/steps",
    "/d/{tenant}/{app}/tables/{table}/export.csv",
    "/d/{tenant}/{app}/tables/{table}/export.ndjson",
    "/d/{tenant}/{app}/users/{scope}/export.ndjson",
    "/d/{tenant}/{app}/users/{scope}/export.sqlite",
];

/// Pages that no link leads to: half-way through a sign-in, and behind links that people send each other; `on_the_way` does.
const NOT_LINKED: [&str; 4] =
    ["/sign-in/code", "/account/totp", "/invite/{token}", "/invite/{token}/sign-up"];

/// Pages of an app that are linked to where there is something to see.
const OF_DATA: [&str; 1] = ["/d/{tenant}/{app}/schema/map"];

/// How many pages of one kind are looked at: the first two that are linked to.
const OF_A_KIND: usize = 2;

const LAYOUT: &str = include_str!("layout.js");
const FOCUS: &str = include_str!("focus.js");

/// Addresses of this server that the page links to.
const LINKS: &str = "return [...new Set([...document.querySelectorAll('a[href]:not([download])')]
    .map((a) => new URL(a.getAttribute('href'), location.href)).filter((url) => url.origin === location.origin).map((url) => url.pathname + url.search))];";

/// Somebody who goes everywhere.
struct Walk {
    routes: Vec<Route>,
    looks: [Look; 4],
    been: BTreeMap<String, Vec<String>>,
    /// Where its pictures go.
    folder: &'static str,
    faults: Vec<String>,
}

impl Walk {
    fn new(folder: &'static str) -> Self {
        let mut routes = routes_of_pages(&Method::GET);
        routes.retain(|route| !NOT_PAGES.contains(&&*route.path));
        let looks = [Look::DESKTOP, Look::DESKTOP_DARK, Look::PHONE, Look::PHONE_DARK];
        Self { routes, looks, been: BTreeMap::new(), folder, faults: Vec::new() }
    }

    /// Look at everything that can be reached by links.
    async fn everywhere_from(&mut self, screen: &Screen, start: &str) {
        let mut ahead = VecDeque::from([start.to_owned()]);
        while let Some(address) = ahead.pop_front() {
            let path = address.split('?').next().unwrap();
            let Some(route) = route_of(&self.routes, path).map(|route| route.path.clone()) else { continue };
            let been = self.been.entry(route).or_default();
            if been.len() == OF_A_KIND || been.iter().any(|known| known == path) {
                continue;
            }
            been.push(path.to_owned());
            screen.look(Look::DESKTOP).await;
            screen.visit(&address).await;
            let links: Vec<String> = serde_json::from_value(screen.evaluate(LINKS, json!([])).await).unwrap();
            ahead.extend(links);
            self.look(screen, &address).await;
        }
    }

    async fn look(&mut self, screen: &Screen, address: &str) {
        for look in self.looks {
            screen.look(look).await;
            let mut faults = Vec::new();
            // The other theme changes colours alone.
            if !look.dark {
                // What came as the answer to a form cannot be loaded again, and a window of another size moves things.
                let is_loaded_again = look == Look::PHONE && address.starts_with('/');
                if is_loaded_again {
                    screen.visit(address).await;
                }
                if is_loaded_again || look == Look::DESKTOP {
                    let moved = screen.moved().await.into_iter();
                    faults.extend(moved.map(|what| format!("moves by itself: {what}")));
                }
                faults.extend(told(screen, FOCUS).await);
            }
            faults.extend(axe::violations(screen, look.dark).await);
            faults.extend(told(screen, LAYOUT).await);
            let name = address.trim_matches('/').replace(['/', '?', '%'], "_");
            let name: String = name.chars().take(60).collect();
            screen.shot_of_the_page(&format!("{}/{name}-{}", self.folder, look.name)).await;
            self.faults.extend(faults.into_iter().map(|fault| format!("{address} ({}): {fault}", look.name)));
        }
        let complaints = screen.complaints().await;
        self.faults.extend(complaints.into_iter().map(|complaint| format!("{address}: {complaint}")));
    }

    /// Nothing is wrong, and every page for which `is_there` was found.
    fn ends(self, is_there: impl Fn(&str) -> bool) {
        assert!(self.faults.is_empty(), "things are wrong:\n{}", self.faults.join("\n"));
        let missed: Vec<_> = self
            .routes
            .iter()
            .filter(|route| is_there(&route.path) && !NOT_LINKED.contains(&&*route.path))
            .filter(|route| !self.been.contains_key(&route.path))
            .collect();
        assert!(
            missed.is_empty(),
            "no link leads to {missed:?}, or it answers with no page (then it belongs into NOT_PAGES)"
        );
    }
}

/// What a script in the page says is wrong with it.
async fn told(screen: &Screen, script: &str) -> Vec<String> {
    serde_json::from_value(screen.evaluate(script, json!([])).await).expect("a list of texts")
}

#[tokio::test]
async fn every_page_with_extreme_data_can_be_used_by_everybody_on_every_screen() {
    let furnished = Furnished::new().await;
    let mut walk = Walk::new("extreme");
    let stranger = Screen::at(furnished.server.url()).await;
    walk.everywhere_from(&stranger, "/").await;
    drop(stranger);
    let owner = screen_of_the_owner(&furnished.server).await;
    walk.everywhere_from(&owner, "/d").await;
    // And what is shown where nothing is.
    owner.visit("/d/acme/notes/tables/nowhere").await;
    walk.look(&owner, "a page that is not there").await;
    walk.faults.retain(|fault| !fault.contains("responded with a status of 404"));
    walk.ends(|_| true);
}

#[tokio::test]
async fn every_page_without_data_can_be_used_by_everybody_on_every_screen() {
    let app = TestApp::start().await;
    app.create_app(WireProfile::Strings, "").await;
    let owner = screen_of_the_owner(&app).await;
    let mut walk = Walk::new("empty");
    walk.everywhere_from(&owner, "/d").await;
    // Not there: what is about one thing of an app.
    let of_something = |route: &str| route.trim_start_matches("/d/{tenant}/{app}").contains('{');
    walk.ends(|route| route.starts_with("/d") && !of_something(route) && !OF_DATA.contains(&route));
}

#[tokio::test]
async fn what_is_wrong_with_a_page_is_found() {
    let app = TestApp::start().await;
    let screen = Screen::at(app.url()).await;
    screen.visit("/sign-in").await;
    screen.is_quiet().await;
    let spoil = "
        const wide = document.createElement('div');
        wide.textContent = 'wide';
        wide.style.width = '3000px';
        const image = document.createElement('img');
        image.src = '/static/nothing.png';
        const faint = document.createElement('p');
        faint.textContent = 'faint';
        faint.style.color = '#777';
        faint.style.background = '#888';
        document.querySelector('main').append(wide, image, faint);
        document.querySelector('label').remove();
        await new Promise((resolve) => image.addEventListener('error', resolve));
        const late = document.createElement('p');
        late.textContent = 'late';
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        document.querySelector('main').prepend(late);
        document.querySelector('button[type=submit]').classList.add('ringless');
        const sheet = new CSSStyleSheet();
        sheet.replaceSync('.ringless:focus-visible { outline: none } @keyframes turn { to { rotate: 1turn } } h1 { animation: turn 1s infinite }');
        document.adoptedStyleSheets = [sheet];
        const script = document.createElement('script');
        script.textContent = 'window.inline = true;';
        document.body.append(script);";
    screen.evaluate_to_the_end(spoil).await;
    let mut walk = Walk::new("spoilt");
    walk.look(&screen, "/sign-in").await;
    for fault in [
        "moves by itself: ",
        "has no focus ring: button",
        "moves although that is not wanted: h1",
        "the page scrolls sideways",
        "lies outside the screen",
        ": label: ",
        "image-alt",
        "color-contrast",
        "nothing.png",
        "script-src",
    ] {
        assert!(
            walk.faults.iter().any(|found| found.contains(fault)),
            "{fault} is not among {:#?}",
            walk.faults
        );
    }
}
