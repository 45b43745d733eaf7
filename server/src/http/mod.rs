//! The edge: everything that knows HTTP. It extracts and checks who asks for what, calls one use case, answers.

pub mod control;
pub mod dashboard;
pub mod error;
pub mod extract;
