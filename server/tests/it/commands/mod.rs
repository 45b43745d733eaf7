//! The program's commands, run as people run them.

mod errors;
mod provision;
