//! A browser for tests: keeps cookies, fills in forms by their labels' names, follows redirects only when told.

use std::collections::HashMap;

use reqwest::{Method, StatusCode, header};
use scraper::{Html, Selector};

/// Somebody who looks at pages. What they are signed in as is in the cookies.
#[derive(Debug)]
pub(crate) struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: HashMap<String, String>,
}

/// A page as it came.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) html: String,
}

impl Browser {
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, base: base.to_owned(), cookies: HashMap::new() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None, &[]).await
    }

    /// As htmx asks for a part of a page.
    pub(crate) async fn get_part(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None, &[("hx-request", "true")]).await
    }

    /// Fill in the form of the page at `path` that posts to `action` and send it: hidden fields (the CSRF token among
    /// them) and preset values go along, `fields` replace them.
    pub(crate) async fn submit(&mut self, path: &str, action: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.html);
        let mut values = page.form(action);
        for (name, value) in fields {
            values.retain(|(known, _)| known != name);
            values.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.post(action, &values).await
    }

    /// Send a form without looking at any page.
    pub(crate) async fn post(&mut self, path: &str, values: &[(String, String)]) -> Page {
        let encoded: Vec<_> =
            values.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.send(Method::POST, path, Some(encoded.join("&")), &[]).await
    }

    /// Send a body of that content type. None: no answer, as when the server closes while we still send what it will not
    /// read.
    pub(crate) async fn post_bytes(&mut self, path: &str, kind: Option<&str>, body: Vec<u8>) -> Option<Page> {
        let mut request = self.request(Method::POST, path).body(body);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        self.answer(request).await.ok()
    }

    pub(crate) fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Go where the page says.
    pub(crate) async fn follow(&mut self, page: &Page) -> Page {
        let location = page.location();
        self.get(&location).await
    }

    pub(crate) async fn sign_in(&mut self, email: &str) -> Page {
        self.submit("/sign-in", "/sign-in", &[("email", email), ("password", super::app::PASSWORD)]).await
    }

    /// The session cookie, as a thief would have it.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.cookies.get("syncline_session").map(String::as_str)
    }

    /// Take a cookie, `name=value`, from somewhere else.
    pub(crate) fn set_cookie(&mut self, pair: &str) {
        let (name, value) = pair.split_once('=').unwrap();
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Another window of the same browser.
    pub(crate) fn with_the_same_cookies(&self) -> Self {
        Self { http: self.http.clone(), base: self.base.clone(), cookies: self.cookies.clone() }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
        headers: &[(&str, &str)],
    ) -> Page {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        }
        self.answer(request).await.unwrap()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.cookies.is_empty() {
            let cookies: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        request
    }

    /// Send it, and keep the cookies of the answer.
    async fn answer(&mut self, request: reqwest::RequestBuilder) -> reqwest::Result<Page> {
        let response = request.send().await?;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Page { status, headers, html: response.text().await? })
    }
}

impl Page {
    pub(crate) fn location(&self) -> String {
        assert!(self.status.is_redirection(), "{} {}", self.status, self.html);
        self.headers[header::LOCATION].to_str().unwrap().to_owned()
    }

    /// The text of every element that the selector finds.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        Html::parse_document(&self.html)
            .select(&Selector::parse(selector).unwrap())
            .map(|element| {
                element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// The text of the first element that the selector finds.
    pub(crate) fn text(&self, selector: &str) -> String {
        self.texts(selector).into_iter().next().unwrap_or_else(|| panic!("no {selector} in {}", self.html))
    }

    /// An attribute of the first element that the selector finds and that has it.
    pub(crate) fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        Html::parse_document(&self.html)
            .select(&Selector::parse(selector).unwrap())
            .find_map(|element| element.attr(name).map(str::to_owned))
    }

    /// Where the links that the selector finds lead.
    pub(crate) fn links(&self, selector: &str) -> Vec<String> {
        Html::parse_document(&self.html)
            .select(&Selector::parse(selector).unwrap())
            .filter_map(|element| element.attr("href").map(str::to_owned))
            .collect()
    }

    /// The sentence at a field.
    pub(crate) fn error_at(&self, field: &str) -> String {
        self.texts(&format!("[id=\"{field}-error\"]")).concat()
    }

    /// The fields of the form that posts to `action`, with the values that are there.
    pub(crate) fn form(&self, action: &str) -> Vec<(String, String)> {
        let document = Html::parse_document(&self.html);
        let to_action = |form: &scraper::ElementRef<'_>| {
            form.attr("action").is_some_and(|address| address.split('#').next() == Some(action))
        };
        let forms = Selector::parse("form").unwrap();
        let form = document
            .select(&forms)
            .find(to_action)
            .unwrap_or_else(|| panic!("no form {action} in {}", self.html));
        let input = Selector::parse("input[name], select[name], textarea[name]").unwrap();
        form.select(&input)
            .filter(|field| {
                !matches!(field.attr("type"), Some("checkbox" | "radio")) || field.attr("checked").is_some()
            })
            .map(|field| {
                let value = match field.value().name() {
                    "textarea" => field.text().collect(),
                    "select" => field
                        .select(&Selector::parse("option[selected]").unwrap())
                        .next()
                        .and_then(|option| option.attr("value"))
                        .unwrap_or_default()
                        .to_owned(),
                    _ => field.attr("value").unwrap_or_default().to_owned(),
                };
                (field.attr("name").unwrap().to_owned(), value)
            })
            .collect()
    }

    /// The form token of the page.
    pub(crate) fn csrf(&self) -> String {
        self.attribute("input[name=csrf_token]", "value").unwrap()
    }
}

/// Percent-encoding for a form body.
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
