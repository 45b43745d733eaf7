//! The ground: the private PostgreSQL, start and stop.

mod app_pool;
mod embedded_postgres;
mod kill;
mod lifecycle;
mod test_database;
