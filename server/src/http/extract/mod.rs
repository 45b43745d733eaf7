//! What handlers take as arguments: checked credentials and parsed input, each refusing with an
//! [`ApiError`](crate::http::error::ApiError) of its own.

pub mod api_key;
pub mod client;
pub mod end_user;
pub mod form;
pub mod input;
pub(in crate::http) mod large_body;
pub mod member;
pub mod visitor;
