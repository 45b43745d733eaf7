//! What happens to every request before and after its handler.

pub(super) mod drain;
pub(super) mod encoding;
pub(super) mod observe;
pub(super) mod security;
pub(super) mod sessions;
pub(super) mod slashes;
