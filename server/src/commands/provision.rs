//! `syncline provision`: a tenant, its owner, an app with tables and keys, for set-up scripts and CI.

use std::{
    fmt::Display,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use syncline::{
    auth::{password::Password, sealing::SecretKey},
    clock::Clock,
    control::{
        ControlPlane,
        accounts::Email,
        apps::life::LogicalSchema,
        provision::{JwtSecret, Provisioned, Wanted},
        slugs::Slug,
        tenants::{AppName, TenantName},
    },
    ids::Chance,
    ops::config::Config,
    tables::spec::WireProfile,
};

use super::{Postgres, migrated};

/// What is to be there afterwards.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The tenant's slug: the first part of its apps' URLs.
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// What people call the tenant; its slug if left out.
    #[arg(long, value_name = "NAME")]
    tenant_name: Option<String>,
    /// The address of the tenant's owner.
    #[arg(long)]
    email: String,
    /// File with the password of a new account (`-`: standard input); an account that exists keeps its own.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The app's slug: the second part of its URL.
    #[arg(long, value_name = "SLUG")]
    app: String,
    /// What people call the app; its slug if left out.
    #[arg(long, value_name = "NAME")]
    app_name: Option<String>,
    /// File with the app's CREATE TABLE statements, SQLite or PostgreSQL; without it the tables stay as they are.
    #[arg(long, value_name = "FILE")]
    schema_file: Option<PathBuf>,
    /// The schema that clients name in every row.
    #[arg(long, value_name = "NAME", default_value = "main")]
    logical_schema: String,
    /// How numbers travel: `strings`, or `numbers` for clients from before July 2026.
    #[arg(long, value_name = "PROFILE", default_value = "strings")]
    wire_profile: String,
    /// Accept users' JWTs that are signed with this secret.
    #[arg(long, value_name = "SECRET", env = "SYNCLINE_PROVISION_JWT_HS256_SECRET", hide_env_values = true)]
    jwt_hs256_secret: Option<String>,
}

/// Make or complete all of it, and print what there is as one JSON object on standard output. Works beside a running
/// server, whose private PostgreSQL it then uses.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let wanted = arguments.wanted(config)?;
    let postgres = Postgres::open_beside_server(&config.database).await?;
    let outcome = provision(config, &postgres, &wanted).await;
    postgres.close().await;
    let mut text = serde_json::to_string(&outcome?)?;
    text.push('\n');
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

async fn provision(config: &Config, postgres: &Postgres, wanted: &Wanted) -> anyhow::Result<Provisioned> {
    let chance = Chance::system();
    let seals = wanted.jwt_secret.is_some();
    // What is sealed the servers must be able to open; where nothing is, no key has to be there.
    let secret_key = if seals { SecretKey::of(config, &chance)? } else { SecretKey::generate(&chance) };
    let databases = migrated(&postgres.url, &config.database).await?;
    let control = ControlPlane::new(&databases, secret_key, Clock::system(), chance);
    let outcome = async {
        if seals {
            // Not with this key if others were sealed with another.
            control.seal_stored_secrets().await?;
        }
        Ok(control.provision(wanted).await?)
    };
    let outcome = outcome.await;
    databases.close().await;
    outcome
}

impl Arguments {
    /// Check every argument before anything is made.
    fn wanted(self, config: &Config) -> anyhow::Result<Wanted> {
        let tenant_name = self.tenant_name.as_ref().unwrap_or(&self.tenant);
        let app_name = self.app_name.as_ref().unwrap_or(&self.app);
        let password = read(&self.password_file).context("--password-file cannot be read")?;
        let schema_text = self.schema_file.as_deref().map(read).transpose();
        let profile = WireProfile::parse(&self.wire_profile);
        Ok(Wanted {
            tenant_slug: argument("--tenant", Slug::parse_new(&self.tenant))?,
            tenant_name: argument("--tenant-name", TenantName::parse(tenant_name))?,
            email: argument("--email", Email::parse(&self.email))?,
            // An editor ends a file with a line feed, which is not part of the password.
            password: argument("--password-file", Password::new(password.trim_end_matches(['\r', '\n'])))?,
            app_slug: argument("--app", Slug::parse_new(&self.app))?,
            app_name: argument("--app-name", AppName::parse(app_name))?,
            profile: argument("--wire-profile", profile.ok_or("it is either strings or numbers"))?,
            logical_schema: argument("--logical-schema", LogicalSchema::parse(&self.logical_schema))?,
            schema_text: schema_text.context("--schema-file cannot be read")?,
            jwt_secret: self.jwt_hs256_secret.map(JwtSecret::new),
            public_url: config.http.base_url(),
        })
    }
}

fn argument<T>(name: &str, parsed: Result<T, impl Display>) -> anyhow::Result<T> {
    parsed.map_err(|reason| anyhow!("{name} is not acceptable: {reason}"))
}

/// The text of a file, or of standard input for `-`.
fn read(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("{shown}"))
}
