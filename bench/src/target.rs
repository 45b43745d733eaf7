//! The server under measurement: where it is, how it wants to be spoken to, and who signs its tokens.

use std::{
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use hyper::header::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::{connection::Connection, rows::Profile};

/// How long tokens of a run are valid.
const TOKEN_LIFE: Duration = Duration::from_secs(6 * 3600);

/// One app on one server. Shared by all devices of a run.
#[derive(Clone)]
pub(crate) struct Target {
    /// As given, without a trailing slash: names the target in the figures.
    pub(crate) base_url: String,
    pub(crate) address: SocketAddr,
    pub(crate) host: HeaderValue,
    /// Path of the base URL, without a trailing slash.
    pub(crate) path: String,
    pub(crate) profile: Profile,
    /// The logical schema of the wire.
    pub(crate) schema: String,
    pub(crate) table: String,
    tokens: Tokens,
}

/// Where a URL leads: to this machine.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) host: HeaderValue,
    /// Without a trailing slash.
    pub(crate) path: String,
}

impl Place {
    /// `url` is `http://host:port/path`.
    pub(crate) fn read(url: &str) -> Result<Self> {
        let uri: hyper::Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        ensure!(uri.scheme_str() == Some("http"), "{url}: only http:// is measured");
        let authority = uri.authority().context("the URL has no host")?;
        let address = (authority.host(), authority.port_u16().unwrap_or(80))
            .to_socket_addrs()?
            .find(SocketAddr::is_ipv4)
            .context("the host has no IPv4 address")?;
        ensure!(address.ip().is_loopback(), "{url}: load is sent to this machine only");
        let host = HeaderValue::from_str(authority.as_str())?;
        Ok(Self { address, host, path: uri.path().trim_end_matches('/').to_owned() })
    }
}

/// Where bearer tokens come from.
#[derive(Clone)]
pub(crate) enum Tokens {
    /// Minted here: HS256 with the app's own secret.
    Secret(String),
    /// Asked of the server's `auth/token` with a secret key.
    SecretKey(String),
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
}

impl Target {
    /// `base_url` is `http://host:port/path`.
    pub(crate) fn new(
        base_url: &str,
        profile: Profile,
        schema: &str,
        table: &str,
        tokens: Tokens,
    ) -> Result<Self> {
        let place = Place::read(base_url)?;
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            address: place.address,
            host: place.host,
            path: place.path,
            profile,
            schema: schema.to_owned(),
            table: table.to_owned(),
            tokens,
        })
    }

    /// The `Authorization` header of `user`.
    pub(crate) async fn authorization(&self, user: &str) -> Result<HeaderValue> {
        let token = match &self.tokens {
            Tokens::Secret(secret) => mint(secret, user)?,
            Tokens::SecretKey(key) => self.ask_token(key, user).await?,
        };
        Ok(HeaderValue::from_str(&format!("Bearer {token}"))?)
    }

    async fn ask_token(&self, key: &str, user: &str) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Minted {
            access_token: String,
        }
        let body = serde_json::json!({ "user_id": user, "ttl_seconds": TOKEN_LIFE.as_secs() }).to_string();
        let mut connection = Connection::open(self, Ipv4Addr::LOCALHOST).await?;
        let authorization = HeaderValue::from_str(&format!("Bearer {key}"))?;
        let answer = connection.post(&authorization, None, "auth/token", body.into()).await?;
        if !answer.status.is_success() {
            bail!("auth/token answered {}: {}", answer.status, answer.text());
        }
        Ok(answer.read::<Minted>()?.access_token)
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver has no clock to be moved")]
fn mint(secret: &str, user: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims { sub: user, iat: now, exp: now + TOKEN_LIFE.as_secs() };
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
