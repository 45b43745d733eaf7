//! What the server knows of devices: gathered beside their requests, judged in one sentence, listed for people.

pub mod detail;
pub mod facts;
mod flush;
pub mod list;
pub mod retire;
mod row;
pub mod search;
pub(in crate::sync) mod streams;
pub mod turned_away;
pub mod verdict;

/// What a device asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Capabilities,
    Connect,
    PushCreate,
    PushChunk,
    PushCommit,
    PushDelete,
    CommittedRows,
    Pull,
    SnapshotCreate,
    SnapshotChunk,
    SnapshotDelete,
    Watch,
}

impl Verb {
    /// As it is kept in the ledgers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Connect => "connect",
            Self::PushCreate => "push_create",
            Self::PushChunk => "push_chunk",
            Self::PushCommit => "push_commit",
            Self::PushDelete => "push_delete",
            Self::CommittedRows => "committed_rows",
            Self::Pull => "pull",
            Self::SnapshotCreate => "snapshot_create",
            Self::SnapshotChunk => "snapshot_chunk",
            Self::SnapshotDelete => "snapshot_delete",
            Self::Watch => "watch",
        }
    }

    /// Whether a success of this verb makes a refusal of `other` good: of the same kind, or a whole push after any
    /// step of one.
    pub(in crate::sync) fn settles(self, other: &str) -> bool {
        match self {
            Self::PushCommit => other.starts_with("push_"),
            Self::SnapshotCreate | Self::SnapshotChunk => {
                other == self.as_str() || other == Self::Pull.as_str()
            }
            verb => other == verb.as_str(),
        }
    }
}
