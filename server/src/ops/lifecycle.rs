//! How the server stops, softly and then hard, and which tasks it has to wait for.
//!
//! 1. *Draining*: begins with SIGTERM or SIGINT. Nothing new is accepted: `/readyz` and new requests on connections
//!    that are still open are answered 503, watch streams end. Requests that have begun go on.
//! 2. *Closing*: begins when the last request has been answered, when the patience is over, or at a second signal.
//!    What is still open is cut; background tasks end.
//! 3. The pools are closed and then the private PostgreSQL is stopped (`main.rs`). A commit that was acknowledged is
//!    on disk at any of these points.

use std::{future::Future, io};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where the process stands between start and end. One a process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Cancelled when the server begins to drain. Streams without an end select on it.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled when everything must end. Background tasks select on it.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Begin to drain.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Cut what is left. Implies draining.
    pub fn close(&self) {
        self.draining.cancel();
        self.closing.cancel();
    }

    /// Run a task that [`Lifecycle::finished`] waits for. The task must end when [`Lifecycle::closing`] is cancelled.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Wait for every task; call after [`Lifecycle::close`].
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Let SIGTERM and SIGINT begin the end: the first drains, the second closes.
    pub fn follow_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let lifecycle = self.clone();
        self.spawn(async move {
            loop {
                tokio::select! {
                    () = lifecycle.closing.cancelled() => return,
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if lifecycle.is_draining() {
                    tracing::warn!("Told to stop again: open requests are cut.");
                    lifecycle.close();
                } else {
                    tracing::info!("Told to stop: finishing open requests.");
                    lifecycle.drain();
                }
            }
        });
        Ok(())
    }
}
