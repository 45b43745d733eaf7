//! Somebody in front of a screen: looks for things by what they are called, and waits for what they expect.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    in_page::{FIND, Kind, READ, WATCH_WHAT_MOVES},
    session::{Element, Failure, Session},
};
use crate::support::app::PASSWORD;

/// How long anything may take to appear. Machines that test are busy, and a test that succeeds does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser at a server.
#[derive(Debug)]
pub(crate) struct Screen {
    session: Session,
    /// `http://127.0.0.1:{port}`
    server: String,
}

/// Size and theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

impl Look {
    pub(crate) const DESKTOP: Self = Self { name: "desktop", width: 1440, height: 1000, dark: false };
    pub(crate) const DESKTOP_DARK: Self = Self { name: "desktop-dark", dark: true, ..Self::DESKTOP };
    pub(crate) const PHONE: Self = Self { name: "phone", width: 390, height: 844, dark: false };
    pub(crate) const PHONE_DARK: Self = Self { name: "phone-dark", dark: true, ..Self::PHONE };
}

impl Screen {
    /// Open a browser for the server at `url`; it shows nothing yet.
    pub(crate) async fn at(url: &str) -> Self {
        let screen = Self { session: Session::new().await, server: url.to_owned() };
        let source = json!({ "source": WATCH_WHAT_MOVES });
        screen.devtools("Page.addScriptToEvaluateOnNewDocument", source).await;
        screen.look(Look::DESKTOP).await;
        screen
    }

    pub(crate) async fn look(&self, look: Look) {
        let size = json!({
            "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let theme = if look.dark { "dark" } else { "light" };
        // Nothing moves, so that what is looked at is what stays.
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    pub(crate) async fn without_scroll_bars(&self) {
        self.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    }

    /// From now on the browser runs no script of any page, as where somebody has forbidden it.
    pub(crate) async fn forbid_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// From now on everything comes slowly, and nothing from a cache.
    pub(crate) async fn slow_down(&self) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await;
        let line = json!({
            "offline": false, "latency": 40, "downloadThroughput": 120_000, "uploadThroughput": 120_000,
        });
        self.devtools("Network.emulateNetworkConditions", line).await;
    }

    /// Let the page read and write the clipboard.
    pub(crate) async fn allow_the_clipboard(&self) {
        let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.devtools("Browser.grantPermissions", permissions).await;
    }

    /// Press keys one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let pressed = self.session.press(keys).await;
        pressed.unwrap_or_else(|failure| panic!("{keys:?}: {}", failure.message));
    }

    /// What has moved by itself since the page was loaded and its fonts and pictures are there, a line each.
    pub(crate) async fn moved(&self) -> Vec<String> {
        const SETTLED: &str = "await document.fonts.ready;
            for (let frame = 0; frame < 3; frame++) await new Promise((resolve) => requestAnimationFrame(resolve));
            return window.moved;";
        serde_json::from_value(self.evaluate_to_the_end(SETTLED).await).expect("a list of texts")
    }

    pub(crate) async fn nothing_moved(&self) {
        let moved = self.moved().await;
        assert!(moved.is_empty(), "{}: things move by themselves: {moved:#?}", self.path().await);
    }

    /// Type an address of the server's.
    pub(crate) async fn visit(&self, path: &str) {
        let url = format!("{}{path}", self.server);
        self.session.navigate(&url).await.unwrap_or_else(|failure| panic!("{path}: {}", failure.message));
    }

    pub(crate) async fn sign_in(&self, email: &str) {
        self.visit("/sign-in").await;
        self.fill("Email", email).await;
        self.fill("Password", PASSWORD).await;
        self.click("Sign in").await;
        self.until("one is signed in", "location.pathname.startsWith('/d')").await;
    }

    pub(crate) async fn sign_out(&self) {
        self.click("Sign out").await;
        self.until("one is signed out", "location.pathname === '/'").await;
    }

    /// Click a button or link with this accessible name.
    pub(crate) async fn click(&self, name: &str) {
        self.click_in("", name).await;
    }

    /// Click the one that is in the smallest row, item, dialog or section with `around` in it.
    pub(crate) async fn click_in(&self, around: &str, name: &str) {
        self.with(Kind::Press, name, around, async |element| self.session.click(&element).await).await;
    }

    /// Put this into the field with that label, instead of what is there.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        self.fill_in("", label, text).await;
    }

    /// The same for the field that is in the smallest part of the page with `around` in it.
    pub(crate) async fn fill_in(&self, around: &str, label: &str, text: &str) {
        // The parts of a date are typed in the order of the browser's language, which nobody here knows.
        const CHOOSE_DATE: &str = "const [field, text] = arguments;
            if (field.type !== 'date') return false;
            field.value = text;
            field.dispatchEvent(new Event('change', { bubbles: true }));
            return true;";
        self.with(Kind::Fill, label, around, async |element| {
            if self.session.run(CHOOSE_DATE, json!([element.reference(), text])).await? == Value::Bool(true) {
                return Ok(());
            }
            self.session.clear(&element).await?;
            self.session.type_into(&element, text).await
        })
        .await;
    }

    /// Choose a file for the field with that label.
    pub(crate) async fn attach(&self, label: &str, file: &Path) {
        let path = file.to_str().expect("a path that is text");
        self.with(Kind::Fill, label, "", async |element| self.session.type_into(&element, path).await).await;
    }

    /// Click a link that downloads a file; answers what the file is called and what is in it.
    pub(crate) async fn download(&self, name: &str) -> (String, Vec<u8>) {
        self.click(name).await;
        // Until it is whole it has another name.
        let is_whole = |file: &String| !file.starts_with('.') && !file.ends_with(".crdownload");
        let whole = async || {
            let entries = fs::read_dir(&self.session.downloads).ok()?;
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).find(is_whole)
        };
        let file = self.wait(&format!("“{name}” is downloaded"), whole).await;
        let path = self.session.downloads.join(&file);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        (file, bytes)
    }

    /// Click the radio button or check box with that label.
    pub(crate) async fn choose(&self, label: &str) {
        self.choose_in("", label).await;
    }

    /// Click the one that is in the smallest part of the page with `around` in it.
    pub(crate) async fn choose_in(&self, around: &str, label: &str) {
        self.with(Kind::Choose, label, around, async |element| self.session.click(&element).await).await;
    }

    /// Choose an option, by its text, from the list with that label.
    pub(crate) async fn select(&self, label: &str, option: &str) {
        self.select_in("", label, option).await;
    }

    /// The same for the list that is in the smallest part of the page with `around` in it.
    pub(crate) async fn select_in(&self, around: &str, label: &str, option: &str) {
        let name = option.to_owned();
        self.with(Kind::Select, label, around, async |element| {
            const OPTION: &str =
                "return [...arguments[0].options].find((o) => o.text.trim() === arguments[1]) ?? null;";
            let option = self.session.run(OPTION, json!([element.reference(), name])).await?;
            match Element::of(&option) {
                Some(option) => self.session.click(&option).await,
                None => {
                    Err(Failure { code: "no such element".to_owned(), message: format!("no option {name}") })
                }
            }
        })
        .await;
    }

    /// Wait until the page says this; letters may be large or small.
    pub(crate) async fn sees(&self, text: &str) {
        let shown = async || self.read().await.to_lowercase().contains(&text.to_lowercase()).then_some(());
        self.wait(&format!("the page says “{text}”"), shown).await;
    }

    /// Wait until the page does not say this.
    pub(crate) async fn misses(&self, text: &str) {
        let gone = async || (!self.read().await.to_lowercase().contains(&text.to_lowercase())).then_some(());
        self.wait(&format!("the page no longer says “{text}”"), gone).await;
    }

    /// Wait until a JavaScript expression is true, and answer its value.
    pub(crate) async fn until(&self, what: &str, expression: &str) -> Value {
        let body = format!("return ({expression});");
        let truth = async || match self.session.run(&body, json!([])).await {
            Ok(Value::Null | Value::Bool(false)) => None,
            Ok(Value::String(text)) if text.is_empty() => None,
            Ok(value) => Some(value),
            // The page is changing.
            Err(failure) if failure.code != "javascript error" => None,
            Err(failure) => panic!("{expression}: {}", failure.message),
        };
        self.wait(what, truth).await
    }

    /// The visible text of all that the selector finds.
    pub(crate) async fn texts(&self, selector: &str) -> Vec<String> {
        const TEXTS: &str = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.replace(/\\s+/g, ' ').trim());";
        let texts = self.evaluate(TEXTS, json!([selector])).await;
        serde_json::from_value(texts).expect("texts")
    }

    /// The visible text of the first that the selector finds; waits for it.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = async || self.texts(selector).await.into_iter().next();
        self.wait(&format!("there is a {selector}"), text).await
    }

    /// Path and query of the address.
    pub(crate) async fn path(&self) -> String {
        let path = self.evaluate("return location.pathname + location.search;", json!([])).await;
        path.as_str().expect("a text").to_owned()
    }

    /// What a function with this body returns for these arguments.
    pub(crate) async fn evaluate(&self, body: &str, arguments: Value) -> Value {
        self.session.run(body, arguments).await.unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    /// The same for a body that waits for promises.
    pub(crate) async fn evaluate_to_the_end(&self, body: &str) -> Value {
        self.session.run_to_the_end(body).await.unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    /// A picture of what is on the screen, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let encoded = self.session.screenshot().await.unwrap_or_else(|failure| panic!("{}", failure.message));
        STANDARD.decode(encoded).expect("base64")
    }

    /// The same of the whole page, however far it goes below the screen; of a very long one the beginning.
    async fn picture_of_the_page(&self) -> Vec<u8> {
        const SIZE: &str = "return [innerWidth, Math.min(document.documentElement.scrollHeight, 4000)];";
        let size = self.evaluate(SIZE, json!([])).await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let parameters = json!({ "captureBeyondViewport": true, "clip": clip });
        let taken = self.session.devtools("Page.captureScreenshot", parameters).await;
        let taken = taken.unwrap_or_else(|failure| panic!("{}", failure.message));
        STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64")
    }

    /// Keep a picture as `{name}.png` in the folder that SYNCLINE_SCREENSHOTS names, if it names one.
    pub(crate) async fn shot(&self, name: &str) {
        if let Some(file) = kept_as(name) {
            fs::write(file, self.picture().await).unwrap();
        }
    }

    /// The same of the whole page.
    pub(crate) async fn shot_of_the_page(&self, name: &str) {
        if let Some(file) = kept_as(name) {
            fs::write(file, self.picture_of_the_page().await).unwrap();
        }
    }

    /// What the browser complained about since this was last asked: errors of scripts, breaches of the CSP, things that
    /// did not load. A form that comes back with what is wrong in it (422), or with what has changed meanwhile (409), is
    /// none of these.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.session.take_log().await.unwrap_or_else(|failure| panic!("{}", failure.message));
        log.iter()
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .filter_map(|entry| entry["message"].as_str())
            .filter(|message| {
                !["422", "409"]
                    .iter()
                    .any(|status| message.contains(&format!("responded with a status of {status}")))
            })
            .map(str::to_owned)
            .collect()
    }

    /// Nothing was complained about so far.
    pub(crate) async fn is_quiet(&self) {
        let complaints = self.complaints().await;
        assert!(complaints.is_empty(), "{}: the browser complains: {complaints:#?}", self.path().await);
    }

    /// Find something, do something with it, and once more when the page changed in between.
    async fn with(
        &self,
        kind: Kind,
        name: &str,
        around: &str,
        act: impl AsyncFn(Element) -> Result<(), Failure>,
    ) {
        let what = format!("one can {} “{name}” {around}", kind.as_str());
        let attempt = async || {
            let found = self.session.run(FIND, json!([kind.as_str(), name, around])).await.ok()?;
            let (named, target) = (Element::of(&found[0])?, Element::of(&found[1])?);
            // Found by its text; assistive technology must call it the same.
            let told = self.session.name_of(&named).await.ok()?;
            assert!(
                told.to_lowercase().contains(&name.to_lowercase()),
                "“{name}” is called “{told}” by assistive technology"
            );
            act(if kind == Kind::Choose { target } else { named }).await.ok()
        };
        self.wait(&what, attempt).await;
    }

    async fn read(&self) -> String {
        let text = self.session.run(READ, json!([])).await.unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Try until it works out, or say what is on the screen instead.
    pub(crate) async fn wait<T>(&self, what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            if begun.elapsed() > PATIENCE {
                self.shot("failed").await;
                panic!("never: {what}. At {} there is: {}", self.path().await, self.read().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let done = self.session.devtools(command, parameters).await;
        done.unwrap_or_else(|failure| panic!("{command}: {}", failure.message));
    }
}

/// Where a picture of that name is kept, if any are.
fn kept_as(name: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env::var_os("SYNCLINE_SCREENSHOTS")?).join(format!("{name}.png"));
    fs::create_dir_all(file.parent().expect("it is in a folder")).unwrap();
    Some(file)
}
