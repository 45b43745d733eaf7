//! The sync protocol over HTTP, by section of PROTOCOL.md.

mod capabilities;
mod connect;
mod pull;
mod push_commit;
mod push_short_ways;
mod rotation;
mod snapshot;
mod watch;
