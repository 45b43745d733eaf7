//! The app's own API for the tenant's servers: tokens, keys and tables, by API key, in JSON.

pub mod api_keys;
pub mod schema;
pub mod tokens;
