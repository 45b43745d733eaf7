//! The tenant's own servers and apps, by API key.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use super::{
    client::ClientAddress,
    end_user::{AddressedApp, bearer},
};
use crate::{
    auth::secret_token::PlainToken,
    control::{
        ControlPlane,
        api_keys::{AuthenticatedKey, KeyKind, KeyScope},
        audit::Actor,
    },
    directory::{Directory, LiveApp},
    http::error::ApiError,
};

/// One of the tenant's own servers: a secret key of the app that the URL names. What the key may do is asked with
/// [`SecretKey::must`].
#[derive(Debug, Clone)]
pub struct SecretKey {
    app: Arc<LiveApp>,
    key: AuthenticatedKey,
    address: Option<IpAddr>,
}

/// Somebody with a publishable (or secret) key of the app that the URL names: no more than a stranger who knows which
/// app they mean.
#[derive(Debug, Clone)]
pub struct PublishableKey {
    app: Arc<LiveApp>,
}

impl SecretKey {
    pub fn live(&self) -> &Arc<LiveApp> {
        &self.app
    }

    /// The key as the one who does something, from where its holder is, for the audit log.
    pub fn actor(&self) -> Actor {
        self.key.actor().at(self.address)
    }

    /// The key, for `server:api:<key>` writers.
    pub fn key(&self) -> &AuthenticatedKey {
        &self.key
    }

    /// 403 unless the key has this scope.
    pub fn must(&self, scope: KeyScope) -> Result<(), ApiError> {
        if self.key.scopes.contains(scope) {
            return Ok(());
        }
        Err(ApiError::forbidden(
            "key_scope_missing",
            format!(
                "This API key lacks the scope \"{}\". Use another key, or issue one that has it.",
                scope.as_str()
            ),
        ))
    }
}

impl PublishableKey {
    pub fn live(&self) -> &Arc<LiveApp> {
        &self.app
    }
}

impl<S> FromRequestParts<S> for SecretKey
where
    S: Send + Sync,
    Directory: FromRef<S>,
    ControlPlane: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let (app, key) = authenticated(parts, state).await?;
        if key.kind != KeyKind::Secret {
            return Err(ApiError::forbidden(
                "secret_key_required",
                "This needs a secret key (sk_…). Publishable keys may be read by anybody who has the app.",
            ));
        }
        let Ok(ClientAddress(address)) = ClientAddress::from_request_parts(parts, state).await;
        Ok(Self { app, key, address })
    }
}

impl<S> FromRequestParts<S> for PublishableKey
where
    S: Send + Sync,
    Directory: FromRef<S>,
    ControlPlane: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let (app, _) = authenticated(parts, state).await?;
        Ok(Self { app })
    }
}

async fn authenticated<S>(parts: &mut Parts, state: &S) -> Result<(Arc<LiveApp>, AuthenticatedKey), ApiError>
where
    S: Send + Sync,
    Directory: FromRef<S>,
    ControlPlane: FromRef<S>,
{
    let app = Arc::clone(AddressedApp::from_request_parts(parts, state).await?.live());
    let token = PlainToken::from_request(bearer(&parts.headers)?);
    let control = ControlPlane::from_ref(state);
    let key = control.authenticate_api_key(app.app.app_id, &token).await?;
    Ok((app, key))
}
