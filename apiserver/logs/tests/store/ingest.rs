//! What the protocol promises to an agent.

use breakbulk_log_api::rejected::Reason;
use breakbulk_log_api::server_message::Body as Answer;
use breakbulk_log_record::{Record, Stream};
use breakbulk_logs::{Options, ReadError, ReadOptions, Start};
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::agent::{Agent, append, frame, frames, open, open_with, seal};
use crate::readers::{content, read_all};
use crate::server::{Server, key, small};

#[tokio::test]
async fn a_whole_log_in_one_flight_is_opened_stored_sealed_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Options::default()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.send(7, open("tiny")).await;
    agent.send(7, append(frame(b"hi\n", 0, 3))).await;
    agent.send(7, seal(3, b"hi\n")).await;
    let mut sealed = false;
    while !sealed {
        let answer = agent.answer().await;
        assert_eq!(answer.log, 7);
        match answer.body.unwrap() {
            Answer::Opened(opened) => assert_eq!((opened.committed, opened.sealed), (0, false)),
            Answer::Ack(ack) => assert_eq!(ack.received, 3),
            Answer::Sealed(_) => sealed = true,
            Answer::Rejected(rejected) => panic!("{rejected:?}"),
        }
    }
    let (chunks, end) = read_all(
        &server.store,
        "tiny",
        ReadOptions {
            follow: true,
            ..ReadOptions::default()
        },
    )
    .await;
    assert_eq!(content(&chunks), b"hi\n");
    assert!(end.sealed);
    assert_eq!(end.digest, Some(Sha256::digest(b"hi\n").into()));
    let info = server.store.info(&key("tiny")).await.unwrap().unwrap();
    assert_eq!((info.length, info.durable, info.lines), (3, 3, 1));
    assert!(agent.open(8, "tiny").await.unwrap().sealed);
    server.stop().await;
}

#[tokio::test]
async fn an_empty_log_can_be_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Options::default()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "empty").await.unwrap();
    agent.seal(1, b"").await.unwrap();
    let (chunks, end) = read_all(&server.store, "empty", ReadOptions::default()).await;
    assert!(chunks.is_empty() && end.sealed && end.length == 0);
    server.stop().await;
}

#[tokio::test]
async fn a_record_above_the_committed_offset_is_refused_and_one_below_acknowledged_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), small()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "offsets").await.unwrap();
    let all = b"abcdef";
    assert_eq!(agent.append(1, frame(all, 0, 3)).await.unwrap(), 3);
    let refused = agent.append(1, frame(all, 4, 6)).await.unwrap_err();
    assert_eq!((refused.reason(), refused.committed), (Reason::Offset, 3));
    assert_eq!(agent.append(1, frame(all, 0, 3)).await.unwrap(), 3);
    assert_eq!(agent.append(1, frame(all, 1, 6)).await.unwrap(), 6);
    agent.seal(1, all).await.unwrap();
    let (chunks, _) = read_all(&server.store, "offsets", ReadOptions::default()).await;
    assert_eq!(content(&chunks), all);
    server.stop().await;
}

#[tokio::test]
async fn a_record_with_a_flipped_bit_is_refused_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), small()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "bits").await.unwrap();
    let mut bad = frame(b"hello", 0, 5).to_vec();
    bad[30] ^= 4;
    let refused = agent.append(1, Bytes::from(bad)).await.unwrap_err();
    assert_eq!((refused.reason(), refused.committed), (Reason::Corrupt, 0));
    assert_eq!(agent.append(1, frame(b"hello", 0, 5)).await.unwrap(), 5);
    server.stop().await;
}

#[tokio::test]
async fn a_seal_that_is_not_what_is_stored_is_refused_and_the_right_one_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), small()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "seals").await.unwrap();
    agent.append(1, frame(b"hello", 0, 5)).await.unwrap();
    let refused = agent.seal(1, b"hello!").await.unwrap_err();
    assert_eq!((refused.reason(), refused.committed), (Reason::SealMismatch, 5));
    let refused = agent.seal(1, b"jello").await.unwrap_err();
    assert_eq!((refused.reason(), refused.committed), (Reason::SealMismatch, 5));
    let (_, end) = read_all(&server.store, "seals", ReadOptions::default()).await;
    assert!(!end.sealed);
    agent.seal(1, b"hello").await.unwrap();

    agent.open(2, "seals").await.unwrap();
    agent.seal(2, b"hello").await.unwrap();
    agent.open(3, "seals").await.unwrap();
    let refused = agent.seal(3, b"other").await.unwrap_err();
    assert_eq!(refused.reason(), Reason::Sealed);
    let more = frame(b"hello more", 5, 10);
    agent.send(3, append(more)).await;
    let Answer::Rejected(refused) = agent.answer().await.body.unwrap() else {
        panic!("taken after its seal")
    };
    assert_eq!(refused.reason(), Reason::Sealed);
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_hold_the_claim_is_fenced_and_so_is_a_key_that_is_no_file_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), small()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.send(1, open_with("job", "stale")).await;
    let Answer::Rejected(refused) = agent.answer().await.body.unwrap() else {
        panic!("not fenced")
    };
    assert_eq!(refused.reason(), Reason::Fenced);
    let refused = agent.open(2, "../../etc").await.unwrap_err();
    assert_eq!(refused.reason(), Reason::Fenced);
    agent.send(3, append(frame(b"x", 0, 1))).await;
    let Answer::Rejected(refused) = agent.answer().await.body.unwrap() else {
        panic!("appended without open")
    };
    assert_eq!(refused.reason(), Reason::Unavailable);
    server.stop().await;
}

#[tokio::test]
async fn one_server_writes_a_log_at_a_time_and_followers_of_the_other_see_it_grow() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (
        Server::start(dir.path(), small()).await,
        Server::start(dir.path(), small()).await,
    );
    let follow = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let other = second.store.clone();
    let follower = tokio::spawn(async move { read_all(&other, "shared", follow).await });

    let mut agent = Agent::connect(first.address).await;
    agent.open(1, "shared").await.unwrap();
    let all = b"one\ntwo\nthree\n";
    agent.append(1, frame(all, 0, 4)).await.unwrap();
    let mut rival = Agent::connect(second.address).await;
    let refused = rival.open(1, "shared").await.unwrap_err();
    assert_eq!(refused.reason(), Reason::Unavailable);

    let (chunks, _) = read_all(&second.store, "shared", ReadOptions::default()).await;
    assert_eq!(content(&chunks), b"one\n");
    drop(agent);
    // The first server lives on; the second takes the log over where it stands once the stream is gone.
    let opened = loop {
        match rival.open(2, "shared").await {
            Ok(opened) => break opened,
            Err(refused) => assert_eq!(refused.reason(), Reason::Unavailable),
        }
    };
    assert_eq!(opened.committed, 4);
    rival.append(2, frame(all, 4, all.len())).await.unwrap();
    let (chunks, _) = read_all(&first.store, "shared", ReadOptions::default()).await;
    assert_eq!(content(&chunks), all);
    rival.seal(2, all).await.unwrap();
    let (chunks, end) = follower.await.unwrap();
    assert_eq!(content(&chunks), all);
    assert!(end.sealed);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_log_goes_back_and_forth_between_two_servers() {
    let dir = tempfile::tempdir().unwrap();
    let servers = [
        Server::start(dir.path(), small()).await,
        Server::start(dir.path(), small()).await,
    ];
    let all: Vec<u8> = (0u32..300).flat_map(u32::to_le_bytes).collect();
    for (turn, at) in (0..all.len()).step_by(100).enumerate() {
        // Every third turn is the same server's as the one before.
        let server = &servers[(turn - turn / 3) % 2];
        let mut agent = Agent::connect(server.address).await;
        let opened = loop {
            match agent.open(1, "moving").await {
                Ok(opened) => break opened,
                Err(refused) => assert_eq!(refused.reason(), Reason::Unavailable),
            }
        };
        assert_eq!(opened.committed, at as u64);
        agent.append(1, frame(&all, at, at + 100)).await.unwrap();
        if at + 100 == all.len() {
            agent.seal(1, &all).await.unwrap();
        }
    }
    for server in servers {
        let (chunks, end) = read_all(&server.store, "moving", ReadOptions::default()).await;
        assert!(end.sealed && content(&chunks) == all);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_gap_counts_in_offsets_and_not_in_the_digest() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), small()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "gap").await.unwrap();
    let records = [
        Record::data(0, 1, Stream::Output, Bytes::from_static(b"head")),
        Record::gap(4, 2, 100, "disk full"),
        Record::data(104, 3, Stream::Output, Bytes::from_static(b"tail\n")),
    ];
    assert_eq!(agent.append(1, frames(&records)).await.unwrap(), 109);
    agent.send(1, seal(109, b"headtail\n")).await;
    loop {
        match agent.answer().await.body.unwrap() {
            Answer::Sealed(_) => break,
            Answer::Ack(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let inside = ReadOptions {
        start: Start::Offset(54),
        ..ReadOptions::default()
    };
    let (chunks, end) = read_all(&server.store, "gap", inside).await;
    assert_eq!(end.length, 109);
    let expected = breakbulk_logs::Content::Gap {
        missing: 50,
        cause: "disk full".into(),
    };
    assert_eq!((chunks[0].offset, &chunks[0].content), (54, &expected));
    assert_eq!(content(&chunks), b"tail\n");
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_log_is_gone_and_its_follower_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), small()).await;
    let mut agent = Agent::connect(server.address).await;
    agent.open(1, "gone").await.unwrap();
    agent.append(1, frame(b"bye", 0, 3)).await.unwrap();
    let follow = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let mut follower = Box::pin(server.store.read(&key("gone"), follow));
    assert!(matches!(follower.next().await, Some(Ok(_))));
    let victim = key("gone");
    server
        .store
        .delete_job(victim.namespace(), victim.job_uid())
        .await
        .unwrap();
    let last = follower.next().await;
    assert!(matches!(last, Some(Err(ReadError::Deleted))), "{last:?}");
    assert_eq!(server.store.info(&key("gone")).await.unwrap(), None);
    server.store.delete(&victim).await.unwrap();
    server.store.delete_namespace(victim.namespace()).await.unwrap();
    assert!(!dir.path().join("default").exists());
    server.stop().await;
}
