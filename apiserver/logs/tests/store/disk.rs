//! Disks that are full, and files that are not what they were.

use std::path::{Path, PathBuf};
use std::process::Command;

use breakbulk_log_api::rejected::Reason;
use breakbulk_logs::{Options, ReadError, ReadItem, ReadOptions, Start};
use bytes::Bytes;
use futures::StreamExt;

use crate::agent::{Agent, frame};
use crate::readers::{content, read_all};
use crate::server::{Server, key, small};

/// A file system of two megabytes, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(dir.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_appends_and_the_log_goes_on_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: mounting a small file system needs root");
        return;
    };
    let dir = disk.0.path();
    let server = Server::start(dir, Options::default()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    let all: Vec<u8> = (0u32..700_000).flat_map(u32::to_le_bytes).collect();
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let (mut at, mut refusals) = (0, 0);
    while refusals < 3 {
        let next = at + 100_000;
        match agent.append(1, frame(&all, at, next)).await {
            Ok(received) => at = usize::try_from(received).unwrap(),
            Err(refused) => {
                assert_eq!((refused.reason(), refused.committed), (Reason::Unavailable, at as u64));
                refusals += 1;
            }
        }
    }
    let (chunks, _) = read_all(&server.store, "log", ReadOptions::default()).await;
    assert!(content(&chunks) == all[..at]);
    std::fs::remove_file(&ballast).unwrap();
    let next = at + 100_000;
    assert_eq!(agent.append(1, frame(&all, at, next)).await.unwrap(), next as u64);
    agent.seal(1, &all[..next]).await.unwrap();
    let (chunks, end) = read_all(&server.store, "log", ReadOptions::default()).await;
    assert!(end.sealed && content(&chunks) == all[..next]);
    server.stop().await;
}

/// The files of the one log there is, in order.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(dir.join("default")).unwrap();
    let mut out: Vec<PathBuf> = shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    out.sort();
    out
}

async fn sealed_log(dir: &Path, options: Options, all: &[u8], piece: usize) {
    let server = Server::start(dir, options).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    for at in (0..all.len()).step_by(piece) {
        agent
            .append(1, frame(all, at, (at + piece).min(all.len())))
            .await
            .unwrap();
    }
    agent.seal(1, all).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_long_log_is_found_again_through_its_index_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (0u32..800_000).flat_map(|n| format!("{n:07}\n").into_bytes()).collect();
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    sealed_log(dir.path(), options.clone(), &all, 300_000).await;
    let index = files(dir.path(), "idx").pop().expect("a long sealed log has an index");
    let whole = std::fs::read(&index).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for bytes in [Some(whole), Some(flipped), None] {
        match bytes {
            Some(bytes) => std::fs::write(&index, bytes).unwrap(),
            None => std::fs::remove_file(&index).unwrap(),
        }
        let server = Server::start(dir.path(), options.clone()).await;
        let info = server.store.info(&key("log")).await.unwrap().unwrap();
        assert_eq!((info.length, info.lines), (all.len() as u64, 800_000));
        for (start, from) in [
            (Start::Offset(5_000_001), 5_000_001),
            (Start::TailLines(3), all.len() - 24),
            (Start::TailLines(500_000), all.len() - 4_000_000),
            (Start::Since(1_200_001), 1_500_000),
        ] {
            let (chunks, end) = read_all(
                &server.store,
                "log",
                ReadOptions {
                    start,
                    ..ReadOptions::default()
                },
            )
            .await;
            assert!(content(&chunks) == all[from..], "{start:?}");
            assert!(end.sealed);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_sealed_log_with_a_rotten_byte_is_read_up_to_it_and_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (0u32..500).flat_map(u32::to_le_bytes).collect();
    sealed_log(dir.path(), small(), &all, 100).await;
    let segments = files(dir.path(), "log");
    let rotten = &segments[segments.len() / 2];
    let mut bytes = std::fs::read(rotten).unwrap();
    bytes[40] ^= 1;
    std::fs::write(rotten, &bytes).unwrap();
    let sizes = || {
        segments
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .collect::<Vec<_>>()
    };
    let before = sizes();

    let server = Server::start(dir.path(), small()).await;
    let items: Vec<_> = server.store.read(&key("log"), ReadOptions::default()).collect().await;
    let (last, good) = items.split_last().unwrap();
    let damaged = matches!(last, Err(ReadError::Damaged(at)) if *at < all.len() as u64);
    assert!(damaged, "{last:?}");
    let mut seen = Vec::new();
    for item in good {
        if let Ok(ReadItem::Chunk(chunk)) = item {
            seen.extend_from_slice(&content(std::slice::from_ref(chunk)));
        }
    }
    assert!(!seen.is_empty() && all.starts_with(&seen));
    let mut agent = Agent::connect(server.address).await;
    assert_eq!(agent.open(1, "log").await.unwrap_err().reason(), Reason::Unavailable);
    assert_eq!(sizes(), before);
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_prints_a_trailer_does_not_end_its_log() {
    let dir = tempfile::tempdir().unwrap();
    // A trailer as it stands in a file, taken from a log that was sealed.
    sealed_log(dir.path(), Options::default(), b"x", 1).await;
    let file = files(dir.path(), "log").pop().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let forged = &bytes[bytes.len() - 64..];
    let other = tempfile::tempdir().unwrap();
    let server = Server::start(other.path(), Options::default()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    agent.append(1, frame(forged, 0, 64)).await.unwrap();
    let reader = Server::start(other.path(), Options::default()).await;
    for store in [&server.store, &reader.store] {
        let (chunks, end) = read_all(store, "log", ReadOptions::default()).await;
        assert!(!end.sealed && content(&chunks) == forged);
    }
    agent.append(1, Bytes::new()).await.unwrap();
    agent.seal(1, forged).await.unwrap();
    reader.stop().await;
    server.stop().await;
}
