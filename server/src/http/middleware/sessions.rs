//! The session cookie of the dashboard.

use time::Duration;
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};

use crate::control::{ControlPlane, sessions::PgSessions};

/// The cookie's name.
const COOKIE: &str = "syncline_session";
/// A session ends when it has not been changed for so long; signing in is a change.
const LIFETIME: Duration = Duration::days(14);

/// Sessions for the routes that are pages. The cookie is not readable by scripts, does not travel with requests that
/// other sites' forms make, and travels over https only when `secure`.
pub(in crate::http) fn layer(control: &ControlPlane, secure: bool) -> SessionManagerLayer<PgSessions> {
    SessionManagerLayer::new(control.session_store())
        .with_name(COOKIE)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_secure(secure)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(LIFETIME))
}
