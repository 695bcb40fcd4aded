//! A disk that is full.

use std::path::Path;
use std::process::Command;

use breakbulk_store::embedded::{Embedded, Options};
use breakbulk_store::{Error, RangeQuery, Store, Txn};

use super::{check_history, put};

/// A file system of a few MiB; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(dir.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: a tmpfs can't be mounted here");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let options = Options {
        segment_bytes: 256 * 1024,
        ..Options::default()
    };
    let dir = disk.path().join("store");
    let store = Embedded::open(&dir, options.clone()).unwrap();
    let mut acknowledged = 0;
    let full = loop {
        match store
            .txn(Txn::put(format!("/{acknowledged:05}"), vec![b'x'; 2000]))
            .await
        {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 5000, "the disk never fills");
    };
    assert!(matches!(full, Error::ReadOnly { .. }), "{full:?}");
    assert!(full.is_transient());
    let count = async |store: &Embedded| store.range(RangeQuery::prefix("/")).await.unwrap().count;
    assert_eq!(count(&store).await, acknowledged, "reads go on");
    std::fs::remove_file(&ballast).unwrap();
    put(&store, "/after", "there is space again").await;
    drop(store);
    let store = Embedded::open(&dir, options).unwrap();
    assert_eq!(count(&store).await, acknowledged + 1);
    check_history(&store).await;
}
