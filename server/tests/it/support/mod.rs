//! What the tests stand on.

pub(crate) mod app;
pub(crate) mod app_for_devices;
pub(crate) mod browser;
pub(crate) mod database;
pub(crate) mod device;
pub(crate) mod furnished;
pub(crate) mod history;
pub(crate) mod routes;
pub(crate) mod scans;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod sync_app;
