//! What an app syncs, over a real PostgreSQL.

mod capture;
mod support;
