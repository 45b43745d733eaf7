//! Every URL of the server, grouped by who calls it.

use axum::{
    Router,
    routing::{delete, get, post},
};

use super::{control, health, sync};
use crate::app::Syncline;

/// All of them.
pub(super) fn all() -> Router<Syncline> {
    Router::new().merge(for_operators()).merge(for_tenants_servers()).merge(for_devices())
}

/// Who runs the server: no credential, and nothing about tenants in the answers.
fn for_operators() -> Router<Syncline> {
    Router::new()
        .route("/livez", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
}

/// The tenants' own servers, by API key.
fn for_tenants_servers() -> Router<Syncline> {
    Router::new()
        .route("/t/{tenant}/{app}/auth/token", post(control::tokens::mint))
        .route("/t/{tenant}/{app}/api/keys", get(control::api_keys::list).post(control::api_keys::issue))
        .route("/t/{tenant}/{app}/api/keys/{key}", delete(control::api_keys::revoke))
}

/// End users' devices, by bearer token: the oversync protocol.
fn for_devices() -> Router<Syncline> {
    Router::new()
        .route("/t/{tenant}/{app}/sync/connect", post(sync::connect::connect))
        .route("/t/{tenant}/{app}/sync/push-sessions", post(sync::push::create))
        .route("/t/{tenant}/{app}/sync/push-sessions/{push_id}", delete(sync::push::delete))
        .route("/t/{tenant}/{app}/sync/push-sessions/{push_id}/chunks", post(sync::push::stage))
        .route("/t/{tenant}/{app}/sync/push-sessions/{push_id}/commit", post(sync::push::commit))
        .route(
            "/t/{tenant}/{app}/sync/committed-bundles/{bundle_seq}/rows",
            get(sync::committed_rows::committed_rows),
        )
}
