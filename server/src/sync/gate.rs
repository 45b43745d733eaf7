//! Whether a scope can be read: the gates that pull, snapshots and watch share (PROTOCOL.md, sections 2, 4, 5, 7).

/// Why a scope cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeNotReady {
    /// Nobody has connected yet, or the lease of the one who was to fill the scope has expired.
    #[error("the scope is not initialized")]
    Uninitialized,
    /// A device is uploading the scope's first rows.
    #[error("the scope is being initialized by a device")]
    Initializing,
}

/// The expression that tells a scope's state at `$now`: an `initializing` scope whose lease has expired counts as
/// uninitialized. For statements that read `_sync_scope` as `s`.
macro_rules! state_at {
    ($now:literal) => {
        concat!(
            "case when s.state = 'initializing' and s.lease_expires_at <= ",
            $now,
            " then 'uninitialized' else s.state end"
        )
    };
}
pub(in crate::sync) use state_at;

/// What `state_at!` answered; None: the scope has no row.
pub(in crate::sync) fn check(state: Option<&str>) -> Result<(), ScopeNotReady> {
    match state {
        Some("initialized") => Ok(()),
        Some("initializing") => Err(ScopeNotReady::Initializing),
        None | Some("uninitialized") => Err(ScopeNotReady::Uninitialized),
        Some(other) => unreachable!("BUG: a scope in state {other}"),
    }
}
