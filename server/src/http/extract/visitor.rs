//! Whoever looks at our pages: a session, and perhaps an account.
//!
//! The levels build on each other, and each has private fields, so that holding one proves the check:
//! [`Visitor`] (anybody) → [`SignedIn`] → [`TenantMember`](super::member::TenantMember) → an app's.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, Method, header, request::Parts},
};
use serde::{Deserialize, Serialize};
use syncline_web::{
    forms::Csrf,
    shell::{Notice, Shell},
};
use time::Duration;
use tower_sessions::{Expiry, Session};

use super::form;
use crate::{
    auth::secret_token::PlainToken,
    control::{
        ControlPlane,
        accounts::Account,
        audit::Actor,
        security_events::Origin,
        sessions::{ACCOUNT_MEMBER, PENDING_ACCOUNT_MEMBER},
    },
    http::{error::ApiError, page_error::PageError},
    ids::AccountId,
};

/// Members of a session's data besides the account.
const CSRF_MEMBER: &str = "csrf";
const NOTICE_MEMBER: &str = "notice";

/// How long a sign-in form may lie open. Whoever never signs in leaves nothing behind for longer.
const ANONYMOUS_LIFETIME: Duration = Duration::hours(4);
/// How long a person may look for the code of their second factor.
const PENDING_LIFETIME: Duration = Duration::minutes(10);

/// Anybody with a browser. Has a session only once something had to be remembered.
#[derive(Debug, Clone)]
pub struct Visitor {
    session: Session,
    account: Option<Account>,
    /// The session's token, if it has one yet.
    csrf: Option<Csrf>,
}

/// A person who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    session: Session,
    account: Account,
    origin: Origin,
    csrf: Csrf,
    notice: Option<Notice>,
    now: time::OffsetDateTime,
}

/// A notice as the session keeps it until the next page.
#[derive(Serialize, Deserialize)]
enum KeptNotice {
    Done(String),
    Failed(String),
}

impl Visitor {
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The session's token for a form, made now if there is none: call it only where a form is shown.
    pub async fn csrf(&mut self, control: &ControlPlane) -> Result<Csrf, PageError> {
        if let Some(csrf) = &self.csrf {
            return Ok(csrf.clone());
        }
        let csrf = new_csrf(control);
        if self.account.is_none() {
            self.session.set_expiry(Some(Expiry::OnInactivity(ANONYMOUS_LIFETIME)));
        }
        self.session.insert(CSRF_MEMBER, csrf.as_str()).await?;
        self.csrf = Some(csrf.clone());
        Ok(csrf)
    }

    /// Whether `token` is this session's.
    pub(super) fn sent(&self, token: &Csrf) -> bool {
        self.csrf.as_ref().is_some_and(|csrf| form::same(csrf, token))
    }

    /// Sign `account` in: the session gets another id (so that nobody who planted the old one comes along) and another
    /// form token.
    pub async fn sign_in(&self, control: &ControlPlane, account: &Account) -> Result<(), PageError> {
        self.session.cycle_id().await?;
        self.session.remove::<AccountId>(PENDING_ACCOUNT_MEMBER).await?;
        self.session.insert(ACCOUNT_MEMBER, account.account_id).await?;
        self.session.insert(CSRF_MEMBER, new_csrf(control).as_str()).await?;
        Ok(())
    }

    /// Remember that the password of `account` was right and its second factor is still to come. Nobody is signed in by
    /// it.
    pub async fn wait_for_code(&self, control: &ControlPlane, account: &Account) -> Result<(), PageError> {
        self.session.cycle_id().await?;
        self.session.set_expiry(Some(Expiry::OnInactivity(PENDING_LIFETIME)));
        self.session.insert(PENDING_ACCOUNT_MEMBER, account.account_id).await?;
        self.session.insert(CSRF_MEMBER, new_csrf(control).as_str()).await?;
        Ok(())
    }

    /// The account whose second factor is still to come.
    pub async fn waiting_for_code(&self, control: &ControlPlane) -> Result<Option<Account>, PageError> {
        match self.session.get::<AccountId>(PENDING_ACCOUNT_MEMBER).await? {
            Some(id) => Ok(control.account(id).await?),
            None => Ok(None),
        }
    }

    /// End the session, whoever's it is.
    pub async fn sign_out(&self) -> Result<(), PageError> {
        Ok(self.session.flush().await?)
    }
}

impl SignedIn {
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The person as the one who does something, from where they are.
    pub fn actor(&self) -> Actor {
        self.account.actor().at(self.origin.address)
    }

    /// From where the person acts.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// End this session.
    pub async fn end(&self) -> Result<(), PageError> {
        Ok(self.session.flush().await?)
    }

    /// This session's id, for "end all others".
    pub fn session_id(&self) -> Option<tower_sessions::session::Id> {
        self.session.id()
    }

    /// The frame of a page outside any tenant.
    pub fn shell(&self) -> Shell {
        Shell::new(&self.account.email, self.csrf.clone(), self.now).saying(self.notice.clone())
    }

    /// Say something on the next page that the person sees.
    pub async fn notify(&self, notice: Notice) -> Result<(), PageError> {
        let kept = match notice {
            Notice::Done(text) => KeptNotice::Done(text),
            Notice::Failed(text) => KeptNotice::Failed(text),
        };
        Ok(self.session.insert(NOTICE_MEMBER, kept).await?)
    }
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    ControlPlane: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let session = Session::from_request_parts(parts, state).await.map_err(|(_, reason)| {
            ApiError::internal(format!("a page's route has no session layer: {reason}"))
        })?;
        let csrf: Option<String> = session.get(CSRF_MEMBER).await?;
        let account = match session.get::<AccountId>(ACCOUNT_MEMBER).await? {
            Some(id) => ControlPlane::from_ref(state).account(id).await?,
            None => None,
        };
        Ok(Self { session, account, csrf: csrf.map(Csrf::new) })
    }
}

impl<S> FromRequestParts<S> for SignedIn
where
    S: Send + Sync,
    ControlPlane: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let mut visitor = Visitor::from_request_parts(parts, state).await?;
        let control = ControlPlane::from_ref(state);
        let csrf = visitor.csrf_if_signed_in(&control).await?;
        let (Some(account), Some(csrf)) = (visitor.account.clone(), csrf) else {
            return Err(PageError::SignInFirst { next: way_back(parts), htmx: is_htmx(&parts.headers) });
        };
        // A notice is for a whole page, not for a part of one that is fetched, nor for a form on its way.
        let is_part = is_htmx(&parts.headers) || wants_events(&parts.headers);
        let whole_page = parts.method == Method::GET && !is_part;
        // Removing what is not there would count as a change, and every look at a page would write the session.
        let kept: Option<KeptNotice> = match whole_page && visitor.has_notice().await? {
            true => visitor.session.remove(NOTICE_MEMBER).await?,
            false => None,
        };
        let notice = kept.map(|kept| match kept {
            KeptNotice::Done(text) => Notice::Done(text),
            KeptNotice::Failed(text) => Notice::Failed(text),
        });
        let Ok(origin) = Origin::from_request_parts(parts, state).await;
        if let Some(id) = visitor.session.id() {
            control.note_session_use(&id, origin.clone());
        }
        Ok(Self { session: visitor.session, account, origin, csrf, notice, now: control.now() })
    }
}

impl Visitor {
    async fn has_notice(&self) -> Result<bool, PageError> {
        Ok(self.session.get_value(NOTICE_MEMBER).await?.is_some())
    }

    /// The form token of a signed-in session; None when nobody is signed in, so that strangers leave no session behind.
    async fn csrf_if_signed_in(&mut self, control: &ControlPlane) -> Result<Option<Csrf>, PageError> {
        match self.account {
            Some(_) => self.csrf(control).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Where to go after signing in: back to the page, if it is one that can be asked for again.
fn way_back(parts: &Parts) -> String {
    if parts.method != Method::GET || is_htmx(&parts.headers) {
        return String::new();
    }
    parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default()
}

/// Whether htmx asks, for a part of a page.
pub fn is_htmx(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request")
}

/// Whether a stream of events is asked for, for a page that is open.
pub fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/event-stream"))
}

fn new_csrf(control: &ControlPlane) -> Csrf {
    Csrf::new(PlainToken::generate("", control.chance()).expose())
}
