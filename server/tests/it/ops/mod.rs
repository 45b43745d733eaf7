//! The ground: the private PostgreSQL, start and stop.

mod embedded_postgres;
mod test_database;
