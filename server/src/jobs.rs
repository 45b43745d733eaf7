//! What the server does by itself every so often.
//!
//! Every node runs every job: a job finds out from the database what there is to do, and does it so that it does not
//! matter who else does the same. A job that fails is logged and comes again at its next time.

use std::{error::Error, time::Duration};

use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::{MissedTickBehavior, interval};

use crate::{app::Syncline, erasure, ops::metrics::JOB_FAILURES};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

struct Job {
    /// For the log, and the label of its numbers.
    name: &'static str,
    every: Duration,
    run: fn(Syncline) -> BoxFuture<'static, Outcome>,
}

const MINUTE: Duration = Duration::from_mins(1);

/// The uses of the last seconds are in memory only, so it also runs when the server ends.
const WRITE_KEY_USES: Job = Job {
    name: "write down when API keys were used",
    every: Duration::from_secs(5),
    run: |server| Box::pin(async move { done(server.control.write_key_uses().await) }),
};

/// So are the facts about devices, and what was counted, which the former takes along where it has to do anyway. One after
/// the other: at once they would need two connections that know the same app.
const WRITE_WHAT_HAPPENED: Job = Job {
    name: "write down what devices did, and add up what happened",
    every: Duration::from_secs(1),
    run: |server| {
        Box::pin(async move {
            server.engine.write_device_facts().await;
            server.engine.write_rollups().await;
            Ok(())
        })
    },
};

const JOBS: [Job; 17] = [
    WRITE_KEY_USES,
    Job {
        name: "write down when sessions were used",
        every: Duration::from_secs(10),
        run: |server| Box::pin(async move { done(server.control.write_session_uses().await) }),
    },
    Job {
        name: "remove invitations that ended long ago",
        every: Duration::from_hours(1),
        run: |server| Box::pin(async move { done(server.control.remove_old_invitations().await) }),
    },
    WRITE_WHAT_HAPPENED,
    Job {
        name: "bring apps' schemas up to date",
        every: MINUTE,
        run: |server| Box::pin(async move { done(server.control.bring_all_up_to_date().await) }),
    },
    Job {
        name: "erase what is due",
        every: Duration::from_secs(10),
        run: |server| Box::pin(async move { done(erasure::run_due(&server).await) }),
    },
    Job {
        name: "remove pushes that expired long ago",
        every: Duration::from_mins(10),
        run: |server| Box::pin(async move { done(server.engine.remove_expired_pushes().await) }),
    },
    Job {
        name: "remove snapshots that nobody reads any more",
        every: MINUTE,
        run: |server| Box::pin(async move { done(server.engine.remove_expired_snapshots().await) }),
    },
    Job {
        name: "go on with interrupted apps",
        every: MINUTE,
        run: |server| Box::pin(async move { done(server.control.resume_interrupted().await) }),
    },
    Job {
        name: "settle interrupted publications",
        every: MINUTE,
        run: |server| Box::pin(async move { done(server.control.settle_publications().await) }),
    },
    Job {
        name: "prune the log of changes",
        every: MINUTE,
        run: |server| Box::pin(async move { done(server.control.prune_changes().await) }),
    },
    Job {
        name: "forget old attempts to sign in",
        every: MINUTE,
        run: |server| {
            Box::pin(async move {
                server.control.forget_old_attempts();
                Ok(())
            })
        },
    },
    Job {
        name: "prune history past its time",
        every: Duration::from_mins(10),
        run: |server| Box::pin(async move { done(prune_history(&server).await) }),
    },
    Job {
        name: "note what is written to tables",
        every: Duration::from_mins(5),
        run: |server| Box::pin(async move { done(server.engine.note_table_activity().await) }),
    },
    Job {
        name: "prune figures past their time",
        every: Duration::from_mins(10),
        run: |server| Box::pin(async move { done(server.engine.prune_rollups().await) }),
    },
    Job {
        name: "prune the ledgers of conflicts and refused writes",
        every: Duration::from_mins(10),
        run: |server| Box::pin(async move { done(server.engine.prune_ledgers().await) }),
    },
    Job {
        name: "remove expired sessions",
        every: Duration::from_mins(10),
        run: |server| Box::pin(async move { done(server.control.remove_expired_sessions().await) }),
    },
];

/// Prune every app that has a maximum age, by its own settings or the server's; an app without one costs nothing.
///
/// # Errors
/// The last app's that failed; the others are pruned all the same.
async fn prune_history(server: &Syncline) -> Result<(), sqlx::Error> {
    const APPS: i64 = 500;
    let (mut after, mut outcome) = (None, Ok(()));
    loop {
        let apps = server.control.ready_apps(after, APPS).await?;
        for app in &apps {
            let Some(keep) = server.history_kept(&app.retention) else { continue };
            match server.engine.prune_history(&app.app_id.schema(), keep).await {
                Ok(pruned) if pruned.bundles > 0 => tracing::info!(
                    app.id = %app.app_id, scopes = pruned.scopes, bundles = pruned.bundles, "History was pruned."
                ),
                Ok(_) => {}
                Err(error) => outcome = Err(error),
            }
        }
        after = apps.last().map(|app| app.app_id);
        if apps.len() < APPS as usize {
            return outcome;
        }
    }
}

fn done<T>(outcome: Result<T, impl Error + Send + Sync + 'static>) -> Outcome {
    outcome.map(drop).map_err(Into::into)
}

/// Start all of them. They end when the server closes, and not in the middle of a run.
pub(crate) fn start(server: &Syncline) {
    for job in JOBS {
        server.lifecycle.spawn(repeat(job, server.clone()));
    }
}

/// Write down what is in memory only: call it when no request is open any more.
pub(crate) async fn finish(server: &Syncline) {
    run(&WRITE_KEY_USES, server).await;
    run(&WRITE_WHAT_HAPPENED, server).await;
}

async fn repeat(job: Job, server: Syncline) {
    let closing = server.lifecycle.closing();
    let mut times = interval(job.every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            _ = times.tick() => {}
        }
        run(&job, &server).await;
    }
}

async fn run(job: &Job, server: &Syncline) {
    if let Err(error) = (job.run)(server.clone()).await {
        counter!(JOB_FAILURES, "job" => job.name).increment(1);
        tracing::warn!(job = job.name, error.cause = %error, "A job failed; it comes again at its next time.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device's page promises to be right within five seconds of a fact. What is not read from the tables where the
    /// fact itself is kept waits in memory for this job; its next run begins when the last has ended, so that half of the
    /// time is left for writing.
    #[test]
    fn what_devices_did_is_written_well_within_five_seconds() {
        assert!(WRITE_WHAT_HAPPENED.every * 2 < Duration::from_secs(5));
        assert!(JOBS.iter().any(|job| job.name == WRITE_WHAT_HAPPENED.name));
    }
}
