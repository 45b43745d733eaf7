//! `GET sync/watch`: server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::pull::invalid;
use crate::{
    app::Syncline,
    clock::Clock,
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            end_user::EndUserActor,
            input::{ApiQuery, Input},
        },
    },
    ids::BundleSeq,
    sync::{hub::Wake, watch::Watch},
};

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WatchQuery {
    /// The last bundle that the device has; 0, the default, for none.
    #[param(minimum = 0)]
    after_bundle_seq: Option<i64>,
}

impl Input for WatchQuery {}

/// Wait for newer bundles
///
/// A stream of server-sent events: `event: bundle` with `{"bundle_seq","source_id","source_bundle_id"}` as soon as the
/// scope has a bundle after the one named, at once if it has one already. Events may be joined: only the latest bundle
/// is told. They are a hint to pull and carry no rows. A comment comes every 25 seconds. The stream ends when the token
/// does, when the source is retired and when the server stops.
#[utoipa::path(
    get,
    path = "/t/{tenant}/{app}/sync/watch",
    tag = "Sync",
    operation_id = "watch",
    params(
        ("tenant" = String, Path, description = "The tenant's slug"),
        ("app" = String, Path, description = "The app's slug"),
        ("Oversync-Source-ID" = String, Header, description = "The device's source id"),
        WatchQuery,
    ),
    responses(
        (status = 200, description = "Events until one side ends the stream", content_type = "text/event-stream"),
        (status = 400, description = "`invalid_request`", body = ErrorBody),
        (status = 401, description = "`authentication_failed`", body = ErrorBody),
        (status = 403, description = "`bundle_change_watch_forbidden`: the source is retired", body = ErrorBody),
        (status = 409, description = "`scope_uninitialized` or `scope_initializing`", body = ErrorBody),
        (status = 503, description = "`bundle_change_watch_disabled`, or `service_unavailable` when too many devices watch",
            body = ErrorBody),
    ),
    security(("user_token" = []))
)]
pub(crate) async fn watch(
    actor: EndUserActor,
    State(app): State<Syncline>,
    ApiQuery(query): ApiQuery<WatchQuery>,
) -> Result<Response, ApiError> {
    let after = query.after_bundle_seq.unwrap_or(0);
    if after < 0 {
        return Err(invalid("after_bundle_seq", 0));
    }
    let watch = app.engine.watch(&actor.caller(), BundleSeq(after)).await?;
    let heartbeat_every = Duration::from_secs(app.config.limits.watch_heartbeat_seconds.max(1));
    let events = events(EventStream {
        watch,
        heartbeat: heartbeat(heartbeat_every),
        clock: app.clock,
        ends_at: actor.expires_at(),
        draining: app.lifecycle.draining(),
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Tells nginx to pass every event on at once.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// What an open stream holds.
struct EventStream {
    watch: Watch,
    heartbeat: Interval,
    clock: Clock,
    /// Of the token.
    ends_at: OffsetDateTime,
    draining: CancellationToken,
}

fn heartbeat(every: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn events(stream: EventStream) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(stream, |mut stream| async move {
        tokio::select! {
            biased;
            () = stream.draining.cancelled() => None,
            wake = stream.watch.next() => Some((Ok(event(&wake?)), stream)),
            _ = stream.heartbeat.tick() => {
                let is_over = stream.clock.now() >= stream.ends_at;
                (!is_over).then(|| (Ok(Bytes::from_static(b": heartbeat\n\n")), stream))
            }
        }
    })
}

fn event(wake: &Wake) -> Bytes {
    let data = serde_json::json!({
        "bundle_seq": wake.seq,
        "source_id": &*wake.source,
        "source_bundle_id": wake.source_bundle_id,
    });
    format!("event: bundle\ndata: {data}\n\n").into()
}
