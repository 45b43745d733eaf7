//! The load driver: speaks the sync protocol to a server on this machine and prints a line of figures a scenario. How to run
//! it, and what it found, is in `README.md`.

mod cli;
mod compare;
mod connection;
mod device;
mod figures;
mod pace;
mod pages;
mod process;
mod raw;
mod rows;
mod scenario;
mod target;

use anyhow::Result;
use clap::Parser;
use tokio::{runtime::Builder, task::LocalSet};

fn main() -> Result<()> {
    // One thread: the driver is to leave the cores to the server that it measures.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(cli::run(cli::Cli::parse())))
}
