//! Files that are not what was written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use breakbulk_store::embedded::{Disk, Embedded, Options, RealDisk};
use breakbulk_store::{Error, KeyValue, RangeQuery, Revision, Store};

use super::{open, pair, pair_number, put, small_files};

pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (PathBuf::from(path.file_name().unwrap()), fs::read(path).unwrap()))
        .collect()
}

pub(crate) fn restore(files: &Files) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

async fn everything(store: &dyn Store) -> (Vec<KeyValue>, Revision) {
    let page = store.range(RangeQuery::prefix("")).await.unwrap();
    (page.items, page.revision)
}

/// A store with several log files and a snapshot, closed in order.
async fn a_closed_store() -> (Files, (Vec<KeyValue>, Revision)) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 1..60 {
        store
            .txn(pair(usize::try_from(number % 7).unwrap(), number))
            .await
            .unwrap();
        if number == 40 {
            store.compact(Revision(30)).await.unwrap();
        }
    }
    let all = everything(&store).await;
    store.close().await;
    let files = files(dir.path());
    let count = |prefix: &str| {
        files
            .keys()
            .filter(|name| name.to_str().unwrap().starts_with(prefix))
            .count()
    };
    assert!(count("log-") > 2, "there are several log files");
    assert_eq!(count("snapshot-"), 1, "there is a snapshot");
    (files, all)
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_refused_or_harmless() {
    let (files, all) = a_closed_store().await;
    let (mut refused, mut harmless) = (0, 0);
    for (name, content) in &files {
        // Many in the headers and the first records (every one in the identity), then some.
        let dense = if content.len() < 100 { 1 } else { 5 };
        let positions = (0..content.len().min(120))
            .step_by(dense)
            .chain((120..content.len()).step_by(397));
        for position in positions {
            let mut damaged = files.clone();
            damaged.get_mut(name).unwrap()[position] ^= 0x20;
            let dir = restore(&damaged);
            match Embedded::open(dir.path(), small_files()) {
                Err(Error::Damaged { path, .. }) => {
                    assert!(
                        path.ends_with(name),
                        "{} is named, {} is damaged",
                        path.display(),
                        name.display()
                    );
                    refused += 1;
                }
                Err(error) => panic!("{} at {position}: {error}", name.display()),
                // Padding, or zeros that nothing was written to yet.
                Ok(store) => {
                    assert_eq!(everything(&store).await, all, "{} at {position}", name.display());
                    harmless += 1;
                }
            }
        }
    }
    assert!(refused > 10 * harmless, "{refused} refused, {harmless} harmless");
}

#[tokio::test]
async fn a_missing_file_is_refused() {
    let (files, _) = a_closed_store().await;
    for name in files.keys().filter(|name| name.to_str() != Some("LOCK")) {
        let mut rest = files.clone();
        rest.remove(name);
        let dir = restore(&rest);
        let error = Embedded::open(dir.path(), small_files()).err();
        assert!(
            matches!(error, Some(Error::Damaged { .. })),
            "without {}: {error:?}",
            name.display()
        );
    }
}

#[tokio::test]
async fn a_file_of_another_store_is_refused() {
    let (files, _) = a_closed_store().await;
    let (others, _) = a_closed_store().await;
    for name in files.keys().filter(|name| name.to_str() != Some("LOCK")) {
        let mut mixed = files.clone();
        if let Some(content) = others.get(name) {
            mixed.insert(name.clone(), content.clone());
            let error = Embedded::open(restore(&mixed).path(), small_files()).err();
            assert!(
                matches!(error, Some(Error::Damaged { .. })),
                "with another's {}: {error:?}",
                name.display()
            );
        }
    }
}

#[tokio::test]
async fn a_log_cut_inside_its_last_write_opens_without_that_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.txn(pair(0, 1)).await.unwrap();
    store.txn(pair(0, 2)).await.unwrap();
    // The files of a running store are those of a killed one.
    let killed = files(dir.path());
    let (name, log) = killed
        .iter()
        .find(|(name, _)| name.to_str().unwrap().starts_with("log-"))
        .unwrap();
    let written = log.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Not in its first bytes: those of the write before would be cut, too.
    for cut in (written - 100)..written {
        let mut files = killed.clone();
        files.get_mut(name).unwrap().truncate(cut);
        let dir = restore(&files);
        let reopened = open(dir.path());
        assert_eq!(pair_number(&reopened, 0).await, 1, "cut at {cut}");
        assert_eq!(put(&reopened, "/next", "x").await, Revision(3));
        drop(reopened);
        assert_eq!(pair_number(&open(dir.path()), 0).await, 1, "cut at {cut}, opened again");
    }
}

/// What is done to files that are there, in order.
#[derive(Default)]
struct Operations(Mutex<Vec<String>>);

impl Disk for Operations {
    fn write_at(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.lock().unwrap().push(format!("write at {offset}"));
        RealDisk.write_at(file, data, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.0.lock().unwrap().push("sync".to_owned());
        RealDisk.sync(file)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().push(format!("cut at {length}"));
        RealDisk.truncate(file, length)
    }
}

/// Not only written over by what follows, zeros included: should that be torn too, two broken writes would mix.
#[tokio::test]
async fn a_torn_write_is_cut_off_before_anything_else_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = PathBuf::from(format!("log-{:020}.bkl", 2));
    let frames = |files: &Files| {
        let last = files[&log].iter().rposition(|byte| *byte != 0).unwrap();
        (last + 1).next_multiple_of(16)
    };
    put(&store, "/kept", "x").await;
    let kept = frames(&files(dir.path()));
    put(&store, "/torn", vec![b'x'; 3000]).await;
    let killed = files(dir.path());
    assert!(
        killed[&log].len() > frames(&killed),
        "there are zeros ahead, as in a store at work"
    );
    for lost in (1024..frames(&killed)).step_by(512) {
        let mut torn = killed.clone();
        let content = torn.get_mut(&log).unwrap();
        content[lost..lost + 512].fill(0);
        let whole = content[..kept].to_vec();
        let copy = restore(&torn);
        let operations = Arc::new(Operations::default());
        let options = Options {
            disk: Arc::<Operations>::clone(&operations),
            ..small_files()
        };
        let reopened = Embedded::open(copy.path(), options).unwrap();
        assert_eq!(files(copy.path())[&log], whole, "without the sector at {lost}");
        assert_eq!(
            *operations.0.lock().unwrap(),
            [format!("cut at {kept}"), "sync".to_owned()]
        );
        assert_eq!(reopened.current_revision().await.unwrap(), Revision(2));
        assert_eq!(put(&reopened, "/next", "x").await, Revision(3));
    }
}

/// The mark behind a full file lies across two sectors for some lengths of what stands before it, and a crash can leave
/// either of them unwritten.
#[tokio::test]
async fn a_torn_mark_behind_a_full_log_file_is_no_damage() {
    const SECTOR: usize = 512;
    const MARK: usize = 32;
    let mut torn = 0;
    for length in (4200..4200 + SECTOR).step_by(16) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        put(&store, "/a", vec![b'x'; length]).await;
        put(&store, "/b", vec![b'x'; length]).await;
        let mut killed = files(dir.path());
        let full = PathBuf::from(format!("log-{:020}.bkl", 2));
        // The first group of the next file is written only after the mark.
        killed
            .get_mut(Path::new(&format!("log-{:020}.bkl", 3)))
            .unwrap()
            .truncate(64);
        let log = killed.get_mut(&full).unwrap();
        // The last byte that is not zero is the lowest of the revision it names: before it a header and a kind.
        let mark = log.iter().rposition(|byte| *byte != 0).unwrap() - 17;
        let middle = (mark / SECTOR + 1) * SECTOR;
        if middle >= mark + MARK {
            continue;
        }
        torn += 1;
        for lost in [mark..middle, middle..mark + MARK] {
            let mut files = killed.clone();
            files.get_mut(&full).unwrap()[lost.clone()].fill(0);
            let dir = restore(&files);
            let reopened = open(dir.path());
            assert_eq!(reopened.current_revision().await.unwrap(), Revision(2));
            assert_eq!(put(&reopened, "/next", "x").await, Revision(3));
            drop(reopened);
            let reopened = open(dir.path());
            assert!(reopened.get(b"/a").await.unwrap().0.is_some(), "without {lost:?}");
            // What a crash cannot do is still refused.
            let mut files = killed.clone();
            files.get_mut(&full).unwrap()[lost.start] ^= 0x20;
            let error = Embedded::open(restore(&files).path(), small_files()).err();
            assert!(matches!(error, Some(Error::Damaged { .. })), "{error:?}");
        }
    }
    assert!(torn > 0, "no mark lay across two sectors");
}

#[tokio::test]
async fn a_directory_is_opened_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "/a", "1").await;
    let error = Embedded::open(dir.path(), small_files()).err();
    assert!(matches!(error, Some(Error::Locked { .. })), "{error:?}");
    store.close().await;
    let again = open(dir.path());
    assert!(again.get(b"/a").await.unwrap().0.is_some());
    let late = store.txn(pair(0, 1)).await;
    assert!(matches!(late, Err(Error::Unavailable { .. })), "{late:?}");
}
