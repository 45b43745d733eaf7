//! Bearer tokens of end users: minting ours, and checking ours and the app's own.
//!
//! A token is read as an [`UnverifiedToken`], from which nobody can get a user; [`EndUserAuth::verify`] makes an
//! [`EndUser`] of it or says which check failed. The answer on the wire is one sentence ([`TokenFailure::hint`]); the
//! error's own text has the particulars, for the people who run the app.

use std::{collections::HashMap, fmt};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::ids::{AppId, InvalidName, ScopeId, UserId};

/// Issuer of the tokens that we mint.
const OUR_ISSUER: &str = "syncline";
/// The claim of our tokens that names the scope.
const OUR_SCOPE_CLAIM: &str = "scope_id";
/// Nobody's token is longer; bounds the work of refusing one.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How one app's end users authenticate. Made from `platform.app_end_user_auth`, cached with the app.
#[derive(Clone)]
pub struct EndUserAuth {
    app: AppId,
    mint_key_id: String,
    mint_secret: SigningSecret,
    own: Option<OwnJwt>,
    revocations: Revocations,
}

/// Users whose tokens are refused unless they were issued after an instant; in bounds that the control plane keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations(HashMap<String, OffsetDateTime>);

/// The app's own tokens: HS256, signed by the app's own server.
#[derive(Debug, Clone)]
pub struct OwnJwt {
    pub secret: SigningSecret,
    /// What `iss` must be; None: not checked.
    pub issuer: Option<String>,
    /// What `aud` must be or contain; None: not checked.
    pub audience: Option<String>,
    /// How far `exp` and `nbf` may be off.
    pub clock_skew: Duration,
    /// The claim that names the user, `sub` unless the app says otherwise.
    pub user_claim: String,
    /// The claim that names the scope; None: each user is their own scope.
    pub scope_claim: Option<String>,
}

/// A secret that signs tokens. Prints as its type's name.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

/// Whom a verified token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUser {
    user: UserId,
    scope: ScopeId,
    expires_at: OffsetDateTime,
    /// At the earliest, by our clock; None: the token does not say.
    issued_at: Option<OffsetDateTime>,
}

/// Whom a token names that was refused: a hint for people, proof of nothing unless [`TokenFailure::is_signed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedUser {
    pub user: UserId,
    pub scope: ScopeId,
}

/// A token as it came, its signature and claims not checked: good for nothing but being verified.
#[derive(Clone)]
pub struct UnverifiedToken<'a> {
    text: &'a str,
    header: Header,
}

/// Which check a token failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFailure {
    #[error("it is not a JWT: three parts of base64url, separated by dots, of which the first two are JSON")]
    Malformed,
    #[error("its header says alg {found}; only HS256 is accepted")]
    Algorithm { found: String },
    #[error("it was not minted by Syncline, and this app has no JWT secret of its own in its settings")]
    NoOwnSecret,
    #[error("its signature does not match {}", if *.ours { "the key that Syncline mints with" } else { "the app's JWT secret" })]
    Signature { ours: bool },
    #[error("it has no exp claim (a number of seconds since 1970)")]
    NoExpiry,
    #[error("it expired at {at}")]
    Expired { at: OffsetDateTime },
    #[error("it is not valid before {from}")]
    NotYetValid { from: OffsetDateTime },
    #[error("its iss claim is {found}; the app wants {expected:?}")]
    Issuer { expected: String, found: String },
    #[error("its aud claim is {found}; the app wants {expected:?}")]
    Audience { expected: String, found: String },
    #[error("it has no text in its {claim:?} claim, which names the user")]
    NoUser { claim: String },
    #[error("the user in its {claim:?} claim is not acceptable: {reason}")]
    User { claim: String, reason: InvalidName },
    #[error("it has no text in its {claim:?} claim, which names the scope")]
    NoScope { claim: String },
    #[error("the scope in its {claim:?} claim is not acceptable: {reason}")]
    Scope { claim: String, reason: InvalidName },
    #[error(
        "all tokens that its user got until {at} are revoked, and it is from {issued_at} at the earliest"
    )]
    Revoked { at: OffsetDateTime, issued_at: OffsetDateTime },
    #[error(
        "all tokens that its user got until {at} are revoked, and it does not say when it was issued (iat)"
    )]
    RevokedUndated { at: OffsetDateTime },
}

impl TokenFailure {
    /// What the holder of the token is told: enough to act on, nothing about the app's settings.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed => "The bearer token is not a JWT.",
            Self::Algorithm { .. } => "The bearer token is not signed with HS256.",
            Self::NoOwnSecret | Self::Signature { .. } => "The bearer token was not issued for this app.",
            Self::NoExpiry => "The bearer token has no expiry (exp).",
            Self::Expired { .. } => "The bearer token has expired. Get a new one.",
            Self::NotYetValid { .. } => "The bearer token is not valid yet. Check the clock of its issuer.",
            Self::Issuer { .. } => "The bearer token is from another issuer (iss).",
            Self::Audience { .. } => "The bearer token is for another audience (aud).",
            Self::NoUser { .. } | Self::User { .. } => "The bearer token names no acceptable user.",
            Self::NoScope { .. } | Self::Scope { .. } => "The bearer token names no acceptable scope.",
            Self::Revoked { .. } => "The bearer token was revoked. Sign in again.",
            Self::RevokedUndated { .. } => {
                "The user's earlier tokens were revoked, and the bearer token does not say when it was issued (iat)."
            }
        }
    }

    /// Which check failed, in a word that is kept with the device.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm { .. } => "algorithm",
            Self::NoOwnSecret => "key",
            Self::Signature { .. } => "signature",
            Self::NoExpiry | Self::Expired { .. } => "expiry",
            Self::NotYetValid { .. } => "not_before",
            Self::Issuer { .. } => "issuer",
            Self::Audience { .. } => "audience",
            Self::NoUser { .. } | Self::User { .. } => "user",
            Self::NoScope { .. } | Self::Scope { .. } => "scope",
            Self::Revoked { .. } | Self::RevokedUndated { .. } => "revoked",
        }
    }

    /// Whether the token bears the signature of the app's key, so that what it claims was claimed by somebody who may.
    pub const fn is_signed(&self) -> bool {
        !matches!(self, Self::Malformed | Self::Algorithm { .. } | Self::NoOwnSecret | Self::Signature { .. })
    }
}

impl<'a> UnverifiedToken<'a> {
    pub fn parse(text: &'a str) -> Result<Self, TokenFailure> {
        if text.len() > MAX_TOKEN_BYTES || text.split('.').count() != 3 {
            return Err(TokenFailure::Malformed);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|_| unreadable_header(text))?;
        if header.alg != Algorithm::HS256 || header.crit.is_some() {
            return Err(TokenFailure::Algorithm { found: format!("{:?}", header.alg) });
        }
        Ok(Self { text, header })
    }

    fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims, if `secret` signed them. They are authentic then, but neither timely nor meant for us yet.
    fn claims_signed_by(&self, secret: &SigningSecret) -> Option<Map<String, Value>> {
        // The library would check the claims against the machine's clock; ours can be moved, and tells more.
        let mut signature_only = Validation::new(Algorithm::HS256);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        let key = DecodingKey::from_secret(&secret.0);
        jsonwebtoken::decode(self.text, &key, &signature_only).ok().map(|token| token.claims)
    }
}

/// What a token claims, whoever made it.
fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A header that names an algorithm which the library does not know (`none`, for instance) is told apart from junk.
fn unreadable_header(text: &str) -> TokenFailure {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let alg = text
        .split('.')
        .next()
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .and_then(|header| header.get("alg").and_then(Value::as_str).map(str::to_owned));
    match alg {
        Some(found) => TokenFailure::Algorithm { found },
        None => TokenFailure::Malformed,
    }
}

impl EndUserAuth {
    pub fn new(app: AppId, mint_key_id: String, mint_secret: SigningSecret, own: Option<OwnJwt>) -> Self {
        Self { app, mint_key_id, mint_secret, own, revocations: Revocations::default() }
    }

    /// The same, with users whose tokens are revoked.
    #[must_use]
    pub fn with_revocations(self, revocations: Revocations) -> Self {
        Self { revocations, ..self }
    }

    /// A token for `user` and `scope` that lives for `ttl` from `now`.
    pub fn mint(&self, user: &UserId, scope: &ScopeId, now: OffsetDateTime, ttl: Duration) -> String {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.mint_key_id.clone());
        let claims = json!({
            "iss": OUR_ISSUER,
            "aud": self.app,
            "sub": user,
            OUR_SCOPE_CLAIM: scope,
            "iat": now.unix_timestamp(),
            "exp": (now + ttl).unix_timestamp(),
        });
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&self.mint_secret.0))
            .expect("BUG: HS256 signing of plain JSON cannot fail")
    }

    /// Whom the token names, if every check holds at `now`; else the first check that fails.
    pub fn verify(&self, token: &UnverifiedToken<'_>, now: OffsetDateTime) -> Result<EndUser, TokenFailure> {
        if token.key_id() == Some(&self.mint_key_id) {
            let claims =
                token.claims_signed_by(&self.mint_secret).ok_or(TokenFailure::Signature { ours: true })?;
            let user = self.check_ours(&claims, now)?;
            return self.check_revoked(&user).map(|()| user);
        }
        let own = self.own.as_ref().ok_or(TokenFailure::NoOwnSecret)?;
        let claims = token.claims_signed_by(&own.secret).ok_or(TokenFailure::Signature { ours: false })?;
        let user = own.check(&claims, now)?;
        self.check_revoked(&user).map(|()| user)
    }

    /// Whether a user who was let in before still would be, as far as revocations go: for streams that are open.
    pub fn still_lets_in(&self, user: &EndUser) -> bool {
        self.check_revoked(user).is_ok()
    }

    /// Whom a refused token names, if it names anybody. Nothing about it is proved.
    pub fn named_by(&self, token: &str) -> Option<UnverifiedUser> {
        let claims = unverified_claims(token)?;
        let ours = || {
            // Another app's devices are none of this one's.
            check_audience(&claims, &self.app.to_string()).ok()?;
            let user = user_in(&claims, "sub").ok()?;
            let scope = scope_in(&claims, OUR_SCOPE_CLAIM).unwrap_or_else(|_| user.own_scope());
            Some(UnverifiedUser { user, scope })
        };
        let own = self.own.as_ref().filter(|_| claims.get("iss").and_then(Value::as_str) != Some(OUR_ISSUER));
        let Some(own) = own else { return ours() };
        let user = user_in(&claims, &own.user_claim).ok()?;
        let scope = match &own.scope_claim {
            Some(claim) => scope_in(&claims, claim).ok()?,
            None => user.own_scope(),
        };
        Some(UnverifiedUser { user, scope })
    }

    /// Tokens tell their time in whole seconds, so one that is issued in the second of the revocation is refused too.
    fn check_revoked(&self, user: &EndUser) -> Result<(), TokenFailure> {
        let Some(at) = self.revocations.0.get(user.user.as_str()).copied() else { return Ok(()) };
        match user.issued_at {
            None => Err(TokenFailure::RevokedUndated { at }),
            Some(issued_at) if issued_at <= at => Err(TokenFailure::Revoked { at, issued_at }),
            Some(_) => Ok(()),
        }
    }

    fn check_ours(&self, claims: &Map<String, Value>, now: OffsetDateTime) -> Result<EndUser, TokenFailure> {
        let expires_at = check_times(claims, now, Duration::ZERO)?;
        check_audience(claims, &self.app.to_string())?;
        let user = user_in(claims, "sub")?;
        let scope = scope_in(claims, OUR_SCOPE_CLAIM)?;
        Ok(EndUser { user, scope, expires_at, issued_at: instant(claims, "iat") })
    }
}

impl OwnJwt {
    fn check(&self, claims: &Map<String, Value>, now: OffsetDateTime) -> Result<EndUser, TokenFailure> {
        let expires_at = check_times(claims, now, self.clock_skew)?;
        if let Some(expected) = &self.issuer {
            let found = claims.get("iss").unwrap_or(&Value::Null);
            if found.as_str() != Some(expected) {
                return Err(TokenFailure::Issuer { expected: expected.clone(), found: found.to_string() });
            }
        }
        if let Some(expected) = &self.audience {
            check_audience(claims, expected)?;
        }
        let user = user_in(claims, &self.user_claim)?;
        let scope = match &self.scope_claim {
            Some(claim) => scope_in(claims, claim)?,
            None => user.own_scope(),
        };
        // The clock of the app's own server may be ahead of ours by the skew.
        let issued_at = instant(claims, "iat").map(|at| at.checked_sub(self.clock_skew).unwrap_or(at));
        Ok(EndUser { user, scope, expires_at, issued_at })
    }
}

impl EndUser {
    pub fn user(&self) -> &UserId {
        &self.user
    }

    pub fn scope(&self) -> &ScopeId {
        &self.scope
    }

    /// When the token ends; a stream that it opened ends then.
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }
}

impl FromIterator<(String, OffsetDateTime)> for Revocations {
    fn from_iter<T: IntoIterator<Item = (String, OffsetDateTime)>>(revocations: T) -> Self {
        Self(revocations.into_iter().collect())
    }
}

impl SigningSecret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

/// `exp` (required) and `nbf` (optional) against `now`. Returns when the token ends, skew included.
fn check_times(
    claims: &Map<String, Value>,
    now: OffsetDateTime,
    skew: Duration,
) -> Result<OffsetDateTime, TokenFailure> {
    let exp = instant(claims, "exp").ok_or(TokenFailure::NoExpiry)?;
    let end = exp.checked_add(skew).unwrap_or(exp);
    if end <= now {
        return Err(TokenFailure::Expired { at: exp });
    }
    match instant(claims, "nbf") {
        Some(from) if from.checked_sub(skew).unwrap_or(from) > now => Err(TokenFailure::NotYetValid { from }),
        _ => Ok(end),
    }
}

/// A NumericDate (RFC 7519): seconds since 1970, perhaps with a fraction. What lies beyond the year 9999 is its end.
fn instant(claims: &Map<String, Value>, claim: &str) -> Option<OffsetDateTime> {
    const END: i64 = 253_402_300_799;
    let value = claims.get(claim)?;
    // `as` saturates, and a JSON number is never NaN.
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))?;
    OffsetDateTime::from_unix_timestamp(seconds.clamp(0, END)).ok()
}

/// `aud` is one text or a list of them.
fn check_audience(claims: &Map<String, Value>, expected: &str) -> Result<(), TokenFailure> {
    let found = claims.get("aud").unwrap_or(&Value::Null);
    let meant = match found {
        Value::String(audience) => audience == expected,
        Value::Array(audiences) => audiences.iter().any(|audience| audience.as_str() == Some(expected)),
        _ => false,
    };
    if meant {
        return Ok(());
    }
    Err(TokenFailure::Audience { expected: expected.to_owned(), found: found.to_string() })
}

fn user_in(claims: &Map<String, Value>, claim: &str) -> Result<UserId, TokenFailure> {
    let text = claims
        .get(claim)
        .and_then(Value::as_str)
        .ok_or_else(|| TokenFailure::NoUser { claim: claim.to_owned() })?;
    UserId::parse(text).map_err(|reason| TokenFailure::User { claim: claim.to_owned(), reason })
}

fn scope_in(claims: &Map<String, Value>, claim: &str) -> Result<ScopeId, TokenFailure> {
    let text = claims
        .get(claim)
        .and_then(Value::as_str)
        .ok_or_else(|| TokenFailure::NoScope { claim: claim.to_owned() })?;
    ScopeId::parse(text).map_err(|reason| TokenFailure::Scope { claim: claim.to_owned(), reason })
}

impl fmt::Debug for EndUserAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndUserAuth").field("app", &self.app).field("own", &self.own).finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedToken")
    }
}

#[cfg(test)]
mod tests;
