#![doc = include_str!("../README.md")]

pub mod app;
pub mod auth;
pub mod clock;
pub mod control;
pub mod directory;
pub mod erasure;
pub mod http;
pub mod ids;
mod jobs;
pub mod openapi;
pub mod ops;
pub mod simulator;
pub mod sync;
pub mod tables;
