//! The pages of the dashboard over an app that holds much: how long the server takes for each, and what a browser loads
//! before there is any data. Not the protocol, and so of this server alone.

mod browser;
mod fill;
mod site;
mod visits;

use std::{collections::BTreeSet, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde::Serialize;
use sqlx::{Connection, PgConnection};

use self::{
    browser::Browser,
    fill::Amount,
    site::Site,
    visits::{Visit, is_known},
};
use crate::figures::{Times, histogram, print_line};

/// What a page may take.
const MAX_MS: f64 = 100.0;
const MAX_BYTES: usize = 150 * 1024;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The server's PostgreSQL, as a role that may do anything.
    #[arg(long)]
    database_url: String,
    /// An owner of the tenant.
    #[arg(long)]
    email: String,
    /// File with their password.
    #[arg(long)]
    password_file: PathBuf,
    /// Slug of another app of the tenant with the same tables and nothing in them.
    #[arg(long, default_value = "empty")]
    empty_app: String,
    /// Fill the app first. It must hold nothing.
    #[arg(long)]
    fill: bool,
    #[command(flatten)]
    amount: Amount,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Only pages whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// One page's line.
#[derive(Serialize)]
struct Seen<'a> {
    scenario: &'static str,
    page: &'a str,
    address: &'a str,
    /// From the request to the last byte of its answer, one request at a time, on this machine.
    #[serde(flatten)]
    times: Times,
    /// The request before those that are counted.
    first_ms: f64,
    bytes: usize,
    /// What a browser with an empty cache transfers for the page of the empty app, files and all. Where an empty app has
    /// no such page: for this one, data and all.
    loaded_bytes: usize,
    over: Vec<&'static str>,
}

#[derive(Serialize)]
struct Summary {
    scenario: &'static str,
    pages: usize,
    slowest_p95_ms: f64,
    heaviest_bytes: usize,
    over: Vec<String>,
}

pub(crate) async fn run(base_url: &str, table: &str, arguments: &Arguments) -> Result<()> {
    let mut database = PgConnection::connect(&arguments.database_url).await?;
    let site = Site::find(&mut database, base_url, table, &arguments.empty_app).await?;
    if arguments.fill {
        let began = Instant::now();
        fill::fill(&mut database, &site, arguments.amount).await?;
        let seconds = crate::figures::round(began.elapsed().as_secs_f64());
        print_line(&serde_json::json!({ "scenario": "fill", "seconds": seconds }))?;
    }
    let mut visits = visits::all(&mut database, &site).await?;
    visits.retain(|visit| visit.name.contains(&arguments.only));
    let file = &arguments.password_file;
    let password = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut browser = Browser::open(&site.place).await?;
    browser.sign_in(&arguments.email, password.trim_end_matches('\n')).await?;
    let mut summary = Summary {
        scenario: "pages",
        pages: visits.len(),
        slowest_p95_ms: 0.0,
        heaviest_bytes: 0,
        over: Vec::new(),
    };
    let mut links = BTreeSet::new();
    for visit in &visits {
        let seen = look(&mut browser, &site, visit, arguments.rounds, &mut links).await?;
        print_line(&seen)?;
        summary.slowest_p95_ms = summary.slowest_p95_ms.max(seen.times.p95_ms);
        summary.heaviest_bytes = summary.heaviest_bytes.max(seen.loaded_bytes);
        if !seen.over.is_empty() {
            summary.over.push(format!("{}: {}", visit.name, seen.over.join(", ")));
        }
    }
    let missed: Vec<&String> = links.iter().filter(|link| !is_known(&site, link)).collect();
    ensure!(missed.is_empty(), "pages that are linked to and not measured: {missed:?}");
    print_line(&summary)
}

/// Ask for a page again and again.
async fn look<'v>(
    browser: &mut Browser,
    site: &Site,
    visit: &'v Visit,
    rounds: usize,
    links: &mut BTreeSet<String>,
) -> Result<Seen<'v>> {
    let mut micros = histogram();
    let (mut first_ms, mut bytes) = (0.0, 0);
    for round in 0..=rounds {
        let began = Instant::now();
        let page = browser.get(&visit.address).await?;
        let took = began.elapsed();
        ensure!(page.status == StatusCode::OK, "{} was answered {}", visit.address, page.status);
        ensure!(page.text().contains(&visit.shows), "{} does not show {}", visit.address, visit.shows);
        if round == 0 {
            first_ms = took.as_micros() as f64 / 1e3;
            bytes = page.body.len();
            links.extend(page.links());
        } else {
            micros.saturating_record(took.as_micros() as u64);
        }
    }
    let times = Times::of(&micros);
    let loaded_bytes = browser.weigh(&visit.without_data(site)).await?;
    let mut over = Vec::new();
    if times.p95_ms >= MAX_MS {
        over.push("time");
    }
    if loaded_bytes >= MAX_BYTES {
        over.push("bytes");
    }
    Ok(Seen {
        scenario: "page",
        page: &visit.name,
        address: &visit.address,
        times,
        first_ms,
        bytes,
        loaded_bytes,
        over,
    })
}
