//! Tests through the door, against a real PostgreSQL. The modules mirror the server's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod commands;
mod control;
mod convergence;
mod crash;
mod dashboard;
mod health;
mod hostile;
mod isolation;
mod layers;
mod openapi;
mod ops;
mod quick_start;
mod schema;
mod support;
mod sync;
mod tables;
