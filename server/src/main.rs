//! The `syncline` program: reads the command line, runs one command, and tells in one line why it could not.

mod commands;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use syncline::ops::{
    config::{Config, Loaded},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Multi-tenant sync for SQLite apps.
///
/// Settings: defaults, over them the file, over them the environment. deploy/config.example.toml lists them all. The
/// most used: SYNCLINE_LISTEN (127.0.0.1:8080), SYNCLINE_PUBLIC_URL, SYNCLINE_DATA_DIR, DATABASE_URL (without it the
/// server runs a private PostgreSQL in the data folder).
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct CommandLine {
    /// Configuration file (TOML).
    #[arg(long, env = "SYNCLINE_CONFIG", global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve,
    /// Bring the database to this version's schema, and stop. `serve` does it too.
    Migrate,
    /// Make or complete a tenant, its owner, an app, tables and keys; print them as one JSON object.
    ///
    /// Can be repeated: what is there stays as it is. The keys are in the output of the run that makes them, and
    /// nowhere else.
    Provision(Box<commands::provision::Arguments>),
    /// Print the API's specification (OpenAPI, JSON).
    Openapi,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(command_line)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syncline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command_line: CommandLine) -> anyhow::Result<()> {
    let file = command_line.config.as_deref();
    match command_line.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve::run(settings(file)?).await,
        Command::Migrate => commands::migrate::run(&settings(file)?).await,
        Command::Provision(arguments) => commands::provision::run(&settings(file)?, *arguments).await,
        Command::Openapi => Ok(commands::openapi::run()?),
    }
}

/// The configuration; the log is written from here on.
fn settings(file: Option<&Path>) -> anyhow::Result<Config> {
    // A path needs no UTF-8, but a setting does; a variable that is neither ours nor text is not our business.
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        Some((name, value))
    });
    let Loaded { config, unknown_variables } = Config::load(file, environment)?;
    telemetry::start(&config.telemetry)?;
    for variable in unknown_variables {
        tracing::warn!(variable, "This variable of the environment is no setting; is it misspelt?");
    }
    Ok(config)
}
