//! Outcomes of the read path of sync: statuses, codes and sentences (PROTOCOL.md sections 4, 5 and 7).

use axum::http::StatusCode;

use super::ApiError;
use crate::sync::{
    gate::ScopeNotReady,
    pull::PullError,
    snapshot::{
        chunk::ChunkError,
        session::{SessionRefused, SnapshotError},
    },
    watch::WatchError,
};

impl From<ScopeNotReady> for ApiError {
    fn from(reason: ScopeNotReady) -> Self {
        match reason {
            ScopeNotReady::Uninitialized => Self::conflict(
                "scope_uninitialized",
                "The scope is not initialized. Call sync/connect first.",
            ),
            ScopeNotReady::Initializing => Self::conflict(
                "scope_initializing",
                "The scope's first rows are being uploaded, by this device or another, and are not committed yet. Commit them, or try again in a moment.",
            ),
        }
    }
}

impl From<PullError> for ApiError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::NotReady(reason) => reason.into(),
            PullError::HistoryPruned { floor } => Self::conflict(
                "history_pruned",
                format!("History up to bundle {floor} is pruned. Rebuild from a snapshot."),
            ),
            PullError::BundleTooLarge { seq } => Self::conflict(
                "history_pruned",
                format!("Bundle {seq} is too large to be sent in one answer. Rebuild from a snapshot."),
            ),
            PullError::CheckpointAhead { latest } => Self::conflict(
                "checkpoint_ahead",
                format!("The latest bundle is {latest}: what was asked for lies beyond it."),
            ),
            PullError::Database(error) => error.into(),
        }
    }
}

impl From<WatchError> for ApiError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::NotReady(reason) => reason.into(),
            WatchError::Retired { replaced_by } => Self::forbidden(
                "bundle_change_watch_forbidden",
                match replaced_by {
                    Some(source) => format!("This source is retired and replaced by \"{source}\"."),
                    None => "This source is retired.".to_owned(),
                },
            ),
            WatchError::Disabled => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "bundle_change_watch_disabled",
                "This server does not offer watching. Pull from time to time instead.",
            ),
            WatchError::TooMany => {
                Self::unavailable("Too many devices are watching. Pull, and try again later.").retry_after(30)
            }
            WatchError::Database(error) => error.into(),
        }
    }
}

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::NotReady(reason) => reason.into(),
            SnapshotError::InvalidReplacement(reason) => {
                Self::bad_request("snapshot_session_invalid", reason)
            }
            SnapshotError::NewSourceTaken(source) => Self::conflict(
                "source_replacement_invalid",
                format!("The source \"{source}\" is known already. Choose another for new_source_id."),
            ),
            SnapshotError::SourceRetired { source_id, replaced_by } => {
                Self::conflict("source_retired", format!("The source \"{source_id}\" is retired already."))
                    .with("source_id", source_id.as_str())
                    .with("replaced_by_source_id", replaced_by)
            }
            SnapshotError::LimitExceeded { dimension, actual, limit } => Self::conflict(
                "snapshot_session_limit_exceeded",
                format!("The snapshot is too big: its {dimension} is {actual}, and {limit} is allowed."),
            )
            .with("dimension", dimension)
            .with("actual", actual)
            .with("limit", limit),
            SnapshotError::BuildCapacity => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "snapshot_build_capacity",
                "Too many snapshots are being built. Try again in a moment.",
            )
            .retry_after(2),
            SnapshotError::Database(error) => error.into(),
            error @ (SnapshotError::Inconsistent { .. } | SnapshotError::CutOff) => Self::internal(error),
        }
    }
}

impl From<SessionRefused> for ApiError {
    fn from(refused: SessionRefused) -> Self {
        match refused {
            SessionRefused::NotFound => Self::not_found(
                "snapshot_session_not_found",
                "There is no such snapshot session. Create a new one.",
            ),
            SessionRefused::Forbidden => Self::forbidden(
                "snapshot_session_forbidden",
                "The snapshot session belongs to somebody else.",
            ),
            SessionRefused::Expired => {
                Self::gone("snapshot_session_expired", "The snapshot session has expired. Create a new one.")
            }
            SessionRefused::Database(error) => error.into(),
        }
    }
}

impl From<ChunkError> for ApiError {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Refused(refused) => refused.into(),
            ChunkError::Beyond { row_count } => Self::bad_request(
                "snapshot_chunk_invalid",
                format!("after_row_ordinal must not be above {row_count}, the number of rows."),
            ),
            ChunkError::TooSmall { required } => Self::bad_request(
                "snapshot_chunk_too_small",
                format!("The next row has {required} bytes, more than max_bytes allows."),
            )
            .with("required_byte_count", required),
            ChunkError::Capacity => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "snapshot_chunk_capacity",
                "Too many snapshots are being read. Try again in a moment.",
            )
            .retry_after(1),
            ChunkError::Incomplete => Self::internal(error),
        }
    }
}
