//! The command line, and which scenario gets what.

use std::{path::PathBuf, rc::Rc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::{
    compare, pages,
    process::Watched,
    raw,
    rows::Profile,
    scenario::{Run, apps, bulk, first_request, growth, noisy, pull, push, snapshot, watch},
    target::{Target, Tokens},
};

/// Measure a server that speaks the oversync protocol.
#[derive(Parser)]
#[command(name = "syncline-bench")]
pub(crate) struct Cli {
    #[command(flatten)]
    server: Server,
    /// How long each closed loop runs.
    #[arg(long, global = true, default_value_t = 10.0)]
    seconds: f64,
    #[command(subcommand)]
    command: Command,
}

/// The app to measure.
#[derive(Args, Clone)]
struct Server {
    /// http://127.0.0.1:8080/t/TENANT/APP
    #[arg(long, global = true)]
    base_url: Option<String>,
    /// Secret with which end users' tokens are signed (HS256).
    #[arg(long, global = true)]
    jwt_secret: Option<String>,
    /// Or: a secret key, with which tokens are asked of auth/token.
    #[arg(long, global = true)]
    secret_key: Option<String>,
    #[arg(long, global = true, default_value = "strings")]
    profile: Profile,
    /// The logical schema.
    #[arg(long, global = true, default_value = "main")]
    schema: String,
    #[arg(long, global = true, default_value = "items")]
    table: String,
    /// Process of the server: its CPU time and memory go into the figures.
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    /// The postmaster, unless it is a child of the server.
    #[arg(long, global = true)]
    postgres_pid: Option<u32>,
}

#[derive(Subcommand)]
enum Command {
    /// Cycles of one row: create, chunk, commit, read back.
    Push {
        #[arg(long, value_delimiter = ',', default_value = "1,8,16,32,64")]
        users: Vec<usize>,
    },
    /// Pushes of many rows.
    Bulk {
        #[arg(long, value_delimiter = ',', default_value = "1000,5000")]
        rows: Vec<usize>,
        #[arg(long, value_delimiter = ',', default_value = "1,4")]
        users: Vec<usize>,
        /// Pushes of each user.
        #[arg(long, default_value_t = 10)]
        pushes: usize,
    },
    /// 2,000 bundles of 5 rows, in pages of 1,000.
    Pull {
        #[arg(long, value_delimiter = ',', default_value = "1,32")]
        clients: Vec<usize>,
    },
    /// First build and later readers.
    Snapshot {
        #[arg(long, default_value_t = 200_000)]
        rows: usize,
        #[arg(long, default_value_t = 1_000)]
        chunk_rows: usize,
        #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
        clients: Vec<usize>,
    },
    /// Open streams, and commits that wake them.
    Watch {
        #[arg(long, default_value_t = 10_000)]
        streams: usize,
        #[arg(long, default_value_t = 10_000)]
        scopes: usize,
        #[arg(long, default_value_t = 500.0)]
        commits: f64,
    },
    /// The load of some users on one app and spread over all, turn by turn.
    Apps {
        /// A base URL a line.
        #[arg(long)]
        apps_file: PathBuf,
        #[arg(long, default_value_t = 8)]
        users: usize,
        /// Cycles a second of each user; as fast as they can if left out.
        #[arg(long)]
        rate: Option<f64>,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A quiet app alone and beside a noisy one, turn by turn.
    Noisy {
        #[arg(long)]
        noisy_url: String,
        #[arg(long, default_value_t = 4)]
        quiet_users: usize,
        #[arg(long, default_value_t = 10.0)]
        quiet_rate: f64,
        #[arg(long, default_value_t = 64)]
        noisy_users: usize,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// The cost of a push as its scope grows.
    Growth {
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
    },
    /// Knock until a server that is being started answers.
    FirstRequest,
    /// The same writes in plain SQL.
    Raw {
        #[arg(long)]
        database_url: String,
        /// Connections that write one row at a time.
        #[arg(long, value_delimiter = ',', default_value = "1,8,16")]
        clients: Vec<usize>,
    },
    /// Alternate between two servers and print ratios.
    Compare(CompareArgs),
    /// Every page of the dashboard over an app that holds much.
    Pages(pages::Arguments),
    /// Print the tables that a measured app needs.
    Schema,
}

/// The second server; what is not said is as for the first.
#[derive(Args)]
struct CompareArgs {
    #[arg(long)]
    other_url: String,
    #[arg(long)]
    other_jwt_secret: Option<String>,
    #[arg(long)]
    other_schema: Option<String>,
    #[arg(long)]
    other_profile: Option<Profile>,
    #[arg(long)]
    other_server_pid: Option<u32>,
    #[arg(long)]
    other_postgres_pid: Option<u32>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl Server {
    fn target(&self, base_url: &str) -> Result<Rc<Target>> {
        let tokens = match (&self.jwt_secret, &self.secret_key) {
            (Some(secret), _) => Tokens::Secret(secret.clone()),
            (None, Some(key)) => Tokens::SecretKey(key.clone()),
            (None, None) => bail!("say --jwt-secret or --secret-key"),
        };
        Ok(Rc::new(Target::new(base_url, self.profile, &self.schema, &self.table, tokens)?))
    }

    fn watched(&self) -> Watched {
        Watched::new(self.server_pid, self.postgres_pid)
    }

    /// A run with users of its own.
    fn run(&self, seconds: f64) -> Result<Run> {
        let target = self.target(self.base_url.as_deref().context("say --base-url")?)?;
        Ok(Run::new(target, self.watched(), Duration::from_secs_f64(seconds)))
    }
}

pub(crate) async fn run(cli: Cli) -> Result<()> {
    let fresh = || cli.server.run(cli.seconds);
    match &cli.command {
        Command::Push { users } => {
            for users in users {
                push::run(&fresh()?, *users).await?.print()?;
            }
        }
        Command::Bulk { rows, users, pushes } => {
            for rows in rows {
                for users in users {
                    bulk::run(&fresh()?, *users, *rows, *pushes).await?.print()?;
                }
            }
        }
        Command::Pull { clients } => {
            let run = fresh()?;
            pull::prepare(&run).await?;
            for clients in clients {
                pull::run(&run, *clients).await?.print()?;
            }
        }
        Command::Snapshot { rows, chunk_rows, clients } => {
            snapshots(&fresh()?, *rows, *chunk_rows, clients).await?;
        }
        Command::Watch { streams, scopes, commits } => {
            let load = watch::Load { streams: *streams, scopes: *scopes, commits: *commits };
            watch::run(&fresh()?, load).await?.print()?;
        }
        Command::Apps { apps_file, users, rate, rounds } => {
            many_apps(&cli, apps_file, apps::Load { users: *users, rate: *rate }, *rounds).await?;
        }
        Command::Noisy { noisy_url, quiet_users, quiet_rate, noisy_users, rounds } => {
            let load =
                noisy::Load { quiet_users: *quiet_users, quiet_rate: *quiet_rate, noisy_users: *noisy_users };
            noisy::run(&fresh()?, &cli.server.target(noisy_url)?, load, *rounds).await?;
        }
        Command::Growth { rows } => growth::run(&fresh()?, *rows, |figures| figures.print()).await?,
        Command::FirstRequest => first_request::run(&fresh()?).await?.print()?,
        Command::Raw { database_url, clients } => {
            let duration = Duration::from_secs_f64(cli.seconds);
            raw::run(database_url, clients, cli.server.watched(), duration, |figures| figures.print())
                .await?;
        }
        Command::Compare(args) => {
            compare::run([fresh()?, args.other(&cli.server, cli.seconds)?], args.rounds).await?;
        }
        Command::Pages(arguments) => {
            let base_url = cli.server.base_url.as_deref().context("say --base-url")?;
            pages::run(base_url, &cli.server.table, arguments).await?;
        }
        Command::Schema => std::io::Write::write_all(&mut std::io::stdout(), SCHEMA.as_bytes())?,
    }
    Ok(())
}

const SCHEMA: &str = include_str!("../schema.sql");

async fn snapshots(run: &Run, rows: usize, chunk_rows: usize, clients: &[usize]) -> Result<()> {
    snapshot::prepare(run, rows).await?;
    for clients in clients {
        snapshot::run(run, rows, chunk_rows, *clients, true).await?.print()?;
        snapshot::run(run, rows, chunk_rows, *clients, false).await?.print()?;
    }
    Ok(())
}

async fn many_apps(cli: &Cli, file: &PathBuf, load: apps::Load, rounds: usize) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let urls = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let targets = urls.map(|url| cli.server.target(url)).collect::<Result<Vec<_>>>()?;
    let first = targets.first().context("no app in the file")?;
    let run = || Run::new(first.clone(), cli.server.watched(), Duration::from_secs_f64(cli.seconds));
    apps::run([run(), run()], &targets, load, rounds).await
}

impl CompareArgs {
    fn other(&self, first: &Server, seconds: f64) -> Result<Run> {
        let mut server = first.clone();
        server.base_url = Some(self.other_url.clone());
        server.server_pid = self.other_server_pid;
        server.postgres_pid = self.other_postgres_pid;
        server.profile = self.other_profile.unwrap_or(first.profile);
        if let Some(secret) = &self.other_jwt_secret {
            server.jwt_secret = Some(secret.clone());
        }
        if let Some(schema) = &self.other_schema {
            server.schema.clone_from(schema);
        }
        server.run(seconds)
    }
}
