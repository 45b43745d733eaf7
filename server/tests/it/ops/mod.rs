//! The ground: the private PostgreSQL, start and stop.

mod app_pool;
mod embedded_postgres;
mod test_database;
