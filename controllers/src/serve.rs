//! From a configuration to running controllers: connect, be elected, watch, wire, run.

use std::sync::Arc;

use breakbulk_client::ConnectError;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Election, Settings};
use crate::runtime::leader::{self, Candidate};
use crate::service_account;
use crate::wiring;
use crate::world::World;

/// Why there are no controllers.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No client.
    #[error("cannot connect the controllers")]
    Connect(#[source] ConnectError),
}

/// Controllers that have a client and wait to be started.
pub struct Controllers {
    client: Client,
    election: Option<Election>,
    settings: Settings,
}

impl std::fmt::Debug for Controllers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controllers")
            .field("election", &self.election)
            .finish_non_exhaustive()
    }
}

/// Makes the controllers. Nothing is asked of the server yet.
///
/// # Errors
/// Credentials that cannot be used.
pub async fn build(config: Config) -> Result<Controllers, BuildError> {
    let connection = config.server.config().await.map_err(BuildError::Connect)?;
    let client = config.server.client().await.map_err(BuildError::Connect)?;
    let mut settings = config.settings;
    if settings.roots.is_none() {
        settings.roots = service_account::pem(connection.root_cert.as_deref().unwrap_or_default());
    }
    Ok(Controllers {
        client,
        election: config.election,
        settings,
    })
}

impl Controllers {
    /// Runs until `shutdown`. A server that cannot be reached is waited for.
    pub async fn serve(self, shutdown: CancellationToken) {
        let work = |stop: CancellationToken| run(self.client.clone(), self.settings.clone(), stop);
        match self.election.clone() {
            Some(election) => {
                let candidate = Candidate::new(self.client.clone(), election);
                leader::while_leading(candidate, shutdown, work).await;
            }
            None => {
                while !shutdown.is_cancelled() {
                    work(shutdown.clone()).await;
                }
            }
        }
    }
}

/// Runs all controllers until `stop`, or until dropped.
async fn run(client: Client, settings: Settings, stop: CancellationToken) {
    let world = Arc::new(World::new(client, settings));
    let wired = wiring::Wired::new(&world);
    // Owns every task; dropping it ends them all.
    let mut tasks = JoinSet::new();
    wired.run(&mut tasks);
    world.watch(&mut tasks);
    tokio::select! {
        () = stop.cancelled() => {}
        // No task ends by itself: one that does has panicked, and it is better to begin anew than to go on without it.
        ended = tasks.join_next() => tracing::error!(?ended, "a controller ended"),
    }
    tasks.shutdown().await;
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT.
pub async fn until_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            // Both are cancel-safe: a signal is kept until it is received.
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            shutdown.cancel();
        }
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "cannot wait for signals"),
    }
}
