//! The embedded store: in this process, in one directory, crash-safe.
//!
//! All keys live in memory (`index`), since an API server reads far more than it writes and holds them anyway; the
//! disk holds a log of what was committed (`log`, `frame`, `record`) and now and then a `snapshot`, so that the
//! log can be cut (`upkeep`). One thread writes (`writer`, deciding with `plan`); watches walk through the shared history
//! (`watch`); `recovery` reads everything back at the start. Why not a database: `docs/decisions/0002`.
//!
//! Promises: an answered transaction is on stable storage; a crash at any moment loses nothing answered and leaves
//! nothing half there; a directory that is not what was written is refused; two processes never open the same one.

mod disk;
mod frame;
mod index;
mod log;
mod plan;
mod record;
mod recovery;
mod snapshot;
mod upkeep;
mod watch;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use disk::{Disk, RealDisk};

use index::Index;
use upkeep::Snapshots;
use watch::{Ask, Watchers};
use writer::{Command, Writer};

use crate::{
    Condition, Error, KeyValue, RangePage, RangeQuery, ReadsFrom, Result, Revision, Store, Txn, TxnOutcome,
    WatchStream, validate,
};

/// Transactions that may wait for the writer before callers wait to hand theirs over: about two groups of a busy
/// server; beyond that more waiting in here makes nothing faster.
const QUEUE: usize = 1024;

/// How a store is kept.
#[derive(Clone)]
pub struct Options {
    /// How much history is kept for watches and for reads at a revision.
    pub history: History,
    /// Bytes of one log file. Up to about three such files of superfluous log are kept.
    pub segment_bytes: u64,
    /// The disk; only tests have another one.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History::default(),
            segment_bytes: 8 * 1024 * 1024,
            disk: Arc::new(RealDisk),
        }
    }
}

/// How much history is kept. Beyond any of the bounds the oldest is forgotten.
#[derive(Debug, Clone)]
pub struct History {
    /// Revisions.
    pub max_revisions: usize,
    /// Bytes it keeps in memory: values that have been replaced, and some per change.
    pub max_bytes: usize,
    /// Age. Looked at when something is written.
    pub max_age: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self {
            max_revisions: 50_000,
            max_bytes: 16 * 1024 * 1024,
            max_age: Duration::from_secs(3600),
        }
    }
}

/// What readers, watches and the writer share.
pub(crate) struct Shared {
    state: RwLock<Index>,
    watchers: Watchers,
    failure: OnceLock<String>,
    closed: OnceLock<()>,
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        // Poisoned only if the writer panicked; then no write follows, and what is there was published whole.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    fn fail(&self, message: String) {
        let _ = self.failure.set(message);
    }

    fn close(&self) {
        let _ = self.closed.set(());
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.get().is_some() {
            Err(closed())
        } else {
            Ok(())
        }
    }
}

impl Shared {
    /// Why the writer dropped a request without an answer.
    fn unanswered(&self) -> Error {
        match self.check_open() {
            // It was closed before it looked at the request.
            Err(closed) => closed,
            // It panicked, nobody knows when.
            Ok(()) => Error::Ambiguous {
                source: "the store's writer has stopped".into(),
            },
        }
    }
}

fn closed() -> Error {
    Error::Unavailable {
        message: "it has been closed".to_owned(),
        source: None,
    }
}

/// The embedded store. Dropping it closes it, which waits for the disk; [`Embedded::close`] does that without blocking.
pub struct Embedded {
    shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    /// Opens the store in this directory, creates it if there is none. Blocking: reads everything.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is open elsewhere, [`Error::Damaged`] if it is not what was written, [`Error::Open`]
    /// if the system refuses something.
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        let recovered = recovery::open(dir, &options)?;
        let snapshot =
            (recovered.snapshot_bytes > 0).then(|| dir.join(snapshot::snapshot_name(recovered.snapshot_revision)));
        let shared = Arc::new(Shared {
            state: RwLock::new(recovered.index),
            watchers: Watchers::default(),
            failure: OnceLock::new(),
            closed: OnceLock::new(),
        });
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            shared: Arc::clone(&shared),
            commands: receiver,
            myself: sender.downgrade(),
            dir: dir.to_owned(),
            store: recovered.store,
            options,
            log: recovered.log,
            snapshots: Snapshots::with_last(snapshot, recovered.snapshot_bytes),
            lock: recovered.lock,
            unwritten_compaction: None,
            payload: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(|source| Error::Open {
                path: dir.to_owned(),
                source: source.into(),
            })?;
        Ok(Self {
            shared,
            commands: Some(sender),
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Finishes what was handed over, marks the store as closed in order and releases the directory. Later calls that
    /// write fail with [`Error::Unavailable`], and every watch ends with it.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.send(Command::Close { reply }).await.is_ok() {
            let _ = done.await;
        }
    }

    async fn send(&self, command: Command) -> Result<()> {
        let commands = self.commands.as_ref().ok_or_else(closed)?;
        commands.send(command).await.map_err(|_| closed())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.commands = None;
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &[u8]) -> Result<(Option<KeyValue>, Revision)> {
        let index = self.shared.read();
        Ok((index.get(key), index.current()))
    }

    fn reads_from(&self) -> ReadsFrom {
        ReadsFrom::Memory
    }

    async fn range(&self, query: RangeQuery) -> Result<RangePage> {
        self.shared.read().range(&query)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome> {
        validate::check(&txn)?;
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Txn { txn, reply }).await?;
        outcome.await.unwrap_or_else(|_| Err(self.shared.unanswered()))
    }

    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<WatchStream> {
        self.shared.check_open()?;
        watch::watch(&self.shared, prefix, from)
    }

    async fn request_progress(&self) -> Result<()> {
        self.shared.watchers.wake_all(Ask::Progress);
        Ok(())
    }

    async fn compact(&self, at: Revision) -> Result<()> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Compact { at, reply }).await?;
        done.await.unwrap_or_else(|_| Err(self.shared.unanswered()))
    }

    async fn check(&self) -> Result<Condition> {
        let stopped = || Error::Unavailable {
            message: "its writer has stopped".to_owned(),
            source: None,
        };
        let (reply, condition) = oneshot::channel();
        self.send(Command::Check { reply }).await?;
        condition
            .await
            .unwrap_or_else(|_| self.shared.check_open().and_then(|()| Err(stopped())))
    }

    async fn current_revision(&self) -> Result<Revision> {
        Ok(self.shared.read().current())
    }
}
