//! Credentials: what they look like, how they are made and how they are checked. Nothing here knows the database.

pub mod end_user;
pub mod password;
pub mod sealing;
pub mod secret_token;
pub mod totp;
