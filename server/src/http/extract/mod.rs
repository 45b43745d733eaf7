//! What handlers take as arguments: checked credentials and parsed input, each refusing with an
//! [`ApiError`](crate::http::error::ApiError) of its own.

pub mod api_key;
pub mod end_user;
pub mod input;
