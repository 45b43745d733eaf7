//! Devices that sync converge, whatever happens to them (DESIGN.md, promise 1).
//!
//! A run draws 3 to 6 devices of 1 to 3 users and lets them write, meet, lose answers, repeat themselves, fall behind
//! and start over, while the tenant's own program writes with SQL and history is pruned. Then every device, the
//! server's tables, a fresh snapshot and the sum of all bundles must be the same; every bundle must be exactly what
//! one upload comes to on the rows it found; and everything acknowledged must be there once.
//!
//! A failing run is shrunk and printed with the seed that drew it. `SYNCLINE_CONVERGENCE_SEED` draws the same runs again,
//! `SYNCLINE_CONVERGENCE_RUNS` says how many.

mod found;
mod plan;
mod quiet;
mod sql;
pub(crate) mod values;
mod world;

use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicU32, Ordering},
};

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use self::{plan::Plan, world::World};
use crate::support::{
    app_for_devices::{AppForDevices, app_for_devices},
    device::schema::Profile,
};

#[test]
fn devices_converge_in_profile_strings() {
    converge(Profile::Strings);
}

#[test]
fn devices_converge_in_profile_numbers() {
    converge(Profile::Numbers);
}

#[expect(
    clippy::print_stdout,
    reason = "the seed of a run that fails, and what happened in one that does not"
)]
fn converge(profile: Profile) {
    let seed = setting("SYNCLINE_CONVERGENCE_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let runs = setting("SYNCLINE_CONVERGENCE_RUNS").unwrap_or(30);
    println!("SYNCLINE_CONVERGENCE_SEED={seed}");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let app = runtime.block_on(app_for_devices(profile));
    let config = Config {
        cases: u32::try_from(runs).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 400,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    // Every run, those of shrinking included, has users of its own.
    let numbers = AtomicU32::new(1);
    // What fails while it is being shrunk fails hundreds of times.
    let quiet = quiet::this_thread();
    let outcome = TestRunner::new(config).run(&plan::plan(), |plan| {
        let run = numbers.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(live(&app, run, &plan));
        Ok(())
    });
    drop(quiet);
    println!("{}", app.tally);
    let Err(failure) = outcome else {
        assert!(runs < 20 || app.tally.of("conflicts") > runs as u32, "devices hardly met: {}", app.tally);
        return;
    };
    let again = format!("SYNCLINE_CONVERGENCE_SEED={seed} draws it again, profile {}", profile.as_str());
    let what = match failure {
        TestError::Fail(reason, plan) => format!("{again}\n{reason}\nthe shortest plan that fails: {plan:?}"),
        TestError::Abort(reason) => format!("{again}\n{reason}"),
    };
    println!("{what}");
    // Without a backtrace, which leads here and drives the plan out of logs that show only their end.
    resume_unwind(Box::new(what));
}

async fn live(app: &AppForDevices, run: u32, plan: &Plan) {
    let mut world = World::new(app, run, plan).await;
    for step in &plan.steps {
        world.step(step).await;
    }
    world.check().await;
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
