//! A person's browser, as far as pages need one: a connection, cookies, forms, and what a page makes it load.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    client::conn::http1::SendRequest,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderValue, SET_COOKIE},
};

use crate::{connection::connect, target::Place};

pub(super) struct Browser {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    cookies: BTreeMap<String, String>,
    /// What files of the site weigh, by address: they are loaded once.
    weights: BTreeMap<String, usize>,
}

/// An answer, read to its end.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Page {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Addresses that the page's links lead to.
    pub(super) fn links(&self) -> BTreeSet<String> {
        values(self.text(), "<a ", "href").chain(values(self.text(), "<tr ", "hx-get")).collect()
    }
}

impl Browser {
    pub(super) async fn open(place: &Place) -> Result<Self> {
        let sender = connect(place.address, Ipv4Addr::LOCALHOST).await?;
        Ok(Self { sender, host: place.host.clone(), cookies: BTreeMap::new(), weights: BTreeMap::new() })
    }

    /// Through the form, as a person does.
    pub(super) async fn sign_in(&mut self, email: &str, password: &str) -> Result<()> {
        let page = self.get("/sign-in").await?;
        let token = page
            .text()
            .split_once("name=\"csrf_token\" value=\"")
            .and_then(|(_, rest)| rest.split('"').next())
            .context("the sign-in form has no token")?;
        let form: Vec<String> =
            [("csrf_token", token), ("email", email), ("password", password), ("next", "")]
                .map(|(name, value)| format!("{name}={}", encoded(value)))
                .to_vec();
        let answer = self.send(Method::POST, "/sign-in", form.join("&").into(), false).await?;
        ensure!(answer.status == StatusCode::SEE_OTHER, "signing in was answered {}", answer.status);
        Ok(())
    }

    pub(super) async fn get(&mut self, address: &str) -> Result<Page> {
        self.send(Method::GET, address, Bytes::new(), false).await
    }

    /// Bytes that come over the wire when the page is opened with an empty cache: the page and every file that it or
    /// its style sheets name, packed as browsers ask for it.
    pub(super) async fn weigh(&mut self, address: &str) -> Result<usize> {
        let page = self.get(address).await?;
        ensure!(page.status == StatusCode::OK, "{address} was answered {}", page.status);
        let mut files: BTreeSet<String> = values(page.text(), "<link ", "href")
            .chain(values(page.text(), "<script ", "src"))
            .chain(values(page.text(), "<img ", "src"))
            // `rel="expect"` names a place in the page itself.
            .filter(|file| !file.starts_with('#'))
            .collect();
        for sheet in files.clone().iter().filter(|file| file.ends_with(".css")) {
            let text = self.get(sheet).await?;
            files.extend(text.text().split("url(").skip(1).filter_map(|rest| {
                let named = rest.split(')').next()?.trim_matches(['"', '\'']);
                (!named.starts_with("data:")).then(|| beside(sheet, named))
            }));
        }
        let mut bytes = self.send(Method::GET, address, Bytes::new(), true).await?.body.len();
        for file in files {
            bytes += self.weigh_file(file).await?;
        }
        Ok(bytes)
    }

    async fn weigh_file(&mut self, file: String) -> Result<usize> {
        if let Some(weight) = self.weights.get(&file) {
            return Ok(*weight);
        }
        let answer = self.send(Method::GET, &file, Bytes::new(), true).await?;
        ensure!(answer.status == StatusCode::OK, "{file} was answered {}", answer.status);
        self.weights.insert(file, answer.body.len());
        Ok(answer.body.len())
    }

    async fn send(&mut self, method: Method, address: &str, body: Bytes, packed: bool) -> Result<Page> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder().method(method).uri(address).header(HOST, &self.host);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if packed {
            request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if !body.is_empty() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request = request.header(CONTENT_TYPE, form);
        }
        self.sender.ready().await.context("the server closed the connection")?;
        let request = request.body(Full::new(body)).with_context(|| address.to_owned())?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        self.keep_cookies(&head.headers);
        Ok(Page { status: head.status, body: body.collect().await?.to_bytes() })
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            if let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// The attribute `name` of every element that begins with `element`, entities read.
fn values<'h>(html: &'h str, element: &'h str, name: &str) -> impl Iterator<Item = String> + 'h {
    let attribute = format!(" {name}=\"");
    html.split(element).skip(1).filter_map(move |rest| {
        let element = rest.split('>').next()?;
        let element = format!(" {element}");
        let (_, value) = element.split_once(&attribute)?;
        Some(value.split('"').next()?.replace("&#38;", "&").replace("&amp;", "&").replace("&#39;", "'"))
    })
}

/// The file that a style sheet names, as an address.
fn beside(sheet: &str, named: &str) -> String {
    if named.starts_with('/') {
        return named.to_owned();
    }
    let mut folders: Vec<&str> = sheet.split('/').collect();
    folders.pop();
    for part in named.split('/') {
        match part {
            ".." => drop(folders.pop()),
            part => folders.push(part),
        }
    }
    folders.join("/")
}

/// `text` percent-encoded, for a path segment or a query value.
pub(super) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
