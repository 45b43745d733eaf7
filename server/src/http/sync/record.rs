//! Notes every request of a device: what it asked for and what it was answered.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::Response,
};

use crate::{
    auth::end_user::TokenFailure,
    clock::Clock,
    http::error::Refused,
    ids::{AppId, ScopeId, SourceId},
    sync::{
        Engine, SyncCaller,
        device::{Verb, facts::Answered, turned_away::TurnedAway},
        rollup::meter::Measured,
    },
    tables::catalog::AppCatalog,
};

/// Where the extractors of a device leave which app it meant, and who it was or said to be.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct CallerSlot(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    app: OnceLock<AppId>,
    caller: OnceLock<Somebody>,
}

/// Who made a request.
#[derive(Debug)]
enum Somebody {
    Device(SyncCaller),
    Refused(RefusedCaller),
}

/// Whom a request named whose token was refused.
#[derive(Debug)]
pub(in crate::http) struct RefusedCaller {
    pub(in crate::http) app: Arc<AppCatalog>,
    pub(in crate::http) scope: ScopeId,
    pub(in crate::http) source: SourceId,
    pub(in crate::http) failure: TokenFailure,
}

impl CallerSlot {
    pub(in crate::http) fn fill(&self, caller: SyncCaller) {
        // A handler with two extractors of devices would fill it twice with the same.
        let _ = self.0.caller.set(Somebody::Device(caller));
    }

    pub(in crate::http) fn refuse(&self, caller: RefusedCaller) {
        let _ = self.0.caller.set(Somebody::Refused(caller));
    }

    pub(in crate::http) fn addressed(&self, app: AppId) {
        let _ = self.0.app.set(app);
    }
}

/// Let the request pass, count it, and note it if a device made it.
pub(in crate::http) async fn requests(
    State(engine): State<Engine>,
    State(clock): State<Clock>,
    mut request: Request,
    next: Next,
) -> Response {
    let verb =
        request.extensions().get::<MatchedPath>().and_then(|path| verb(request.method(), path.as_str()));
    let Some(verb) = verb else { return next.run(request).await };
    let slot = CallerSlot::default();
    request.extensions_mut().insert(slot.clone());
    let client =
        request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let address =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_string());
    let since = Instant::now();
    let response = next.run(request).await;
    let (took, at) = (since.elapsed(), clock.now());
    let refused = response.extensions().get::<Refused>();
    if let Some(app) = slot.0.app.get() {
        let code = refused.map(|refused| refused.code);
        let status = response.status().as_u16();
        engine.meter().answered(*app, Measured { at, verb, status, code, took });
    }
    match slot.0.caller.get() {
        None => {}
        Some(Somebody::Device(caller)) => {
            let answered = Answered {
                at,
                verb,
                status: response.status().as_u16(),
                refusal: refused.map(|refused| (refused.code, refused.message.as_str())),
                subject: refused.and_then(|refused| refused.subject.as_deref()),
                client: client.as_deref(),
                address: address.as_deref(),
            };
            engine.facts().answered(caller, answered);
        }
        Some(Somebody::Refused(caller)) => {
            let message = caller.failure.to_string();
            let refused = TurnedAway {
                at,
                verb,
                check: caller.failure.check(),
                message: &message,
                is_signed: caller.failure.is_signed(),
                scope: &caller.scope,
                source: &caller.source,
            };
            engine.facts().turned_away(&caller.app, refused);
        }
    }
    response
}

/// What a route of the protocol is for.
fn verb(method: &Method, path: &str) -> Option<Verb> {
    let (_, path) = path.split_once("/sync/")?;
    Some(match (path, method.as_str()) {
        ("capabilities", _) => Verb::Capabilities,
        ("connect", _) => Verb::Connect,
        ("push-sessions", _) => Verb::PushCreate,
        ("push-sessions/{push_id}/chunks", _) => Verb::PushChunk,
        ("push-sessions/{push_id}/commit", _) => Verb::PushCommit,
        ("push-sessions/{push_id}", _) => Verb::PushDelete,
        ("committed-bundles/{bundle_seq}/rows", _) => Verb::CommittedRows,
        ("pull", _) => Verb::Pull,
        ("snapshot-sessions", _) => Verb::SnapshotCreate,
        ("snapshot-sessions/{snapshot_id}", "DELETE") => Verb::SnapshotDelete,
        ("snapshot-sessions/{snapshot_id}", _) => Verb::SnapshotChunk,
        ("watch", _) => Verb::Watch,
        _ => return None,
    })
}
