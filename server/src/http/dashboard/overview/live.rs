//! The overview as a stream of server-sent events: what the page shows, again as soon as it changes.
//!
//! Every event `part` is a piece of the page that replaces the one of the same id, so a stream that broke goes on with
//! its first event and nothing has to be remembered. The stream ends with the session, the membership, the role or the
//! app; `over` before its end tells the page not to come back. Asked for anything but events, the address answers the
//! figures once.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use askama::Template;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use syncline_web::{
    pages::overview::{Activity, Range, Steps},
    shell::{Area, Shell},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{RangeQuery, charts, figures, has_key, range_to_read, setup};
use crate::{
    app::Syncline,
    control::sessions::Standing,
    http::{
        dashboard::show,
        error::ApiError,
        extract::{input::ApiQuery, member::AppViewer, visitor::wants_events},
        page_error::PageError,
    },
    sync::{
        overview::{AppFigures, Place},
        rollup::read::Rollups,
    },
};

/// How often is looked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whether the person may still look is asked at every second look.
const ASK_EVERY: u64 = 2;
/// The charts are drawn anew at every tenth look, those of longer ranges once a minute.
const DRAW_EVERY: u64 = 10;
const DRAW_LONG_EVERY: u64 = 60;
/// Figures are sent at least this often: "5 min ago" must not stay, and nobody in between must take the stream for dead.
const SEND_EVERY: Duration = Duration::from_secs(15);

const OVER: Bytes = Bytes::from_static(b"event: over\ndata:\n\n");
const BEGIN: Bytes = Bytes::from_static(b"retry: 2000\n\n");

pub async fn live(
    viewer: AppViewer,
    State(app): State<Syncline>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<RangeQuery>,
) -> Result<Response, PageError> {
    if !wants_events(&headers) {
        let catalog = &viewer.live().catalog;
        let now = app.engine.figures(catalog).await?;
        return show(&figures(viewer.shell(Area::Overview), catalog, now));
    }
    let place = app.engine.overview_place(viewer.account().account_id).ok_or_else(too_many)?;
    let live = Live::new(app, viewer, Range::read(&query.range), place);
    let events = stream::unfold(live, |mut live| async move {
        live.next().await.map(|event| (Ok::<_, Infallible>(event), live))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Tells nginx to pass every event on at once.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

fn too_many() -> ApiError {
    ApiError::unavailable("Too many pages are open that show live figures. Reload for newer ones.")
}

/// What an open stream holds.
struct Live {
    app: Syncline,
    viewer: AppViewer,
    range: Range,
    looks: Interval,
    looked: u64,
    waiting: VecDeque<Bytes>,
    sent: Option<Sent>,
    drawn: Option<Rollups>,
    is_over: bool,
    _place: Place,
}

/// The figures that the page has.
struct Sent {
    figures: AppFigures,
    schema_version: i32,
    has_key: bool,
    /// The app was set up.
    is_complete: bool,
    at: Instant,
}

impl Live {
    fn new(app: Syncline, viewer: AppViewer, range: Range, place: Place) -> Self {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            app,
            viewer,
            range,
            looks,
            looked: 0,
            waiting: VecDeque::from([BEGIN]),
            sent: None,
            drawn: None,
            is_over: false,
            _place: place,
        }
    }

    /// What is sent next, once there is something. None: the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        let draining = self.app.lifecycle.draining();
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                biased;
                () = draining.cancelled() => return None,
                _ = self.looks.tick() => {}
            }
            self.looked += 1;
            if self.looked.is_multiple_of(ASK_EVERY) {
                self.ask().await;
            }
            if !self.is_over
                && let Err(error) = self.look().await
            {
                // The page keeps what it has; the next look may succeed.
                tracing::debug!(error = ?error, "live figures could not be read");
            }
        }
    }

    /// Whether the person may still look, and as the same.
    async fn ask(&mut self) {
        let viewer = &self.viewer;
        let (session, account) = (viewer.session_id(), viewer.account().account_id);
        let standing = self.app.control.standing(session, account, viewer.app().app_id).await;
        match standing {
            Ok(Standing::Member(role)) if role == viewer.role() => {}
            // Coming back, the page is made for the new role.
            Ok(Standing::Member(_)) => self.is_over = true,
            Ok(Standing::None) => {
                self.is_over = true;
                self.waiting.push_back(OVER);
            }
            Err(error) => tracing::debug!(error.cause = %error, "a live page's session could not be read"),
        }
    }

    async fn look(&mut self) -> Result<(), PageError> {
        let (tenant, slug) = (&self.viewer.tenant().slug, &self.viewer.app().slug);
        let Some(live) = self.app.directory.find(tenant.as_str(), slug.as_str()).await? else {
            return Ok(());
        };
        let catalog = &live.catalog;
        let now = self.app.engine.watched_figures(catalog).await.map_err(ApiError::internal)?;
        let has_key = has_key(&self.app.control, self.viewer.app(), &now.counts).await?;
        let is_known = self.sent.as_ref().is_some_and(|sent| {
            sent.figures == *now
                && (sent.schema_version, sent.has_key) == (catalog.schema_version, has_key)
                && sent.at.elapsed() < SEND_EVERY
        });
        if !is_known {
            let setup = setup(catalog, has_key, &now);
            let is_complete = setup.is_complete();
            // Also when they have just been done. A page that began without them has no place for them.
            if !is_complete || self.sent.as_ref().is_none_or(|sent| !sent.is_complete) {
                self.waiting.push_back(event(&Steps { shell: self.shell(), setup })?);
            }
            let part = figures(self.shell(), catalog, AppFigures::clone(&now));
            self.waiting.push_back(event(&part)?);
            let figures = AppFigures::clone(&now);
            let schema_version = catalog.schema_version;
            self.sent = Some(Sent { figures, schema_version, has_key, is_complete, at: Instant::now() });
        }
        let draw_every = if self.range == Range::Hour { DRAW_EVERY } else { DRAW_LONG_EVERY };
        if self.looked.is_multiple_of(draw_every) && now.counts.devices > 0 {
            let rollups = self.app.engine.rollups(catalog, range_to_read(self.range)).await?;
            if self.drawn.as_ref() != Some(&rollups) {
                let charts = charts::of(&rollups);
                self.waiting.push_back(event(&Activity { shell: self.shell(), range: self.range, charts })?);
                self.drawn = Some(rollups);
            }
        }
        Ok(())
    }

    fn shell(&self) -> Shell {
        Shell { now: self.app.clock.now(), notice: None, ..self.viewer.shell(Area::Overview) }
    }
}

/// A piece of the page as an event.
fn event(part: &impl Template) -> Result<Bytes, PageError> {
    let html = part.render().map_err(ApiError::internal)?;
    Ok(data(&html).into())
}

/// Each line of the text as a line of the event. What devices send may hold any character, and a carriage return ends a
/// line of an event as well.
fn data(html: &str) -> String {
    let mut event = String::with_capacity(html.len() + html.len() / 16 + 32);
    event.push_str("event: part\n");
    for line in html.split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_an_event_or_begins_another() {
        assert_eq!(
            data("<p>\n\nx\r\rdata: y\revent: over</p>"),
            "event: part\ndata: <p>\ndata: x\ndata: data: y\ndata: event: over</p>\n\n"
        );
    }
}
