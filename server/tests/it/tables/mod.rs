//! What an app syncs, over a real PostgreSQL.

mod browse;
mod capture;
mod ddl;
mod inspect;
mod publish;
mod support;
mod values;
