//! The pages, a module for each folder of `templates/`.

pub mod account;
pub mod accounts;
pub mod api_keys;
pub mod apps;
pub mod audit;
pub mod conflicts;
pub mod devices;
pub mod docs;
pub mod end_users;
pub mod errors;
pub mod history;
pub mod invitations;
pub mod landing;
pub mod members;
pub mod overview;
pub mod rejected_writes;
pub mod schema;
pub mod schema_map;
pub mod settings;
pub mod table_import;
pub mod table_rows;
pub mod tables;
pub mod tenants;
pub mod users;
pub mod values;
pub mod write_preview;
