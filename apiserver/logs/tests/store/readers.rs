//! What readers get, against the plainest model of it.

use breakbulk_log_record::{Record, Stream};
use breakbulk_logs::text::{self, Timestamps};
use breakbulk_logs::{Chunk, Content, End, LogStore, Options, ReadItem, ReadOptions, Start};
use bytes::Bytes;
use futures::StreamExt;
use proptest::prelude::*;

use crate::agent::{Agent, frame, frames};
use crate::server::{Server, key, small};

pub(crate) async fn read_all(store: &LogStore, uid: &str, options: ReadOptions) -> (Vec<Chunk>, End) {
    let mut items = Box::pin(store.read(&key(uid), options));
    let mut chunks = Vec::new();
    loop {
        match items.next().await.expect("a stream ends with its end").unwrap() {
            ReadItem::Chunk(chunk) => chunks.push(chunk),
            ReadItem::End(end) => return (chunks, end),
        }
    }
}

pub(crate) fn content(chunks: &[Chunk]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        if let Content::Data(bytes) = &chunk.content {
            out.extend_from_slice(bytes);
        }
    }
    out
}

async fn text_of(store: &LogStore, options: ReadOptions, stamps: Timestamps, limit: Option<u64>) -> Vec<u8> {
    let pieces = text::render(store.read(&key("log"), options), stamps, limit);
    pieces.map(Result::unwrap).collect::<Vec<Bytes>>().await.concat()
}

/// The last `count` lines, found from the back.
fn tail(content: &[u8], count: u64) -> &[u8] {
    let lines: Vec<&[u8]> = content.split_inclusive(|b| *b == b'\n').collect();
    let skip = lines.len().saturating_sub(usize::try_from(count).unwrap());
    let skipped: usize = lines[..skip].iter().map(|line| line.len()).sum();
    &content[skipped..]
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_cursor_tail_time_and_limit_gives_what_the_model_gives(
        pieces in proptest::collection::vec(piece(), 1..40),
        from in 0u64..1500,
        count in 0u64..30,
        limit in 0u64..500,
        sealed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let server = Server::start(dir.path(), small()).await;
            let mut agent = Agent::connect(server.address).await;
            agent.open(1, "log").await.unwrap();
            let mut all = Vec::new();
            let mut starts = Vec::new();
            for piece in &pieces {
                let at = all.len();
                starts.push(at);
                all.extend_from_slice(piece);
                agent.append(1, frame(&all, at, all.len())).await.unwrap();
            }
            if sealed {
                agent.seal(1, &all).await.unwrap();
            }
            let store = &server.store;
            let cut = usize::try_from(from).unwrap().min(all.len());
            let options = ReadOptions { start: Start::Offset(from), ..ReadOptions::default() };
            let (chunks, end) = read_all(store, "log", options).await;
            assert_eq!(content(&chunks), &all[cut..]);
            assert_eq!((end.length, end.sealed), (all.len() as u64, sealed));

            let options = ReadOptions { start: Start::TailLines(count), ..ReadOptions::default() };
            let (chunks, _) = read_all(store, "log", options).await;
            assert_eq!(content(&chunks), tail(&all, count));

            // The time of a record is its offset.
            let options = ReadOptions { start: Start::Since(from), ..ReadOptions::default() };
            let (chunks, _) = read_all(store, "log", options).await;
            let first = starts.iter().copied().find(|at| *at as u64 >= from).unwrap_or(all.len());
            assert_eq!(content(&chunks), &all[first..]);

            let options = ReadOptions { limit_bytes: Some(limit), ..ReadOptions::default() };
            let (chunks, _) = read_all(store, "log", options).await;
            let most = usize::try_from(limit).unwrap().min(all.len());
            assert_eq!(content(&chunks), &all[..most]);

            let plain = text_of(store, ReadOptions::default(), Timestamps::Off, Some(limit)).await;
            assert_eq!(plain, &all[..most]);

            let mut stamped = Vec::new();
            for (at, byte) in all.iter().enumerate() {
                if at == 0 || all[at - 1] == b'\n' {
                    let record = starts.iter().rev().find(|start| **start <= at).unwrap();
                    stamped.extend(format!("1970-01-01T00:00:00.{record:09}Z ").bytes());
                }
                stamped.push(*byte);
            }
            let text = text_of(store, ReadOptions::default(), Timestamps::On, None).await;
            assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&stamped));
            let text = text_of(store, ReadOptions::default(), Timestamps::On, Some(limit)).await;
            assert_eq!(text, &stamped[..usize::try_from(limit).unwrap().min(stamped.len())]);
            server.stop().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_followers_get_every_byte_and_a_stalled_one_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Options::default()).await;
    let follow = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let mut stalled = Box::pin(server.store.read(&key("log"), follow));
    let followers: Vec<_> = (0..1000)
        .map(|_| {
            let store = server.store.clone();
            tokio::spawn(async move { read_all(&store, "log", follow).await })
        })
        .collect();
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    let all: Vec<u8> = (0u32..20_000)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect();
    let mut at = 0;
    while at < all.len() {
        let end = (at + 3000).min(all.len());
        agent.append(1, frame(&all, at, end)).await.unwrap();
        if at == 0 {
            assert!(stalled.next().await.is_some());
        }
        at = end;
    }
    agent.seal(1, &all).await.unwrap();
    for follower in followers {
        let (chunks, end) = follower.await.unwrap();
        assert!(content(&chunks) == all && end.sealed);
    }
    let rest: Vec<_> = stalled.map(Result::unwrap).collect().await;
    let chunks: Vec<Chunk> = rest
        .into_iter()
        .filter_map(|item| match item {
            ReadItem::Chunk(chunk) => Some(chunk),
            ReadItem::End(_) => None,
        })
        .collect();
    assert_eq!(content(&chunks), &all[3000..]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_first_readers_of_a_stored_log_all_find_it() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (0u32..200_000).flat_map(u32::to_le_bytes).collect();
    let server = Server::start(dir.path(), Options::default()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    for at in (0..all.len()).step_by(1000) {
        agent.append(1, frame(&all, at, at + 1000)).await.unwrap();
    }
    agent.seal(1, &all).await.unwrap();
    server.stop().await;
    let server = Server::start(dir.path(), Options::default()).await;
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let store = server.store.clone();
            tokio::spawn(async move { read_all(&store, "log", ReadOptions::default()).await })
        })
        .collect();
    for reader in readers {
        let (chunks, end) = reader.await.unwrap();
        assert!(end.sealed && content(&chunks) == all);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_reader_of_no_log_is_told_so_and_a_follower_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Options::default()).await;
    let first = Box::pin(server.store.read(&key("log"), ReadOptions::default()))
        .next()
        .await
        .unwrap();
    assert!(matches!(first, Err(breakbulk_logs::ReadError::NotFound)), "{first:?}");
    let store = server.store.clone();
    let follow = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let follower = tokio::spawn(async move { read_all(&store, "log", follow).await });
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    agent.append(1, frame(b"late", 0, 4)).await.unwrap();
    agent.seal(1, b"late").await.unwrap();
    assert_eq!(content(&follower.await.unwrap().0), b"late");
    server.stop().await;
}

#[tokio::test]
async fn a_gap_is_a_line_of_its_own_that_cannot_forge_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Options::default()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "log").await.unwrap();
    let records = [
        Record::data(0, 0, Stream::Output, Bytes::from_static(b"half a line")),
        Record::gap(11, 1_500_000_000, 10, "disk\nfull"),
        Record::data(21, 0, Stream::Output, Bytes::from_static(b"rest\n")),
    ];
    agent.append(1, frames(&records)).await.unwrap();
    let text = text_of(&server.store, ReadOptions::default(), Timestamps::Off, None).await;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, "half a line\n[log: 10 bytes are missing here: disk full]\nrest\n");
    server.stop().await;
}
