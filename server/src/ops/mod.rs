//! The ground the platform runs on: configuration, databases, telemetry, start and stop.

mod app_pool;
pub mod config;
pub mod database;
pub mod embedded_postgres;
mod fair_permits;
pub mod lifecycle;
pub mod machine;
pub mod metrics;
pub mod secret_key;
pub mod telemetry;
