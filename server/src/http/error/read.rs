//! Outcomes of the read path of sync: statuses, codes and sentences (PROTOCOL.md sections 4, 5 and 7).

use axum::http::StatusCode;

use super::ApiError;
use crate::sync::{gate::ScopeNotReady, pull::PullError, watch::WatchError};

impl From<ScopeNotReady> for ApiError {
    fn from(reason: ScopeNotReady) -> Self {
        match reason {
            ScopeNotReady::Uninitialized => Self::conflict(
                "scope_uninitialized",
                "The scope is not initialized. Call sync/connect first.",
            ),
            ScopeNotReady::Initializing => Self::conflict(
                "scope_initializing",
                "Another device is uploading the scope's first rows. Try again in a moment.",
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
