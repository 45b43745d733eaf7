//! Two servers in one run, turn by turn, so that what else the machine does falls on both.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    figures::{Figures, print_comparison},
    scenario::{Run, bulk, pull, push, snapshot},
};

/// Rows of the snapshot that is compared: few enough for a slow server to be waited for.
const SNAPSHOT_ROWS: usize = 50_000;

/// Rows that each user pushes when pushes are large.
const BULK_ROWS: usize = 20_000;

/// All lines of both sides, and then a line of ratios for each scenario: the medians of the first over those of the second.
pub(crate) async fn run(sides: [Run; 2], rounds: usize) -> Result<()> {
    for side in &sides {
        pull::prepare(&named(side, "pull")).await?;
        snapshot::prepare(&named(side, "snapshot"), SNAPSHOT_ROWS).await?;
    }
    let mut found: BTreeMap<String, [Vec<Figures>; 2]> = BTreeMap::new();
    for round in 0..rounds {
        // Who goes first changes too.
        for turn in 0..2 {
            let side = (round + turn) % 2;
            for (name, figures) in one_round(&sides[side], round).await? {
                figures.print()?;
                found.entry(name).or_default()[side].push(figures);
            }
        }
    }
    for (scenario, [ours, theirs]) in &found {
        print_comparison(scenario, ours, theirs)?;
    }
    Ok(())
}

/// Every scenario once on one side.
async fn one_round(run: &Run, round: usize) -> Result<Vec<(String, Figures)>> {
    let mut found = Vec::new();
    for users in [1, 8, 32, 64] {
        let run = named(run, &format!("push-{round}-{users}"));
        found.push((format!("push1 users={users}"), push::run(&run, users).await?));
    }
    for (rows, users) in [(1_000, 1), (1_000, 4), (5_000, 1), (5_000, 4)] {
        let run = named(run, &format!("bulk-{round}-{rows}-{users}"));
        found.push((
            format!("push{rows} users={users}"),
            bulk::run(&run, users, rows, BULK_ROWS / rows).await?,
        ));
    }
    for clients in [1, 8, 32] {
        let run = named(run, "pull");
        found.push((format!("pull clients={clients}"), pull::run(&run, clients).await?));
    }
    for first in [true, false] {
        let run = named(run, "snapshot");
        let figures = snapshot::run(&run, SNAPSHOT_ROWS, 1_000, 1, first).await?;
        found.push((format!("{} clients=1", figures.scenario), figures));
    }
    Ok(found)
}

/// The run with users of its own for one scenario.
fn named(run: &Run, scenario: &str) -> Run {
    Run { name: format!("{}-{scenario}", run.name), ..run.clone() }
}
