//! Making logs durable: a few threads that take dirty logs and sync them, so that no appender waits.
//!
//! A log is in the queue at most once, however much is appended to it. Sealed logs go first and at once;
//! others wait up to a window, so that a busy log costs a few syncs a second and not one per append.
//! Workers take sealed logs in batches, since the logs of a batch share the sync of their directories and,
//! on a journalling file system, most of their commits.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::log::Log;

/// Sealed logs one worker takes at a time: enough to share directory syncs, few enough that the first
/// one's answer does not wait long.
const BATCH: usize = 16;

/// When a dirty log must be synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Now,
    /// Within the window.
    Soon,
}

/// What one log has to have synced.
#[derive(Debug, Default)]
pub(crate) struct Dirt {
    /// Files with unsynced bytes, in the order they were written.
    pub(crate) files: Vec<Arc<File>>,
    /// The directory they lie in, if its entries are unsynced.
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Queue {
    now: VecDeque<Arc<Log>>,
    soon: VecDeque<(Instant, Arc<Log>)>,
    closed: bool,
}

/// The queue of dirty logs.
#[derive(Debug)]
pub(crate) struct Syncer {
    queue: Mutex<Queue>,
    work: Condvar,
    window: Duration,
    /// Directories that are known to be durable themselves: their entries in the directories above are synced.
    settled: Mutex<HashSet<PathBuf>>,
}

impl Syncer {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            queue: Mutex::default(),
            work: Condvar::new(),
            window,
            settled: Mutex::default(),
        }
    }

    /// Starts `count` workers. They end when the syncer is closed and the queue is empty.
    pub(crate) fn start(self: &Arc<Self>, count: usize) -> io::Result<Vec<JoinHandle<()>>> {
        (0..count)
            .map(|number| {
                let syncer = Arc::clone(self);
                std::thread::Builder::new()
                    .name(format!("log-sync-{number}"))
                    .spawn(move || syncer.work())
            })
            .collect()
    }

    /// Puts a log in. The caller makes sure that it is not in already at that urgency.
    pub(crate) fn push(&self, log: Arc<Log>, urgency: Urgency) {
        let mut queue = self.queue.lock();
        match urgency {
            Urgency::Now => queue.now.push_back(log),
            Urgency::Soon => queue.soon.push_back((Instant::now() + self.window, log)),
        }
        drop(queue);
        self.work.notify_one();
    }

    /// Lets the workers end once everything queued is synced.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.work.notify_all();
    }

    /// Forgets what it knows of the directories in `above`, which are removed.
    pub(crate) fn forget(&self, above: &Path) {
        self.settled.lock().retain(|directory| !directory.starts_with(above));
    }

    fn work(&self) {
        while let Some(batch) = self.take() {
            self.sync_batch(&batch);
        }
    }

    fn sync_batch(&self, batch: &[Arc<Log>]) {
        let mut directories = BTreeSet::new();
        let mut done = Vec::with_capacity(batch.len());
        for log in batch {
            let (goal, dirt) = log.begin_sync();
            let result = dirt.files.iter().try_for_each(|file| file.sync_data());
            directories.extend(dirt.directory);
            done.push((log, goal, result));
        }
        let entries = directories
            .iter()
            .try_for_each(|directory| self.sync_directory(directory));
        for (log, goal, result) in done {
            match (result, &entries) {
                (Ok(()), Ok(())) => log.finish_sync(&goal),
                (Err(error), _) => log.fail_sync(&error),
                (Ok(()), Err(error)) => log.fail_sync(error),
            }
        }
    }

    /// Syncs a directory, and the first time those above it: namespace and root.
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let settled = self.settled.lock().contains(directory);
        let levels = if settled { 1 } else { 3 };
        for level in directory.ancestors().take(levels) {
            match File::open(level) {
                Ok(opened) => opened.sync_all()?,
                // Its namespace was deleted, and the logs with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if !settled {
            self.settled.lock().insert(directory.to_path_buf());
        }
        Ok(())
    }

    fn take(&self) -> Option<Vec<Arc<Log>>> {
        let mut queue = self.queue.lock();
        loop {
            if !queue.now.is_empty() {
                let count = queue.now.len().min(BATCH);
                return Some(queue.now.drain(..count).collect());
            }
            match queue.soon.front() {
                None if queue.closed => return None,
                None => self.work.wait(&mut queue),
                Some((due, _)) if queue.closed || *due <= Instant::now() => {
                    return queue.soon.pop_front().map(|(_, log)| vec![log]);
                }
                Some((due, _)) => {
                    let due = *due;
                    self.work.wait_until(&mut queue, due);
                }
            }
        }
    }
}
