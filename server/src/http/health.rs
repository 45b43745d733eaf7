//! For those who operate the server: is it alive, may it get requests, and its numbers.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::ops::{
    database::Databases,
    lifecycle::Lifecycle,
    metrics::{self, DATABASE_CONNECTIONS},
};

/// How long the database may take to answer before the server counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// 200 for as long as the process can answer at all.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// 200 when requests are welcome: the database answers and the server is not stopping. Otherwise 503.
pub(super) async fn ready(
    State(lifecycle): State<Lifecycle>,
    State(databases): State<Databases>,
) -> Response {
    if lifecycle.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let question = sqlx::query("select 1").execute(&databases.platform);
    match tokio::time::timeout(READY_WITHIN, question).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

/// The server's numbers, for Prometheus.
pub(super) async fn metrics(State(databases): State<Databases>) -> impl IntoResponse {
    let recorder = metrics::recorder();
    let platform_idle = databases.platform.num_idle();
    let platform_used = (databases.platform.size() as usize).saturating_sub(platform_idle);
    let (apps_idle, apps_used) = databases.apps.idle_and_used();
    for (name, idle, used) in [("platform", platform_idle, platform_used), ("apps", apps_idle, apps_used)] {
        ::metrics::gauge!(DATABASE_CONNECTIONS, "pool" => name, "state" => "idle").set(idle as f64);
        ::metrics::gauge!(DATABASE_CONNECTIONS, "pool" => name, "state" => "used").set(used as f64);
    }
    recorder.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.render())
}
