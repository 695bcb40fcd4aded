//! What a store says of itself: a check is answered by the writer, and a snapshot that fails is said and tried again.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use breakbulk_store::embedded::{Disk, Embedded, History, Options, RealDisk};
use breakbulk_store::{Error, Store, Txn};
use futures::FutureExt;

use super::{check_history, put};

/// A disk whose syncs wait while the gate is locked.
struct Gated(Arc<Mutex<()>>);

impl Disk for Gated {
    fn sync(&self, file: &File) -> io::Result<()> {
        let _open = self.0.lock().unwrap();
        RealDisk.sync(file)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::await_holding_lock, reason = "the lock is what the disk waits for")]
async fn a_check_is_answered_after_what_is_being_written_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let options = Options {
        disk: Arc::new(Gated(Arc::clone(&gate))),
        ..Options::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    let closed = gate.lock().unwrap();
    let mut writing = store.txn(Txn::put("/a", "1"));
    assert!((&mut writing).now_or_never().is_none());
    let mut check = store.check();
    assert!((&mut check).now_or_never().is_none(), "the disk has not answered");
    // What only reads does not wait for the disk.
    let before = store.current_revision().await.unwrap();
    drop(closed);
    assert_eq!(check.await.unwrap().revision, before.next());
    writing.await.unwrap();
}

/// A disk that panics when it is written to, from a number of writes on.
struct Panics(AtomicUsize);

impl Disk for Panics {
    fn write_at(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        let left = self.0.fetch_sub(1, Ordering::Relaxed);
        assert_ne!(left, 0, "the disk is beyond itself");
        RealDisk.write_at(file, data, offset)
    }
}

#[tokio::test]
async fn a_store_whose_writer_is_gone_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        disk: Arc::new(Panics(AtomicUsize::new(6))),
        ..Options::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    assert!(store.check().await.is_ok());
    while store.txn(Txn::put("/a", "1")).await.is_ok() {}
    // The thread may still be about to end.
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(store.get(b"/a").await.is_ok(), "reads go on");
}

/// How a snapshot goes wrong.
#[derive(Clone, Copy)]
enum Trouble {
    Error,
    Panic,
}

/// A disk that does not take the first snapshots.
struct NoSnapshots {
    trouble: Trouble,
    left: AtomicUsize,
}

impl Disk for NoSnapshots {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !is_snapshot(to) {
            return RealDisk.rename(from, to);
        }
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match (left, self.trouble) {
            (Err(_), _) => RealDisk.rename(from, to),
            (Ok(_), Trouble::Error) => Err(io::Error::other("no snapshot today")),
            (Ok(_), Trouble::Panic) => panic!("no snapshot today"),
        }
    }
}

fn is_snapshot(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with("snapshot-") && name.ends_with(".bks")
}

async fn comes_back(trouble: Trouble) {
    let dir = tempfile::tempdir().unwrap();
    let history = History {
        max_revisions: 20,
        ..History::default()
    };
    let options = Options {
        history,
        segment_bytes: 4096,
        ..Options::default()
    };
    let disk = Arc::new(NoSnapshots {
        trouble,
        left: AtomicUsize::new(3),
    });
    let failing = Options {
        disk: disk.clone(),
        ..options.clone()
    };
    let store = Embedded::open(dir.path(), failing).unwrap();
    let (mut most, mut now) = (0, 0);
    // Three fail, each is tried again, and what is said of them ends when one comes to be.
    for _ in 0..10_000 {
        put(&store, "/a", vec![b'x'; 500]).await;
        now = store.check().await.unwrap().failed_snapshots;
        most = most.max(now);
        if (most, now) == (3, 0) {
            break;
        }
    }
    assert_eq!((most, now), (3, 0));
    let last = put(&store, "/a", "last").await;
    drop(store);
    let mut files = std::fs::read_dir(dir.path()).unwrap();
    assert!(files.any(|file| is_snapshot(&file.unwrap().path())));
    let store = Embedded::open(dir.path(), options).unwrap();
    assert_eq!(store.get(b"/a").await.unwrap().0.unwrap().mod_revision, last);
    check_history(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_fails_is_said_and_tried_again() {
    comes_back(Trouble::Error).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_thread_panics_is_said_and_tried_again() {
    comes_back(Trouble::Panic).await;
}
