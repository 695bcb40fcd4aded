//! When snapshots are written: as soon as one frees as much log as it writes, on a thread of its own, one at a time.
//!
//! One that could not be written does no harm yet: the log is kept instead. It is said, counted, and tried again when the
//! log has grown some more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::log::StoreId;
use super::snapshot;
use super::writer::Command;
use super::{Disk, Options};
use crate::{KeyValue, Revision};

/// A snapshot that is durable.
pub(crate) struct Written {
    pub(crate) revision: Revision,
    path: PathBuf,
    bytes: u64,
}

/// What is to be written, and where.
pub(crate) struct Task {
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) revision: Revision,
    pub(crate) items: Vec<KeyValue>,
}

/// The last snapshot, and the one that is being written.
#[derive(Default)]
pub(crate) struct Snapshots {
    running: Option<JoinHandle<io::Result<Written>>>,
    path: Option<PathBuf>,
    bytes: u64,
    /// After a failure: not before the log has grown to this.
    not_before: u64,
    failed: u64,
}

/// Tells the writer that the thread is about to end, in whatever way.
struct Ends(mpsc::WeakSender<Command>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(writer) = self.0.upgrade() {
            // Closed: the writer ends too, and waits for this thread.
            let _ = writer.blocking_send(Command::SnapshotEnded);
        }
    }
}

impl Snapshots {
    pub(crate) fn with_last(path: Option<PathBuf>, bytes: u64) -> Self {
        Self {
            path,
            bytes,
            ..Self::default()
        }
    }

    /// How many have failed since the last one that was written.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether one is to be written now that so many bytes of the log are superfluous.
    pub(crate) fn are_due(&self, superfluous: u64, options: &Options) -> bool {
        let due = self.bytes.max(options.segment_bytes / 2).max(self.not_before);
        self.running.is_none() && superfluous >= due
    }

    /// Begins to write one; when the thread ends, it says so with [`Command::SnapshotEnded`].
    pub(crate) fn begin(&mut self, task: Task, not_again_before: u64, writer: mpsc::WeakSender<Command>) {
        self.not_before = not_again_before;
        let write = move || {
            let _ends = Ends(writer);
            let (path, bytes) = snapshot::write(&task.dir, task.store, &*task.disk, task.revision, task.items)?;
            let revision = task.revision;
            Ok(Written { revision, path, bytes })
        };
        let thread = std::thread::Builder::new().name("store-snapshot".to_owned());
        match thread.spawn(write) {
            Ok(running) => self.running = Some(running),
            Err(error) => self.fail(&format!("no thread for it: {error}")),
        }
    }

    /// Waits for the thread that is writing one, if there is one; returns what it has written.
    pub(crate) fn end(&mut self, options: &Options) -> Option<Revision> {
        match self.running.take()?.join() {
            Ok(Ok(written)) => Some(self.replace(written, options)),
            Ok(Err(error)) => {
                self.fail(&error.to_string());
                None
            }
            Err(_) => {
                self.fail("its thread panicked");
                None
            }
        }
    }

    fn replace(&mut self, written: Written, options: &Options) -> Revision {
        if self.path.as_ref() != Some(&written.path)
            && let Some(old) = self.path.replace(written.path)
        {
            remove(&old, options);
        }
        self.bytes = written.bytes;
        self.not_before = 0;
        self.failed = 0;
        written.revision
    }

    fn fail(&mut self, reason: &str) {
        self.failed += 1;
        let failed = self.failed;
        tracing::error!(
            reason,
            failed,
            "a snapshot of the store could not be written, the log is kept instead"
        );
    }
}

fn remove(path: &Path, options: &Options) {
    if let Err(error) = options.disk.remove(path) {
        tracing::warn!(%error, path = %path.display(), "an old snapshot could not be removed");
    }
}
