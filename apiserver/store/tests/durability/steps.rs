//! The process gone between any two disk operations: the directory as each of them leaves it must open.
//!
//! What a killed process has written is there, synced or not; `power` tests what is lost with the machine. Here a
//! whole life is recorded: creation, many log files, snapshots one after the other, the removal of what they replace,
//! closing, opening again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use breakbulk_store::embedded::{Disk, Embedded, Options, RealDisk};
use breakbulk_store::{Revision, Store, TxnOutcome};
use bytes::Bytes;

use super::damage::{Files, files, restore};
use super::{check_history, open, pair, pair_number, put, small_files};

/// What the directory held after one disk operation, and what had been acknowledged before it.
struct Step {
    operation: String,
    files: Files,
    number: u64,
    revision: Revision,
}

/// A disk that keeps a copy of the directory after every operation.
struct RecordingDisk {
    dir: PathBuf,
    number: AtomicU64,
    revision: AtomicU64,
    steps: Mutex<Vec<Step>>,
}

impl RecordingDisk {
    fn new(dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            number: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            steps: Mutex::default(),
        })
    }

    fn options(self: &Arc<Self>) -> Options {
        Options {
            disk: Arc::<Self>::clone(self),
            ..small_files()
        }
    }

    fn acknowledged(&self, number: u64, revision: Revision) {
        self.number.store(number, Ordering::SeqCst);
        self.revision.store(revision.0, Ordering::SeqCst);
    }

    /// Does one operation at a time, whichever thread asks, so that each copy is of one moment.
    fn step<T>(&self, operation: String, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut steps = self.steps.lock().unwrap();
        // Before the copy is made: more may be acknowledged than is in it only if an answer came too early.
        let (number, revision) = (
            self.number.load(Ordering::SeqCst),
            Revision(self.revision.load(Ordering::SeqCst)),
        );
        let done = run()?;
        steps.push(Step {
            operation,
            files: files(&self.dir),
            number,
            revision,
        });
        Ok(done)
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

impl Disk for RecordingDisk {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.step(format!("create {}", name(path)), || RealDisk.create_new(path))
    }

    fn write_at(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        let operation = format!("write {} at {offset}", data.len());
        self.step(operation, || RealDisk.write_at(file, data, offset))
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.step(format!("cut at {length}"), || RealDisk.truncate(file, length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(format!("rename to {}", name(to)), || RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(format!("remove {}", name(path)), || RealDisk.remove(path))
    }
}

/// Larger than a log file: what is written next, if only the mark of a compaction or of closing, begins a new one.
fn large() -> Bytes {
    Bytes::from(vec![b'x'; 5000])
}

/// Several lives of a store, in which its log files are left with and without a revision in them, and snapshots follow
/// one another closely.
async fn lives(dir: &Path, disk: &Arc<RecordingDisk>) {
    let mut number = 0;
    for life in 0..4 {
        let store = Embedded::open(dir, disk.options()).unwrap();
        for _ in 0..8 {
            disk.acknowledged(number, put(&store, "/large", large()).await);
            number += 1;
            let TxnOutcome::Committed { revision } = store.txn(pair(0, number)).await.unwrap() else {
                panic!("nothing to conflict with")
            };
            disk.acknowledged(number, revision);
            if number % 3 == 0 {
                disk.acknowledged(number, put(&store, "/large", large()).await);
            }
            let current = store.current_revision().await.unwrap();
            store.compact(Revision(current.0 - life)).await.unwrap();
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_process_gone_after_any_disk_operation_leaves_a_directory_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RecordingDisk::new(dir.path());
    lives(dir.path(), &disk).await;
    let steps = std::mem::take(&mut *disk.steps.lock().unwrap());
    let kinds = |prefix: &str| steps.iter().filter(|step| step.operation.starts_with(prefix)).count();
    assert!(kinds("rename to snapshot-") > 5, "snapshots were made");
    assert!(kinds("remove snapshot-") > 5, "and replaced");
    assert!(kinds("remove log-") > 10, "and made log superfluous");
    for (i, step) in steps.iter().enumerate() {
        let context = format!("after operation {i}, {}", step.operation);
        let copy = restore(&step.files);
        let store = match Embedded::open(copy.path(), small_files()) {
            Ok(store) => store,
            Err(error) => panic!("{context}: {error:?}, there are {:?}", step.files.keys()),
        };
        let current = store.current_revision().await.unwrap();
        assert!(
            current >= step.revision,
            "{context}: {} acknowledged, {current} kept",
            step.revision
        );
        let kept = pair_number(&store, 0).await;
        assert!(
            kept == step.number || kept == step.number + 1,
            "{context}: {} acknowledged, {kept} kept",
            step.number
        );
        check_history(&store).await;
        // And it goes on.
        let after = put(&store, "/after", "x").await;
        drop(store);
        let store = open(copy.path());
        assert_eq!(
            store.get(b"/after").await.unwrap().0.unwrap().mod_revision,
            after,
            "{context}"
        );
    }
}

#[tokio::test]
async fn no_log_file_takes_the_name_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RecordingDisk::new(dir.path());
    lives(dir.path(), &disk).await;
    let steps = disk.steps.lock().unwrap();
    let mut names = BTreeSet::new();
    for operation in steps.iter().map(|step| &step.operation) {
        if operation.starts_with("rename to log-") {
            assert!(names.insert(operation), "{operation} twice");
        }
    }
    assert!(names.len() > 10, "{} files are not many", names.len());
}

#[tokio::test]
async fn a_snapshot_does_not_take_the_log_that_is_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = put(&store, "/a", large()).await;
    // The file is full: the mark of closing begins the next one, which holds no revision yet.
    store.close().await;
    let store = open(dir.path());
    let second = put(&store, "/a", large()).await;
    store.compact(first).await.unwrap();
    // Until a snapshot of the first revision has been made.
    let superfluous = dir.path().join(format!("log-{:020}.bkl", first.0));
    let mut last = second;
    while superfluous.exists() {
        last = put(&store, "/b", "x").await;
    }
    // Answered only when everything has been removed that the snapshot has made superfluous.
    last = last.max(put(&store, "/b", "x").await);
    let copy = restore(&files(dir.path()));
    let reopened = open(copy.path());
    assert_eq!(reopened.current_revision().await.unwrap(), last);
    assert_eq!(reopened.get(b"/a").await.unwrap().0.unwrap().mod_revision, second);
}
