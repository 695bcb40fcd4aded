//! Power lost at every single disk operation: what was not synced is there, or not, sector by sector.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use breakbulk_store::embedded::{Disk, Embedded, Options, RealDisk};
use breakbulk_store::{Error, Revision, Store, Txn, TxnOutcome};

use super::{check_history, open, pair, pair_number, put};

const SECTOR: usize = 512;

struct Unsynced {
    file: File,
    offset: u64,
    before: Vec<u8>,
}

#[derive(Default)]
struct State {
    operations: usize,
    lost: bool,
    unsynced: HashMap<u64, Vec<Unsynced>>,
    /// Removed since the directory was last synced, with what they held.
    removed: Vec<(PathBuf, Vec<u8>)>,
    random: u64,
}

/// A disk whose power fails at the n-th operation. From then on every operation fails.
struct FailingDisk {
    fails_at: usize,
    state: Mutex<State>,
}

impl FailingDisk {
    fn new(fails_at: usize, seed: u64) -> Self {
        let state = State {
            random: seed * 2 + 1,
            ..State::default()
        };
        Self {
            fails_at,
            state: Mutex::new(state),
        }
    }

    /// Counts an operation, and does it or loses the power. Whether an operation that the loss hits happened is chance.
    fn operation<T>(&self, file: Option<&File>, run: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        if state.lost {
            return Err(io::Error::other("the power is gone"));
        }
        state.operations += 1;
        if state.operations == self.fails_at {
            let is_sync = file.is_some();
            if !is_sync && state.chance() {
                run(&mut state)?;
            }
            state.lose();
            return Err(io::Error::other("the power is gone"));
        }
        run(&mut state)
    }
}

impl State {
    fn chance(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random & 0x100 != 0
    }

    /// Each sector of what was not synced keeps its new content or gets back its old one, and what was removed stays so
    /// or is there again.
    fn lose(&mut self) {
        self.lost = true;
        for (path, content) in std::mem::take(&mut self.removed) {
            if self.chance() && !path.exists() {
                std::fs::write(path, content).unwrap();
            }
        }
        for (_, writes) in std::mem::take(&mut self.unsynced) {
            // All, none, or each for itself.
            let (mixed, all) = (self.chance(), self.chance());
            for write in writes.into_iter().rev() {
                let mut from = 0;
                while from < write.before.len() {
                    let at = usize::try_from(write.offset).unwrap() + from;
                    let length = (SECTOR - at % SECTOR).min(write.before.len() - from);
                    if if mixed { self.chance() } else { all } {
                        write
                            .file
                            .write_all_at(&write.before[from..from + length], at as u64)
                            .unwrap();
                    }
                    from += length;
                }
            }
        }
    }
}

impl Disk for FailingDisk {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.operation(None, |_| RealDisk.create_new(path))
    }

    fn write_at(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        self.operation(None, |state| {
            let mut before = vec![0; data.len()];
            let mut have = 0;
            while have < before.len() {
                match file.read_at(&mut before[have..], offset + have as u64)? {
                    0 => break,
                    read => have += read,
                }
            }
            let unsynced = Unsynced {
                file: file.try_clone()?,
                offset,
                before,
            };
            state.unsynced.entry(file.metadata()?.ino()).or_default().push(unsynced);
            RealDisk.write_at(file, data, offset)
        })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.operation(Some(file), |state| {
            state.unsynced.remove(&file.metadata()?.ino());
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(None, |state| {
            // The real one syncs the directory.
            state.removed.clear();
            std::fs::rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation(None, |state| {
            state.removed.push((path.to_owned(), std::fs::read(path)?));
            RealDisk.remove(path)
        })
    }
}

/// Writes until the power fails; returns the last number acknowledged to each of two writers, and the last revision.
async fn write_until_lost(dir: &Path, disk: Arc<FailingDisk>, rounds: u64) -> ([u64; 2], Revision) {
    let options = Options {
        segment_bytes: 4096,
        disk,
        ..Options::default()
    };
    let (mut acknowledged, mut last) = ([0; 2], Revision::ZERO);
    let Ok(mut store) = Embedded::open(dir, options.clone()) else {
        return (acknowledged, last);
    };
    for number in 1..=rounds {
        // Both at once, so that some groups hold two transactions.
        let both = futures::future::join(store.txn(pair(0, number)), store.txn(pair(1, number))).await;
        for (writer, outcome) in [both.0, both.1].into_iter().enumerate() {
            match outcome {
                Ok(TxnOutcome::Committed { revision }) => {
                    acknowledged[writer] = number;
                    last = last.max(revision);
                }
                Err(Error::Ambiguous { .. } | Error::Failed { .. }) => return (acknowledged, last),
                other => panic!("{other:?}"),
            }
        }
        // Larger than a file: what comes next, if only a mark, begins a new one.
        if number % 4 == 0 && store.txn(Txn::put("/large", vec![b'x'; 5000])).await.is_err() {
            break;
        }
        if number % 5 == 0 && store.compact(Revision(last.0 - 3)).await.is_err() {
            break;
        }
        if number % 8 == 0 {
            store.close().await;
            match Embedded::open(dir, options.clone()) {
                Ok(opened) => store = opened,
                Err(_) => break,
            }
        }
    }
    (acknowledged, last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_at_any_disk_operation_loses_nothing_acknowledged() {
    const ROUNDS: u64 = 25;
    let whole = Arc::new(FailingDisk::new(usize::MAX, 1));
    write_until_lost(tempfile::tempdir().unwrap().path(), Arc::clone(&whole), ROUNDS).await;
    let operations = whole.state.lock().unwrap().operations;
    assert!(operations > 100, "{operations} operations are not worth a sweep");
    for fails_at in 1..=operations {
        for seed in 1..=2 {
            let dir = tempfile::tempdir().unwrap();
            let disk = Arc::new(FailingDisk::new(fails_at, seed * 7919 + fails_at as u64));
            let (acknowledged, last) = write_until_lost(dir.path(), disk, ROUNDS).await;
            let store = open(dir.path());
            assert!(store.current_revision().await.unwrap() >= last);
            for (writer, number) in acknowledged.into_iter().enumerate() {
                let kept = pair_number(&store, writer).await;
                let context = format!("operation {fails_at}, seed {seed}, writer {writer}");
                assert!(
                    kept == number || kept == number + 1,
                    "{context}: {number} acknowledged, {kept} kept"
                );
            }
            check_history(&store).await;
            // And it goes on. Something small, which must not leave the rest of a torn write behind it.
            let small = put(&store, "/small", "x").await;
            drop(store);
            let store = open(dir.path());
            assert_eq!(store.get(b"/small").await.unwrap().0.unwrap().mod_revision, small);
        }
    }
}

/// A disk whose n-th sync fails once.
struct SyncFailsOnce(Mutex<usize>);

impl Disk for SyncFailsOnce {
    fn sync(&self, file: &File) -> io::Result<()> {
        let mut left = self.0.lock().unwrap();
        *left = left.wrapping_sub(1);
        if *left == 0 {
            Err(io::Error::other("the disk is not well"))
        } else {
            RealDisk.sync(file)
        }
    }
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_for_good_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        disk: Arc::new(SyncFailsOnce(Mutex::new(5))),
        ..Options::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    let mut acknowledged = 0;
    let failed = loop {
        match store.txn(pair(0, acknowledged + 1)).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, Error::Ambiguous { .. }), "{failed:?}");
    assert!(acknowledged > 0);
    let later = store.txn(pair(0, 99)).await.unwrap_err();
    assert!(
        matches!(&later, Error::Failed { message } if message.contains("not well")),
        "{later:?}"
    );
    assert_eq!(
        pair_number(&store, 0).await,
        acknowledged,
        "what was not acknowledged is not shown"
    );
    assert!(matches!(store.check().await, Err(Error::Failed { .. })));
    drop(store);
    let kept = pair_number(&open(dir.path()), 0).await;
    assert!(kept == acknowledged || kept == acknowledged + 1);
}
