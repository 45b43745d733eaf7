//! Every URL of the server, grouped by who calls it.

use axum::{
    Router,
    extract::FromRef,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};

use super::{
    PublicUrl, control, dashboard, health,
    middleware::{security, sessions},
    sync,
};
use crate::app::Syncline;

/// All of them.
pub(super) fn all(state: &Syncline) -> Router<Syncline> {
    let secure = PublicUrl::from_ref(state).is_https();
    let pages = for_visitors()
        .merge(for_people())
        .layer(sessions::layer(&state.control, secure))
        .layer(from_fn(security::headers));
    Router::new()
        .merge(for_operators())
        .merge(for_tenants_servers())
        .merge(for_devices(state))
        .merge(for_browsers())
        .merge(pages)
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
        .route("/t/{tenant}/{app}/api/schema", get(control::schema::read).post(control::schema::publish))
}

/// End users' devices, by bearer token: the oversync protocol.
fn for_devices(state: &Syncline) -> Router<Syncline> {
    Router::new()
        .route("/t/{tenant}/{app}/syncx/health", get(sync::status::health))
        .route("/t/{tenant}/{app}/syncx/status", get(sync::status::status))
        .route("/t/{tenant}/{app}/sync/capabilities", get(sync::capabilities::capabilities))
        .route("/t/{tenant}/{app}/sync/pull", get(sync::pull::pull))
        .route("/t/{tenant}/{app}/sync/snapshot-sessions", post(sync::snapshot::create))
        .route(
            "/t/{tenant}/{app}/sync/snapshot-sessions/{snapshot_id}",
            get(sync::snapshot::chunk).delete(sync::snapshot::delete),
        )
        .route("/t/{tenant}/{app}/sync/watch", get(sync::watch::watch))
        .route("/t/{tenant}/{app}/sync/connect", post(sync::connect::connect))
        .route("/t/{tenant}/{app}/sync/push-sessions", post(sync::push::create))
        .route("/t/{tenant}/{app}/sync/push-sessions/{push_id}", delete(sync::push::delete))
        .route("/t/{tenant}/{app}/sync/push-sessions/{push_id}/chunks", post(sync::push::stage))
        .route("/t/{tenant}/{app}/sync/push-sessions/{push_id}/commit", post(sync::push::commit))
        .route(
            "/t/{tenant}/{app}/sync/committed-bundles/{bundle_seq}/rows",
            get(sync::committed_rows::committed_rows),
        )
        .route_layer(from_fn_with_state(state.clone(), sync::record::requests))
}

/// What pages load: no credential, no session.
fn for_browsers() -> Router<Syncline> {
    Router::new().route("/static/{*address}", get(dashboard::assets::serve))
}

/// Anybody with a browser.
fn for_visitors() -> Router<Syncline> {
    Router::new()
        .route("/", get(dashboard::landing::page))
        .route("/sign-up", get(dashboard::sign_up::page).post(dashboard::sign_up::submit))
        .route("/sign-in", get(dashboard::sign_in::page).post(dashboard::sign_in::submit))
        .route("/sign-in/code", get(dashboard::sign_in::code_page).post(dashboard::sign_in::submit_code))
        .route("/invite/{token}", get(dashboard::invitations::page))
        .route(
            "/invite/{token}/sign-up",
            get(dashboard::invitations::sign_up_page).post(dashboard::invitations::sign_up),
        )
}

/// People with an account, by session.
fn for_people() -> Router<Syncline> {
    use dashboard::{
        account, apps, audit, conflicts, devices, docs, end_user_tokens, history, invitations, keys, members,
        overview, rejected_writes, row_history, schema, second_factor, settings, settle, sign_in, simulator,
        tables, tenant_settings, tenants, undo, users,
    };
    Router::new()
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::page))
        .route("/account/password", post(account::change_password))
        .route("/account/totp", get(second_factor::page))
        .route("/account/totp/begin", post(second_factor::begin))
        .route("/account/totp/confirm", post(second_factor::confirm))
        .route("/account/totp/disable", post(second_factor::disable))
        .route("/account/recovery-codes", post(second_factor::new_recovery_codes))
        .route("/account/sessions/end-others", post(account::end_other_sessions))
        .route("/account/sessions/{session}/end", post(account::end_session))
        .route("/account/delete", post(account::delete))
        .route("/invite/{token}/accept", post(invitations::accept))
        .route("/d", get(tenants::list))
        .route("/d/{tenant}", get(tenants::home))
        .route("/d/{tenant}/apps/new", get(apps::page).post(apps::submit))
        .route("/d/{tenant}/members", get(members::page))
        .route("/d/{tenant}/members/{account}/role", post(members::change_role))
        .route("/d/{tenant}/members/{account}/remove", post(members::remove))
        .route("/d/{tenant}/members/{account}/transfer", post(members::transfer))
        .route("/d/{tenant}/invitations", post(invitations::invite))
        .route("/d/{tenant}/invitations/{invitation}/revoke", post(invitations::revoke))
        .route("/d/{tenant}/leave", post(members::leave))
        .route("/d/{tenant}/settings", get(tenant_settings::page).post(tenant_settings::rename))
        .route("/d/{tenant}/settings/delete", post(tenant_settings::delete))
        .route("/d/{tenant}/audit", get(audit::page))
        .route("/d/{tenant}/audit.csv", get(audit::csv))
        .route("/d/{tenant}/audit.ndjson", get(audit::ndjson))
        .route("/d/{tenant}/{app}", get(overview::page))
        .route("/d/{tenant}/{app}/live", get(overview::live::live))
        .route("/d/{tenant}/{app}/schema", get(schema::page))
        .route("/d/{tenant}/{app}/schema/map", get(schema::map))
        .route("/d/{tenant}/{app}/schema/preview", post(schema::preview))
        .route("/d/{tenant}/{app}/schema/apply", post(schema::apply))
        .route("/d/{tenant}/{app}/tables", get(tables::list))
        .route("/d/{tenant}/{app}/tables/{table}", get(tables::detail))
        .route("/d/{tenant}/{app}/tables/{table}/new", get(tables::rows::new))
        .route("/d/{tenant}/{app}/tables/{table}/row", get(tables::rows::page))
        .route("/d/{tenant}/{app}/tables/{table}/row/preview", post(tables::rows::preview))
        .route("/d/{tenant}/{app}/tables/{table}/row/write", post(tables::rows::write))
        .route(
            "/d/{tenant}/{app}/tables/{table}/import",
            get(tables::import::page).post(tables::import::dry_run),
        )
        .route("/d/{tenant}/{app}/tables/{table}/import/apply", post(tables::import::apply))
        .route("/d/{tenant}/{app}/tables/{table}/export.csv", get(tables::export::csv))
        .route("/d/{tenant}/{app}/tables/{table}/export.ndjson", get(tables::export::ndjson))
        .route("/d/{tenant}/{app}/users", get(users::list))
        .route("/d/{tenant}/{app}/users/{scope}", get(users::detail))
        .route("/d/{tenant}/{app}/users/{scope}/revoke-tokens", post(end_user_tokens::revoke))
        .route("/d/{tenant}/{app}/users/{scope}/lift-revocation", post(end_user_tokens::lift))
        .route("/d/{tenant}/{app}/users/{scope}/token", post(users::mint))
        .route("/d/{tenant}/{app}/users/{scope}/erase", post(users::erase))
        .route("/d/{tenant}/{app}/users/{scope}/export.ndjson", get(users::export_lines))
        .route("/d/{tenant}/{app}/users/{scope}/export.sqlite", get(users::export_sqlite))
        .route("/d/{tenant}/{app}/devices", get(devices::list))
        .route("/d/{tenant}/{app}/devices/{scope}/{source}", get(devices::detail))
        .route("/d/{tenant}/{app}/devices/{scope}/{source}/retire", post(devices::retire))
        .route("/d/{tenant}/{app}/conflicts", get(conflicts::list))
        .route("/d/{tenant}/{app}/conflicts/{conflict}", get(conflicts::detail))
        .route("/d/{tenant}/{app}/conflicts/{conflict}/settle/preview", post(settle::preview))
        .route("/d/{tenant}/{app}/conflicts/{conflict}/settle", post(settle::settle))
        .route("/d/{tenant}/{app}/rejected", get(rejected_writes::list))
        .route("/d/{tenant}/{app}/rejected/{write}", get(rejected_writes::detail))
        .route("/d/{tenant}/{app}/rejected/{write}/state", post(rejected_writes::change_state))
        .route("/d/{tenant}/{app}/history", get(history::list))
        .route("/d/{tenant}/{app}/history/{scope}/{seq}", get(history::detail))
        .route("/d/{tenant}/{app}/history/{scope}/{seq}/undo/preview", post(undo::preview))
        .route("/d/{tenant}/{app}/history/{scope}/{seq}/undo", post(undo::undo))
        .route("/d/{tenant}/{app}/history/{scope}/rows/{table}/{row}", get(row_history::page))
        .route(
            "/d/{tenant}/{app}/history/{scope}/rows/{table}/{row}/restore/preview",
            post(row_history::preview_restore),
        )
        .route("/d/{tenant}/{app}/history/{scope}/rows/{table}/{row}/restore", post(row_history::restore))
        .route("/d/{tenant}/{app}/simulator", get(simulator::page).post(simulator::start))
        .route("/d/{tenant}/{app}/simulator/steps", get(simulator::steps))
        .route("/d/{tenant}/{app}/simulator/remove", post(simulator::remove))
        .route("/d/{tenant}/{app}/docs", get(docs::page))
        .route("/d/{tenant}/{app}/docs/openapi.json", get(docs::document))
        .route("/d/{tenant}/{app}/keys", get(keys::page).post(keys::issue))
        .route("/d/{tenant}/{app}/keys/{key}/revoke", post(keys::revoke))
        .route("/d/{tenant}/{app}/settings", get(settings::page).post(settings::change_general))
        .route("/d/{tenant}/{app}/settings/end-user-auth", post(settings::change_end_user_auth))
        .route("/d/{tenant}/{app}/settings/test-token", post(settings::test_token))
        .route("/d/{tenant}/{app}/settings/delete", post(settings::delete))
}
