//! The pages, a module for each folder of `templates/`.

pub mod accounts;
pub mod api_keys;
pub mod apps;
pub mod audit;
pub mod errors;
pub mod landing;
pub mod members;
pub mod settings;
pub mod tenants;
