//! What the control plane does now and then by itself. Every node does it; each step may run on several at once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ControlPlane;

/// How often collected uses of API keys are written.
const KEY_USES_EVERY: Duration = Duration::from_secs(5);
/// How often the rest is done.
const REST_EVERY: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Do the chores until `stop`. One task a process runs this.
    pub async fn do_chores(self, stop: CancellationToken) {
        let mut key_uses = tokio::time::interval(KEY_USES_EVERY);
        let mut rest = tokio::time::interval(REST_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = key_uses.tick() => log("writing the uses of API keys", self.write_key_uses().await.map(drop)),
                _ = rest.tick() => self.do_the_rest().await,
            }
        }
        // What was used in the last seconds is not forgotten.
        log("writing the uses of API keys", self.write_key_uses().await.map(drop));
    }

    async fn do_the_rest(&self) {
        self.throttle.forget_old();
        log("removing expired sessions", self.remove_expired_sessions().await.map(drop));
        log("pruning the change log", self.prune_changes().await.map(drop));
        log("completing interrupted apps", self.resume_interrupted().await.map(drop));
        log("settling interrupted publications", self.settle_publications().await.map(drop));
    }
}

fn log(chore: &'static str, outcome: Result<(), sqlx::Error>) {
    if let Err(error) = outcome {
        tracing::warn!(chore, error.cause = %error, "A chore of the control plane failed; it will be tried again.");
    }
}
