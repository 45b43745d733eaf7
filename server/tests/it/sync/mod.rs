//! The sync protocol over HTTP, by section of PROTOCOL.md.

mod connect;
mod push_commit;
mod push_short_ways;
