//! Answers whose text is copied from the database while the client takes it.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;

use crate::sync::served::{BrokenOff, Served};

/// The text as a JSON answer. If it cannot be read to its end, the connection is broken, and one line says why.
pub(super) fn json(served: Served) -> Response {
    let body = match served {
        Served::Whole(text) => Body::from(text),
        Served::Pieces(pieces) => Body::from_stream(pieces.inspect(|piece| match piece {
            Ok(_) => {}
            Err(BrokenOff::Removed) => {
                tracing::info!("an answer was broken off: what it told has been removed meanwhile");
            }
            Err(error @ BrokenOff::Database(cause)) => {
                tracing::error!(error.cause = %cause, "an answer was broken off: {error}");
            }
        })),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
