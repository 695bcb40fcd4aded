//! The history and the files stay within their bounds.

use std::path::Path;
use std::time::Duration;

use breakbulk_store::embedded::{Embedded, History, Options};
use breakbulk_store::{At, Error, RangeQuery, Revision, Store};
use bytes::Bytes;
use futures::StreamExt;

use super::{check_history, put};

fn bounded() -> Options {
    let history = History {
        max_revisions: 100,
        ..History::default()
    };
    Options {
        history,
        segment_bytes: 64 * 1024,
        ..Options::default()
    }
}

fn bytes_in(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        // A file that goes while it is looked at is no more.
        .filter_map(|entry| entry.unwrap().metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[tokio::test]
async fn old_history_is_forgotten_and_its_files_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), bounded()).unwrap();
    for i in 0..2000 {
        put(&store, &format!("/{}", i % 10), vec![b'x'; 1000]).await;
    }
    let current = store.current_revision().await.unwrap();
    let at = |back| RangeQuery::prefix("/").at(At::Exactly(Revision(current.0 - back)));
    assert_eq!(store.range(at(90)).await.unwrap().count, 10);
    assert!(matches!(store.range(at(200)).await, Err(Error::Compacted { .. })));
    let written = 2000 * 1000;
    assert!(
        bytes_in(dir.path()) < written / 2,
        "{} bytes are kept",
        bytes_in(dir.path())
    );
    drop(store);
    let store = Embedded::open(dir.path(), bounded()).unwrap();
    assert!(
        matches!(store.range(at(200)).await, Err(Error::Compacted { .. })),
        "what was forgotten stays so"
    );
    assert_eq!(store.range(at(90)).await.unwrap().count, 10);
    check_history(&store).await;
}

#[tokio::test]
async fn history_is_forgotten_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let history = History {
        max_age: Duration::ZERO,
        ..History::default()
    };
    let store = Embedded::open(
        dir.path(),
        Options {
            history,
            ..Options::default()
        },
    )
    .unwrap();
    let first = put(&store, "/a", "1").await;
    // The clock has milliseconds: until the next one has begun nothing is older than now.
    let gone = async || {
        put(&store, "/a", "2").await;
        store.range(RangeQuery::prefix("/").at(At::Exactly(first))).await
    };
    while !matches!(gone().await, Err(Error::Compacted { .. })) {}
    assert_eq!(store.range(RangeQuery::prefix("/")).await.unwrap().count, 1);
}

#[tokio::test]
async fn a_watch_that_is_not_read_ends_with_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), bounded()).unwrap();
    let mut slow = store.watch(Bytes::from("/busy"), Revision(1)).await.unwrap();
    let mut idle = store.watch(Bytes::from("/idle"), Revision(1)).await.unwrap();
    let first = put(&store, "/busy", "first").await;
    let delivered = slow.next().await.unwrap().unwrap();
    assert_eq!((delivered.events.len(), delivered.revision), (1, first));
    for _ in 0..1000 {
        put(&store, "/busy", "x").await;
    }
    let error = slow.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::SlowWatcher { delivered, .. } if delivered == first),
        "{error:?}"
    );
    assert!(slow.next().await.is_none(), "it has ended");
    // One that only had nothing to read is not slow.
    let last = put(&store, "/idle", "x").await;
    let batch = idle.next().await.unwrap().unwrap();
    assert_eq!((batch.events.len(), batch.revision), (1, last));
}

#[tokio::test]
async fn closing_the_store_ends_its_watches() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), bounded()).unwrap();
    let mut watch = store.watch(Bytes::from("/"), Revision(1)).await.unwrap();
    put(&store, "/a", "1").await;
    store.close().await;
    assert_eq!(
        watch.next().await.unwrap().unwrap().events.len(),
        1,
        "what was committed is delivered first"
    );
    assert!(matches!(watch.next().await, Some(Err(Error::Unavailable { .. }))));
    assert!(watch.next().await.is_none());
}
