//! The API of the tenants' own servers, and what the control plane promises to every node.

mod api_keys;
mod apps;
mod provision;
mod schema;
mod sealed_secrets;
mod tokens;
