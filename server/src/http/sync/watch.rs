//! `GET sync/watch`: server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::pull::invalid;
use crate::{
    app::Syncline,
    auth::end_user::EndUser,
    clock::Clock,
    directory::{Directory, LiveApp},
    http::{
        error::{ApiError, ErrorBody},
        extract::{
            end_user::EndUserActor,
            input::{ApiQuery, Input},
        },
        long_answer::LongAnswer,
    },
    ids::BundleSeq,
    sync::{
        hub::{News, Wake},
        watch::Watch,
    },
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
/// does or is revoked, when the source is retired and when the server stops.
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
        clock: app.clock.clone(),
        directory: app.directory.clone(),
        live: Arc::clone(actor.live()),
        user: actor.token_user().clone(),
        draining: app.lifecycle.draining(),
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Tells nginx to pass every event on at once.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Extension(LongAnswer), Body::from_stream(events)).into_response())
}

/// What an open stream holds.
struct EventStream {
    watch: Watch,
    heartbeat: Interval,
    clock: Clock,
    directory: Directory,
    /// The app as it was when the stream was opened.
    live: Arc<LiveApp>,
    /// Whom the token named that opened it.
    user: EndUser,
    draining: CancellationToken,
}

fn heartbeat(every: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn events(stream: EventStream) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(stream, |mut stream| async move { stream.next().await.map(|bytes| (Ok(bytes), stream)) })
}

impl EventStream {
    /// What is sent next. None: the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return None,
                news = self.watch.next() => match news? {
                    News::Bundle(wake) => return Some(event(&wake)),
                    // Apart, because it is rare and would be the most of what a stream holds.
                    News::AppChanged if Box::pin(self.may_go_on()).await => {}
                    News::AppChanged => return None,
                },
                _ = self.heartbeat.tick() => {
                    self.watch.goes_on();
                    let is_over = self.clock.now() >= self.user.expires_at();
                    return (!is_over).then(|| Bytes::from_static(b": heartbeat\n\n"));
                }
            }
        }
    }

    /// Whether the app as it is now would still let the device in, which the stream's token has proved before. If that
    /// cannot be found out, the stream ends, and the device asks again.
    async fn may_go_on(&self) -> bool {
        let (tenant, app) = (self.live.tenant_slug.as_str(), self.live.app.slug.as_str());
        match self.directory.find(tenant, app).await {
            Ok(Some(live)) => live.app.app_id == self.live.app.app_id && live.auth.still_lets_in(&self.user),
            Ok(None) | Err(_) => false,
        }
    }
}

fn event(wake: &Wake) -> Bytes {
    let data = serde_json::json!({
        "bundle_seq": wake.seq,
        "source_id": &*wake.source,
        "source_bundle_id": wake.source_bundle_id,
    });
    format!("event: bundle\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_waits_holds_little() {
        fn size_of_stream<S: Stream>(_: impl FnOnce(EventStream) -> S) -> usize {
            size_of::<S>()
        }
        let bytes = size_of_stream(events);
        assert!(bytes <= 1_024, "{bytes} bytes: something that is rare is not in a box");
    }
}
