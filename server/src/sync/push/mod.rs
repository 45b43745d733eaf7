//! A push: created, staged chunk by chunk, committed as one bundle or not at all (PROTOCOL.md section 3).

mod commit;
mod commit_small;
mod create;
mod delete;
mod expire;
mod group_commit;
mod stage;

use self::{
    create::CreateGroups,
    group_commit::{COMMITS_AT_ONCE, CommitGroups},
    stage::ChunkGroups,
};
use crate::ids::{BundleSeq, SourceId};

pub(in crate::sync) use self::expire::AppsWithPushes;
pub use self::{
    commit::CommitError,
    create::{CreateError, CreatedPush, MAX_SOURCE_BUNDLE_ID, NewPush},
    delete::DeleteError,
    stage::{StageError, StagedPush},
};

/// Steps of small pushes that wait to be taken together with others of their app.
#[derive(Debug, Clone)]
pub(in crate::sync) struct PushGroups {
    creates: CreateGroups,
    chunks: ChunkGroups,
    commits: CommitGroups,
}

/// A bundle that a push has become; what its device is told, once or again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPush {
    pub bundle_seq: BundleSeq,
    pub source: SourceId,
    pub source_bundle_id: i64,
    pub row_count: i32,
    pub bundle_hash: String,
    /// As announced when the push was created. None in profile `numbers` if it was not.
    pub request_hash: Option<String>,
}

/// Why a push can do nothing now, whatever it contains. Every step of a push may answer one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushRefused {
    #[error("the push session does not exist")]
    NotFound,
    #[error("the push session belongs to another scope or source")]
    Forbidden,
    #[error("the push session has expired")]
    Expired,
    #[error("the scope is not initialized")]
    ScopeUninitialized,
    #[error("the scope is being initialized and the push carries no initialization id")]
    InitializationMissing,
    #[error("the scope is initialized already and the push carries an initialization id")]
    InitializationUnexpected,
    #[error("the right to initialize the scope has expired")]
    InitializationExpired,
    #[error("the right to initialize the scope belongs to another device or connect")]
    InitializationStale,
    #[error("the source is retired")]
    SourceRetired { source_id: SourceId, replaced_by: Option<String> },
}

impl Default for PushGroups {
    fn default() -> Self {
        Self {
            creates: CreateGroups::new(1),
            chunks: ChunkGroups::new(1),
            commits: CommitGroups::new(COMMITS_AT_ONCE),
        }
    }
}

impl PushRefused {
    /// The meaning of an outcome of the engine's functions; None for those that are a step's own.
    fn parse(outcome: &str, source: &SourceId, replaced_by: Option<&str>) -> Option<Self> {
        Some(match outcome {
            "not_found" => Self::NotFound,
            "forbidden" => Self::Forbidden,
            "expired" => Self::Expired,
            "scope_uninitialized" => Self::ScopeUninitialized,
            "initialization_missing" => Self::InitializationMissing,
            "initialization_unexpected" => Self::InitializationUnexpected,
            "initialization_expired" => Self::InitializationExpired,
            "initialization_stale" => Self::InitializationStale,
            "source_retired" => {
                Self::SourceRetired { source_id: source.clone(), replaced_by: replaced_by.map(str::to_owned) }
            }
            _ => return None,
        })
    }
}
