//! Bodies that may have hundreds of megabytes: read when there is room for them.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::StatusCode,
};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::input::{check_content_type, too_large};
use crate::{
    http::error::ApiError,
    sync::room::{Place, SMALL_BYTES},
};

/// A device that sends a large body slower than this keeps others waiting, and is sent away.
const BYTES_A_SECOND: u64 = 8 * 1024;
/// What a body may take however small it is.
const GRACE: Duration = Duration::from_secs(60);

/// The bytes of a body that may be JSON, of at most `most`, and the room that they take, from `room`, which is asked how
/// many bytes there is room for.
pub(in crate::http) async fn large_json_bytes<F>(
    request: Request,
    most: usize,
    room: impl Fn(usize) -> F,
    code: &'static str,
) -> Result<(Bytes, Option<Place>), ApiError>
where
    F: Future<Output = Option<Place>>,
{
    check_content_type(request.headers())?;
    let mut body = request.into_body();
    let size = body.size_hint();
    if size.lower() > most as u64 {
        return Err(too_large());
    }
    // Nobody knows how long a body is that comes compressed, or in pieces.
    let announced = size.upper().and_then(|bytes| usize::try_from(bytes).ok());
    let mut place = match announced {
        Some(bytes) => room(bytes.min(most)).await,
        None => None,
    };
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(most));
    let mut since = Instant::now();
    while let Some(piece) = next_piece(&mut body, since, bytes.len(), code).await? {
        if bytes.len() + piece.len() > most {
            return Err(too_large());
        }
        if place.is_none() && bytes.len() + piece.len() > SMALL_BYTES {
            place = room(most).await;
            // Who waited was not slow.
            since = Instant::now();
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes.freeze(), place))
}

/// The next bytes, if they come in time.
async fn next_piece(
    body: &mut Body,
    since: Instant,
    so_far: usize,
    code: &'static str,
) -> Result<Option<Bytes>, ApiError> {
    let deadline = since + GRACE + Duration::from_secs(so_far as u64 / BYTES_A_SECOND);
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "The request body came too slowly. Send it again, or in smaller parts.",
            )
        })?;
        let Some(frame) = frame else { return Ok(None) };
        let unread = |_| ApiError::bad_request(code, "The request body could not be read to its end.");
        // What is no data are trailers.
        if let Ok(data) = frame.map_err(unread)?.into_data() {
            return Ok(Some(data));
        }
    }
}
