//! Outcomes of the write path of sync: statuses, codes and sentences (PROTOCOL.md sections 2 and 3).

use super::ApiError;
use crate::sync::{
    bundle::CommittedRowsError,
    push::{CommitError, CreateError, DeleteError, MAX_SOURCE_BUNDLE_ID, PushRefused, StageError},
};

impl From<PushRefused> for ApiError {
    fn from(refused: PushRefused) -> Self {
        match refused {
            PushRefused::NotFound => Self::not_found(
                "push_session_not_found",
                "There is no such push session. It may have been committed, replaced or lost: create it again.",
            ),
            PushRefused::Forbidden => {
                Self::forbidden("push_session_forbidden", "The push session belongs to somebody else.")
            }
            PushRefused::Expired => {
                Self::gone("push_session_expired", "The push session has expired. Create it again.")
            }
            PushRefused::ScopeUninitialized => Self::conflict(
                "scope_uninitialized",
                "The scope is not initialized. Call sync/connect first.",
            ),
            PushRefused::InitializationMissing => Self::bad_request(
                "push_session_invalid",
                "The scope is being initialized: only a push with the initialization_id of sync/connect may begin.",
            ),
            PushRefused::InitializationUnexpected => Self::bad_request(
                "push_session_invalid",
                "The scope is initialized already: a push to it carries no initialization_id.",
            ),
            PushRefused::InitializationExpired => Self::gone(
                "initialization_expired",
                "The right to initialize the scope has expired. Call sync/connect again.",
            ),
            PushRefused::InitializationStale => Self::conflict(
                "initialization_stale",
                "The right to initialize the scope belongs to another device or to a later sync/connect.",
            ),
            PushRefused::SourceRetired { source_id, replaced_by } => Self::conflict(
                "source_retired",
                format!("The source \"{source_id}\" is retired and may not push."),
            )
            .with("source_id", source_id.as_str())
            .with("replaced_by_source_id", replaced_by),
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        let invalid = |message: String| Self::bad_request("push_session_invalid", message);
        match error {
            CreateError::Refused(refused) => refused.into(),
            CreateError::Database(error) => error.into(),
            CreateError::HistoryPruned => Self::conflict(
                "history_pruned",
                "This bundle of the source was committed and is no longer retained.",
            ),
            CreateError::OutOfOrder { expected } => Self::conflict(
                "source_sequence_out_of_order",
                format!("The next bundle of this source has source_bundle_id {expected}."),
            ),
            CreateError::Taken { source_bundle_id } => Self::conflict(
                "source_sequence_out_of_order",
                format!(
                    "This source has committed other rows as source_bundle_id {source_bundle_id}: the device was \
                     restored from a backup, or another device has the same source id. Go on as a new source."
                ),
            ),
            CreateError::SourceBundleId => {
                invalid(format!("source_bundle_id must be a whole number from 1 to {MAX_SOURCE_BUNDLE_ID}."))
            }
            CreateError::PlannedRowCount => {
                invalid("planned_row_count must be a whole number from 1.".to_owned())
            }
            CreateError::TooManyRows { max } => {
                invalid(format!("A push must have at most {max} rows. Push in smaller parts."))
            }
            CreateError::RequestHash => {
                invalid("canonical_request_hash must be a SHA-256 in 64 lowercase hex digits.".to_owned())
            }
        }
    }
}

impl From<StageError> for ApiError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Refused(refused) => refused.into(),
            StageError::Database(error) => error.into(),
            StageError::Invalid(invalid) => Self::bad_request("push_chunk_invalid", invalid.to_string()),
            StageError::OutOfOrder { expected } => Self::conflict(
                "push_chunk_out_of_order",
                format!("The next row of this push has ordinal {expected}."),
            ),
            StageError::MoreThanPlanned => Self::bad_request(
                "push_chunk_invalid",
                "The push would have more rows than its planned_row_count.",
            ),
            StageError::TooManyBytes { max } => Self::bad_request(
                "push_chunk_invalid",
                format!("The rows of one push may have at most {max} bytes. Push in smaller parts."),
            ),
        }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        let invalid = |message: String| Self::bad_request("push_commit_invalid", message);
        match error {
            CommitError::Refused(refused) => refused.into(),
            CommitError::Database(error) => error.into(),
            CommitError::SourceSequenceChanged => Self::conflict(
                "source_sequence_changed",
                "The source has committed another bundle since this push was created. Create it again.",
            ),
            CommitError::Incomplete { planned, staged } => {
                invalid(format!("{staged} of {planned} planned rows have been uploaded."))
            }
            CommitError::HashMismatch => {
                invalid("The uploaded rows do not have the announced canonical_request_hash.".to_owned())
            }
            CommitError::TablesChanged => {
                invalid("The app's tables have changed since the rows were uploaded. Push again.".to_owned())
            }
            CommitError::DuplicateRow => invalid("The same row is in this push twice.".to_owned()),
            CommitError::NoEffect => invalid("The push changes nothing.".to_owned()),
            CommitError::Constraint(refusal) => invalid(refusal.to_string()),
            CommitError::Conflict(conflict) => Self::conflict("push_conflict", conflict.sentence()),
            CommitError::Busy => {
                Self::unavailable("Other writes to this scope are in the way. Try again.").retry_after(1)
            }
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Refused(refused) => refused.into(),
            DeleteError::Database(error) => error.into(),
        }
    }
}

impl From<CommittedRowsError> for ApiError {
    fn from(error: CommittedRowsError) -> Self {
        let invalid = |what: &str, from: i64| {
            let message = format!("{what} must be a whole number from {from}.");
            Self::bad_request("committed_bundle_chunk_invalid", message)
        };
        match error {
            CommittedRowsError::BundleSeq => invalid("bundle_seq", 1),
            CommittedRowsError::AfterRowOrdinal => invalid("after_row_ordinal", 0),
            CommittedRowsError::MaxRows => invalid("max_rows", 1),
            CommittedRowsError::NotFound => {
                Self::not_found("committed_bundle_not_found", "The scope has no such bundle.")
            }
            CommittedRowsError::HistoryPruned => {
                Self::conflict("history_pruned", "The bundle is no longer retained. Rebuild from a snapshot.")
            }
            CommittedRowsError::NotAsSent => Self::conflict(
                "history_pruned",
                "The bundle was committed, but its rows are not spelled as this device sent them. Rebuild from a snapshot.",
            ),
            CommittedRowsError::Database(error) => error.into(),
        }
    }
}
