//! The agent put together: from settings to something that serves, and its tasks from start to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use breakbulk_client::ConnectError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::attempt::Context;
use crate::attempt::spec::NodeSettings;
use crate::boot::BootId;
use crate::capacity::Amount;
use crate::checkout::Checkouts;
use crate::cleaner::Cleaner;
use crate::config::{Config, ConfigError};
use crate::dispatch::Dispatch;
use crate::fence::Fence;
use crate::heartbeat::Heartbeat;
use crate::journal::{Entry, Journal, JournalError};
use crate::node::Machine;
use crate::notice::{NoticeReader, notices};
use crate::ship::link::{self, LinkKeeper};

/// After so long a process has started, and what is around the agent in it.
const STARTED: Duration = Duration::from_secs(2);

/// Why an agent cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There are no usable credentials.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no connection for logs to be had from the credentials.
    #[error("cannot prepare the connection for logs")]
    Link(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The shim is not where it should be.
    #[error("there is no shim at {}", .0.display())]
    NoShim(PathBuf),
    /// The system refused something basic.
    #[error("cannot {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why an agent stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// One of its tasks failed.
    #[error("a part of the agent failed")]
    Task(#[source] tokio::task::JoinError),
}

/// An agent that is ready to serve: its data directory is locked and has been looked through.
pub struct Built {
    context: Arc<Context>,
    dispatch: Dispatch,
    heartbeat: Heartbeat,
    keeper: LinkKeeper,
    notices: NoticeReader,
    found: Vec<Entry>,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built")
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}

/// Builds an agent. Nothing is sent, and no attempt is touched, before [`Built::serve`].
///
/// # Errors
/// Settings, directories or credentials that cannot be used.
pub async fn build(config: Config) -> Result<Built, BuildError> {
    config.validate()?;
    let system = |what| move |source| BuildError::System { what, source };
    let shim = find_shim(config.shim.as_deref())?;
    let boot = BootId::read(config.boot_id.as_deref()).map_err(system("read the boot id"))?;
    let journal = Arc::new(Journal::open(&config.data_dir)?);
    let scan = journal.scan()?;
    let client = config.server.client().await?;
    let (link, keeper) = link::link(&config.server.config().await?).map_err(|e| BuildError::Link(Box::new(e)))?;
    let (notices, reader) = notices().map_err(system("watch files"))?;
    let fence = Arc::new(Fence::new(config.lease.fence));
    let cleaner = Cleaner::new(Arc::clone(&journal));
    // Nothing was started in them: the claim that made them is ended by what the API server knows of it.
    scan.unreadable.iter().for_each(|path| cleaner.discard(path));
    let capacity = Amount::of_machine(config.capacity);
    let host = probe(&shim, &config.data_dir)
        .await
        .map_err(system("try the sandbox out"))?;
    let heartbeat = Heartbeat {
        // A client of its own has connections of its own.
        client: config.server.client().await?,
        machine: Machine {
            node: config.node.clone(),
            labels: config.labels,
            capacity,
            boot: boot.clone(),
            host,
        },
        times: config.lease,
        fence: Arc::clone(&fence),
    };
    let context = Arc::new(Context {
        client,
        settings: NodeSettings {
            node: config.node,
            expose: config.expose,
            network: config.network,
            grace: config.grace,
        },
        shim,
        boot,
        fence,
        journal,
        cleaner,
        notices,
        link,
        checkouts: Checkouts::new(&config.data_dir.join("mirrors"), config.local_git),
        shutdown: CancellationToken::new(),
    });
    Ok(Built {
        dispatch: Dispatch::new(Arc::clone(&context), capacity),
        context,
        heartbeat,
        keeper,
        notices: reader,
        found: scan.attempts,
    })
}

impl Built {
    /// Serves until `shutdown`. Then nothing more is claimed, and what runs goes on without the agent: its shims are
    /// found again by the next one.
    ///
    /// # Errors
    /// When a part of the agent failed.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        // Attempts are stopped first; what they need goes on until they have come to rest.
        let attempts = self.context.shutdown.clone();
        let rest = CancellationToken::new();
        let (registered, is_registered) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(self.heartbeat.run(registered, rest.clone()));
        tasks.spawn(self.keeper.run(rest.clone()));
        tasks.spawn(self.notices.run(rest.clone()));
        tasks.spawn(self.context.cleaner.clone().run(rest.clone()));
        tasks.spawn(give_memory_back(rest.clone()));
        let dispatch = async move {
            // The node is there before it claims: what was bound to it before its restart is judged with that said.
            let _ = attempts.run_until_cancelled(is_registered).await;
            self.dispatch.run(self.found).await;
        };
        let mut dispatch = tokio::spawn(dispatch);
        let stop = self.context.shutdown.clone();
        let failed = tokio::select! {
            () = shutdown.cancelled() => None,
            ended = &mut dispatch => ended.err(),
            Some(ended) = tasks.join_next() => ended.err(),
        };
        stop.cancel();
        if !dispatch.is_finished()
            && let Err(error) = dispatch.await
        {
            return Err(ServeError::Task(error));
        }
        rest.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(ServeError::Task)?;
        }
        failed.map_or(Ok(()), |error| Err(ServeError::Task(error)))
    }
}

/// Gives back what the start of this process has left, once that is over: an agent does little most of the time, and its
/// machine is there for jobs.
async fn give_memory_back(rest: CancellationToken) {
    let started = tokio::time::sleep(STARTED);
    if rest.run_until_cancelled(started).await.is_some() {
        breakbulk_sandbox::memory::give_back();
    }
    rest.cancelled().await;
}

/// Tries out what this machine can do, in a directory of its own.
async fn probe(shim: &Path, data_dir: &Path) -> std::io::Result<breakbulk_sandbox::HostReport> {
    let (shim, dir) = (shim.to_owned(), data_dir.join("probe"));
    let tried = tokio::task::spawn_blocking(move || {
        breakbulk_sandbox::remove_workspace(&dir).map_err(|error| error.source)?;
        std::fs::create_dir(&dir)?;
        let report = breakbulk_sandbox::probe(&shim, &dir, None);
        breakbulk_sandbox::remove_workspace(&dir).map_err(|error| error.source)?;
        Ok(report)
    });
    tried.await.expect("trying the sandbox out does not panic")
}

fn find_shim(given: Option<&Path>) -> Result<PathBuf, BuildError> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()
            .map_err(|source| BuildError::System {
                what: "find the running program",
                source,
            })?
            .with_file_name("bulk-shim"),
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(BuildError::NoShim(path))
    }
}
