//! The sync protocol over HTTP, by section of PROTOCOL.md.

mod capabilities;
mod committed_rows;
mod connect;
mod devices;
mod long_answer;
mod plans;
mod preview_write;
mod pull;
mod push_at_once;
mod push_commit;
mod push_conflict;
mod push_create;
mod push_refused;
mod push_short_ways;
mod push_stage;
mod retention;
mod rotation;
mod server_write;
mod snapshot;
mod watch;
