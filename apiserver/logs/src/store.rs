//! The log store of one server: all logs under one directory.
//!
//! It finds or opens the log for a key, closes those nobody uses, and owns the sync workers. Several
//! servers may share a directory: each log has one writer at a time, by a lock on its first segment, and
//! any number of readers anywhere.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::appender::OpenError;
use crate::key::{JobUid, LogKey, Namespace};
use crate::log::{Log, Progress, Writer};
use crate::reader::ReadError;
use crate::seal::Seal;
use crate::segment::Segments;
use crate::sync::Syncer;

/// Reads of files that may be under way together. They come from the page cache mostly; more of them at
/// once would only queue at the disk and hold a megabyte each.
const CONCURRENT_READS: usize = 16;

/// How a store works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size at which a segment is ended and the next one begun.
    pub segment_bytes: u64,
    /// How long appended bytes may wait to be synced. A seal never waits.
    pub sync_window: Duration,
    /// Threads that sync.
    pub sync_threads: usize,
    /// Logs kept open while nobody uses them. Those in use are open besides.
    pub idle_logs: usize,
    /// How often a follower looks for what another server has appended.
    pub poll_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            sync_window: Duration::from_millis(50),
            sync_threads: 4,
            idle_logs: 256,
            poll_interval: Duration::from_millis(50),
        }
    }
}

/// What is known of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Content bytes received, those in gaps included.
    pub length: u64,
    /// Content bytes that are synced. Only the server that writes a log knows more than zero.
    pub durable: u64,
    /// How it ended, if it has.
    pub sealed: Option<Seal>,
    /// Lines so far; a last one without its newline counts.
    pub lines: u64,
}

/// All logs under one directory. Clones share it.
#[derive(Clone, Debug)]
pub struct LogStore(Arc<Inner>);

/// The logs that are open.
#[derive(Debug, Default)]
struct Registry {
    open: HashMap<LogKey, Arc<Log>>,
    /// How many there may be before idle ones are looked for: grows with those in use, so that looking for
    /// idle ones costs little for each log opened.
    sweep_at: usize,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: Options,
    logs: Mutex<Registry>,
    clock: AtomicU64,
    syncer: Arc<Syncer>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    reads: Arc<Semaphore>,
}

impl LogStore {
    /// Opens the store in `directory`, which is made if it is not there.
    pub fn open(directory: &Path, options: Options) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        if let Some(above) = directory.canonicalize()?.parent() {
            fs::File::open(above)?.sync_all()?;
        }
        let syncer = Arc::new(Syncer::new(options.sync_window));
        let workers = syncer.start(options.sync_threads.max(1))?;
        Ok(Self(Arc::new(Inner {
            root: directory.to_path_buf(),
            options,
            logs: Mutex::default(),
            clock: AtomicU64::new(0),
            syncer,
            workers: Mutex::new(workers),
            reads: Arc::new(Semaphore::new(CONCURRENT_READS)),
        })))
    }

    /// Syncs what is not synced yet and ends the sync workers. Nothing may be appended afterwards.
    pub async fn close(&self) {
        self.0.syncer.close();
        let workers = std::mem::take(&mut *self.0.workers.lock());
        let joined = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join())));
        drop(joined.await);
    }

    /// What is known of a log; `None` if there is no such log.
    pub async fn info(&self, key: &LogKey) -> Result<Option<LogInfo>, ReadError> {
        let log = self.log(key);
        self.look(&log).await?;
        let progress = log.progress();
        let sealed = match progress {
            Progress::Absent | Progress::Deleted => return Ok(None),
            Progress::Sealed(seal) => Some(seal),
            Progress::Open { .. } => None,
        };
        let lines = log.with_index(crate::index::Index::lines);
        Ok(Some(LogInfo {
            length: progress.received(),
            durable: log.durable(),
            sealed,
            lines,
        }))
    }

    /// Removes one log. Its followers are told that it is gone.
    pub async fn delete(&self, key: &LogKey) -> Result<(), ReadError> {
        let log = self.log(key);
        self.0.logs.lock().open.remove(key);
        self.blocking(move || log.delete()).await
    }

    /// Removes the logs of all attempts of a job.
    pub async fn delete_job(&self, namespace: &Namespace, job: &JobUid) -> Result<(), ReadError> {
        let mut open = Vec::new();
        self.0.logs.lock().open.retain(|key, log| {
            let gone = key.namespace() == namespace && key.job_uid() == job;
            if gone {
                open.push(Arc::clone(log));
            }
            !gone
        });
        let directory = job.directory(&self.0.root, namespace);
        let job = job.clone();
        self.blocking(move || {
            open.iter().try_for_each(|log| log.delete())?;
            remove_files(&directory, |name| job.owns(name))
        })
        .await
    }

    /// Removes the logs of all jobs of a namespace.
    pub async fn delete_namespace(&self, namespace: &Namespace) -> Result<(), ReadError> {
        let mut open = Vec::new();
        self.0.logs.lock().open.retain(|key, log| {
            let gone = key.namespace() == namespace;
            if gone {
                open.push(Arc::clone(log));
            }
            !gone
        });
        let directory = namespace.directory(&self.0.root);
        let syncer = Arc::clone(&self.0.syncer);
        self.blocking(move || {
            open.iter().try_for_each(|log| log.delete())?;
            syncer.forget(&directory);
            match fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The log for `key`, open or not, there or not.
    pub(crate) fn log(&self, key: &LogKey) -> Arc<Log> {
        let mut logs = self.0.logs.lock();
        let now = self.0.clock.fetch_add(1, Ordering::Relaxed);
        let known = logs.open.get(key);
        if let Some(log) = known.filter(|log| !log.has_failed()) {
            log.used.store(now, Ordering::Relaxed);
            return Arc::clone(log);
        }
        let trusted = known.map(|failed| failed.durable());
        logs.make_room(self.0.options.idle_logs);
        let segments = Segments::of(&self.0.root, key);
        let log = Arc::new(Log::new(
            segments,
            self.0.options.segment_bytes,
            trusted,
            Arc::clone(&self.0.syncer),
        ));
        log.used.store(now, Ordering::Relaxed);
        logs.open.insert(key.clone(), Arc::clone(&log));
        log
    }

    /// The log for `key`, open for writing in this process.
    pub(crate) async fn writer(&self, key: &LogKey) -> Result<Writer, OpenError> {
        let log = self.log(key);
        let opened = tokio::task::spawn_blocking(move || log.open_writer()).await;
        let writer = opened.map_err(io::Error::other)??;
        writer.log().settle().await;
        Ok(writer)
    }

    /// Learns what another process has written to `log`, unless this one writes it.
    pub(crate) async fn look(&self, log: &Arc<Log>) -> Result<(), ReadError> {
        if log.is_writer() {
            return Ok(());
        }
        let log = Arc::clone(log);
        self.blocking(move || log.refresh()).await
    }

    /// Runs blocking file work, not too much of it at once.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = Arc::clone(&self.0.reads)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        Ok(done.await.map_err(io::Error::other)??)
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        self.0.options.poll_interval
    }
}

impl Drop for Inner {
    /// Without [`LogStore::close`] the workers still sync what is queued, and end by themselves.
    fn drop(&mut self) {
        self.syncer.close();
    }
}

impl Registry {
    /// Closes the longest unused logs until three quarters of the places are taken by idle ones, if there
    /// are too many. One that failed stays: its successor must know what of it is durable.
    fn make_room(&mut self, places: usize) {
        if self.open.len() < self.sweep_at.max(places) {
            return;
        }
        let idle = |log: &Arc<Log>| Arc::strong_count(log) == 1 && !log.has_failed();
        let mut used: Vec<u64> = self
            .open
            .values()
            .filter(|log| idle(log))
            .map(|log| log.used.load(Ordering::Relaxed))
            .collect();
        used.sort_unstable();
        let keep = places * 3 / 4;
        if let Some(newest) = used.len().checked_sub(keep + 1).map(|last| used[last]) {
            self.open
                .retain(|_, log| !idle(log) || log.used.load(Ordering::Relaxed) > newest);
        }
        self.sweep_at = self.open.len() + self.open.len() / 2 + places / 4;
    }
}

fn remove_files(directory: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&wanted) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
