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
    clock::Clock,
    http::error::Refused,
    ids::AppId,
    sync::{
        Engine, SyncCaller,
        device::{Verb, facts::Answered},
        rollup::meter::Measured,
    },
};

/// Where the extractors of a device leave which app it meant, and who it was if its token was good.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct CallerSlot(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    app: OnceLock<AppId>,
    caller: OnceLock<SyncCaller>,
}

impl CallerSlot {
    pub(in crate::http) fn fill(&self, caller: SyncCaller) {
        // A handler with two extractors of devices would fill it twice with the same.
        let _ = self.0.caller.set(caller);
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
    if let Some(caller) = slot.0.caller.get() {
        engine.facts().answered(
            caller,
            Answered {
                at,
                verb,
                status: response.status().as_u16(),
                refusal: refused.map(|refused| (refused.code, refused.message.as_str())),
                client: client.as_deref(),
                address: address.as_deref(),
            },
        );
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
