//! The oversync protocol over HTTP, under `/t/{tenant}/{app}/sync/` (PROTOCOL.md). One endpoint, one file or function.

pub(crate) mod capabilities;
pub(crate) mod committed_rows;
pub(crate) mod connect;
pub(crate) mod pull;
pub(crate) mod push;
pub(in crate::http) mod record;
mod served;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod watch;
