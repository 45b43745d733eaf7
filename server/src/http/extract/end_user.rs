//! The devices of end users: who speaks, for which scope of which app.

use std::sync::Arc;

use crate::{
    auth::end_user::{EndUser, TokenFailure, UnverifiedToken},
    clock::Clock,
    directory::{Directory, LiveApp},
    http::{
        error::ApiError,
        sync::record::{CallerSlot, RefusedCaller},
    },
    ids::{ScopeId, SourceId, UserId},
    sync::SyncCaller,
};
use axum::{
    extract::{FromRef, FromRequestParts, RawPathParams},
    http::{HeaderMap, header, request::Parts},
};

/// The app that the URL names (`/t/{tenant}/{app}/…`), without any credential: for what strangers may see.
#[derive(Debug, Clone)]
pub struct AddressedApp(Arc<LiveApp>);

/// An end user of the app that the URL names, proved by a bearer token.
#[derive(Debug, Clone)]
pub struct EndUserToken {
    app: Arc<LiveApp>,
    user: EndUser,
}

/// A device of an end user: a bearer token and an `Oversync-Source-ID` header, both checked.
#[derive(Debug, Clone)]
pub struct EndUserActor {
    token: EndUserToken,
    source: SourceId,
}

impl AddressedApp {
    pub fn live(&self) -> &Arc<LiveApp> {
        &self.0
    }
}

impl EndUserToken {
    pub fn live(&self) -> &Arc<LiveApp> {
        &self.app
    }

    pub fn user(&self) -> &UserId {
        self.user.user()
    }

    pub fn scope(&self) -> &ScopeId {
        self.user.scope()
    }
}

impl EndUserActor {
    pub fn live(&self) -> &Arc<LiveApp> {
        &self.token.app
    }

    pub fn user(&self) -> &UserId {
        self.token.user()
    }

    pub fn scope(&self) -> &ScopeId {
        self.token.scope()
    }

    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Whom the token names, and until when; a stream ends when it does.
    pub fn token_user(&self) -> &EndUser {
        &self.token.user
    }

    /// The device as the sync engine knows it.
    pub fn caller(&self) -> SyncCaller {
        SyncCaller {
            app: Arc::clone(&self.token.app.catalog),
            scope: self.scope().clone(),
            user: self.user().as_str().to_owned(),
            source: self.source.clone(),
        }
    }
}

impl<S> FromRequestParts<S> for AddressedApp
where
    S: Send + Sync,
    Directory: FromRef<S>,
{
    type Rejection = ApiError;

    /// A tenant or app that is not there, or no slug at all: 404 with one body for all of them.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::no_such_app())?;
        let param = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        let (tenant, app) = param("tenant")
            .zip(param("app"))
            .expect("BUG: a route with an app's extractor has no {tenant} and {app} in its path");
        let live = Directory::from_ref(state).find(tenant, app).await?;
        let live = live.ok_or_else(ApiError::no_such_app)?;
        if let Some(slot) = parts.extensions.get::<CallerSlot>() {
            slot.addressed(live.app.app_id);
        }
        Ok(Self(live))
    }
}

impl<S> FromRequestParts<S> for EndUserToken
where
    S: Send + Sync,
    Directory: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let AddressedApp(app) = AddressedApp::from_request_parts(parts, state).await?;
        let token = bearer(&parts.headers)?;
        let verified = UnverifiedToken::parse(token)
            .and_then(|token| app.auth.verify(&token, Clock::from_ref(state).now()));
        match verified {
            Ok(user) => Ok(Self { app, user }),
            Err(failure) => {
                tracing::debug!(app.id = %app.app.app_id, failure = %failure, "an end user's token was refused");
                let answer = ApiError::authentication_failed(failure.hint());
                note_refusal(parts, &app, token, failure);
                Err(answer)
            }
        }
    }
}

/// Leave word of the device that a refused request names, if it names one.
fn note_refusal(parts: &Parts, app: &LiveApp, token: &str, failure: TokenFailure) {
    let Some(slot) = parts.extensions.get::<CallerSlot>() else { return };
    let (Some(named), Ok(source)) = (app.auth.named_by(token), source_id(&parts.headers)) else { return };
    let app = Arc::clone(&app.catalog);
    slot.refuse(RefusedCaller { app, scope: named.scope, source, failure });
}

impl<S> FromRequestParts<S> for EndUserActor
where
    S: Send + Sync,
    Directory: FromRef<S>,
    Clock: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let token = EndUserToken::from_request_parts(parts, state).await?;
        let source = source_id(&parts.headers)?;
        let actor = Self { token, source };
        if let Some(slot) = parts.extensions.get::<CallerSlot>() {
            slot.fill(actor.caller());
        }
        Ok(actor)
    }
}

/// The text behind `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        ApiError::authentication_failed("Send the token in a header: Authorization: Bearer <token>.")
    })?;
    value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| {
            ApiError::authentication_failed("The Authorization header must have the form: Bearer <token>.")
        })
}

/// The device's `Oversync-Source-ID`.
fn source_id(headers: &HeaderMap) -> Result<SourceId, ApiError> {
    let mut values = headers.get_all("oversync-source-id").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::invalid_request(
            "Send exactly one Oversync-Source-ID header: the device's source id.",
        ));
    };
    let parsed = value
        .to_str()
        .map_err(|_| crate::ids::InvalidName::NotPrintableAscii)
        .and_then(SourceId::parse_device);
    parsed.map_err(|reason| {
        ApiError::invalid_request(format!("The Oversync-Source-ID header is not right: {reason}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_bearer_token_is_found_or_its_absence_explained() {
        assert_eq!(bearer(&headers("authorization", &["Bearer abc"])).unwrap(), "abc");
        assert_eq!(bearer(&headers("authorization", &["bearer  abc "])).unwrap(), "abc");
        for wrong in [&[] as &[&str], &["Basic YTpi"], &["Bearer"], &["Bearer  "], &["abc"]] {
            assert_eq!(bearer(&headers("authorization", wrong)).unwrap_err().code(), "authentication_failed");
        }
    }

    #[test]
    fn a_source_id_is_exactly_one_header() {
        assert_eq!(source_id(&headers("oversync-source-id", &["dev-1"])).unwrap().as_str(), "dev-1");
        for wrong in [&[] as &[&str], &["a", "b"], &[""], &["a b"], &["server:dashboard"]] {
            assert_eq!(
                source_id(&headers("oversync-source-id", wrong)).unwrap_err().code(),
                "invalid_request"
            );
        }
    }
}
