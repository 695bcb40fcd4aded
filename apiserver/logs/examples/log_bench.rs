//! How fast the log store is on this machine, through gRPC on loopback: one large log with a follower,
//! many tiny logs, and the delay from an append to a follower.
//!
//! `cargo run --release -p breakbulk-logs --example log_bench [DIRECTORY]`
#![allow(clippy::unwrap_used, reason = "a measurement ends at its first fault")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use breakbulk_log_api::log_ingest_client::LogIngestClient;
use breakbulk_log_api::node_message::Body;
use breakbulk_log_api::server_message::Body as Answer;
use breakbulk_log_api::{Append, Attempt, NodeMessage, Open, Seal, ServerMessage};
use breakbulk_log_record::{Record, Stream};
use breakbulk_logs::{
    AttemptAuthority, Content, LogKey, LogStore, Options, PeerIdentity, RECOMMENDED_FRAME, RECOMMENDED_WINDOW,
    ReadError, ReadItem, ReadOptions, Refusal, ingest_service,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Streaming};

struct Everyone;

#[async_trait]
impl AttemptAuthority for Everyone {
    async fn check(&self, attempt: &Attempt, _peer: &PeerIdentity) -> Result<LogKey, Refusal> {
        LogKey::new(&attempt.namespace, &attempt.job_uid, attempt.number).map_err(|e| Refusal::Fenced(e.to_string()))
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let directory = std::env::args()
            .nth(1)
            .map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
        let store = LogStore::open(&directory, Options::default()).unwrap();
        let shutdown = CancellationToken::new();
        let address = serve(store.clone(), shutdown.clone()).await;
        large(&store, address, 1 << 30, 64 * 1024).await;
        large(&store, address, 1 << 28, 4 * 1024).await;
        tiny(address, 5000).await;
        delay(&store, address, 2000).await;
        shutdown.cancel();
        store.close().await;
    });
}

async fn serve(store: LogStore, shutdown: CancellationToken) -> SocketAddr {
    let service = ingest_service(store, Arc::new(Everyone), shutdown.clone());
    let service = InterceptedService::new(service, |mut request: Request<()>| {
        request.extensions_mut().insert(PeerIdentity {
            user: "bench".into(),
            groups: Vec::new(),
        });
        Ok(request)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .initial_stream_window_size(RECOMMENDED_WINDOW)
        .initial_connection_window_size(RECOMMENDED_WINDOW)
        .max_frame_size(RECOMMENDED_FRAME)
        .tcp_nodelay(true)
        .add_service(service);
    tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        server
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled())
            .await
            .unwrap();
    });
    address
}

async fn connect(address: SocketAddr) -> (mpsc::Sender<NodeMessage>, Streaming<ServerMessage>) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint
        .initial_stream_window_size(RECOMMENDED_WINDOW)
        .initial_connection_window_size(RECOMMENDED_WINDOW)
        .tcp_nodelay(true)
        .connect()
        .await
        .unwrap();
    let (sender, receiver) = mpsc::channel(8);
    let answers = LogIngestClient::new(channel)
        .ship(ReceiverStream::new(receiver))
        .await
        .unwrap();
    (sender, answers.into_inner())
}

fn message(log: u64, body: Body) -> NodeMessage {
    NodeMessage { log, body: Some(body) }
}

fn open(log: u64, uid: &str) -> NodeMessage {
    let attempt = Attempt {
        namespace: "bench".into(),
        job_uid: uid.into(),
        number: 1,
        ..Attempt::default()
    };
    message(log, Body::Open(Open { attempt: Some(attempt) }))
}

fn seal(log: u64, length: u64, digest: &[u8]) -> NodeMessage {
    message(
        log,
        Body::Seal(Seal {
            length,
            digest: Bytes::copy_from_slice(digest),
        }),
    )
}

/// Seconds of processor time this process has used: what a figure means on a machine that is busy besides.
/// Linux counts it in hundredths, in the fields behind the name in brackets.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// The content bytes of all there is to read.
async fn count(items: impl futures::Stream<Item = Result<ReadItem, ReadError>>) -> u64 {
    let mut items = Box::pin(items);
    let mut seen = 0;
    while let Some(Ok(ReadItem::Chunk(chunk))) = items.next().await {
        if let Content::Data(bytes) = chunk.content {
            seen += bytes.len() as u64;
        }
    }
    seen
}

/// One log of `total` bytes in records of `piece`, four records a message, with one live follower.
async fn large(store: &LogStore, address: SocketAddr, total: u64, piece: usize) {
    let uid = format!("large-{piece}");
    let key = LogKey::new("bench", &uid, 1).unwrap();
    let follow = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let follower = tokio::spawn(count(store.read(&key, follow)));
    let (sender, mut answers) = connect(address).await;
    let payload: Bytes = (0..piece)
        .map(|n| if n % 80 == 79 { b'\n' } else { b'x' })
        .collect::<Vec<u8>>()
        .into();
    let mut digest = Sha256::new();
    (0..total / piece as u64).for_each(|_| digest.update(&payload));
    let digest = digest.finalize();
    let (start, before) = (Instant::now(), processor());
    sender.send(open(1, &uid)).await.unwrap();
    let sending = tokio::spawn(async move {
        let mut at = 0;
        while at < total {
            let mut frames = BytesMut::with_capacity(300 * 1024);
            while at < total && frames.len() < 256 * 1024 {
                Record::data(at, now(), Stream::Output, payload.clone()).encode(&mut frames);
                at += piece as u64;
            }
            sender
                .send(message(
                    1,
                    Body::Append(Append {
                        records: frames.freeze(),
                    }),
                ))
                .await
                .unwrap();
        }
        sender.send(seal(1, total, &digest)).await.unwrap();
        sender
    });
    loop {
        match answers.message().await.unwrap().unwrap().body.unwrap() {
            Answer::Sealed(_) => break,
            Answer::Rejected(rejected) => panic!("{rejected:?}"),
            _ => {}
        }
    }
    let took = start.elapsed();
    drop(sending.await.unwrap());
    assert_eq!(follower.await.unwrap(), total);
    let (rate, used) = (
        total as f64 / took.as_secs_f64() / 1e6,
        (processor() - before) * 1e9 / total as f64,
    );
    println!(
        "large log, records of {piece} bytes, one follower, sealed durable: {rate:.0} MB/s, {used:.2} s of processor per GB, agent included"
    );
}

/// Many logs of one line, each opened, appended and sealed in one flight, on one stream.
async fn tiny(address: SocketAddr, count: u64) {
    let (sender, mut answers) = connect(address).await;
    let digest = Sha256::digest(b"hi\n");
    let (start, before) = (Instant::now(), processor());
    let sending = tokio::spawn(async move {
        for log in 0..count {
            let mut frame = BytesMut::new();
            Record::data(0, now(), Stream::Output, Bytes::from_static(b"hi\n")).encode(&mut frame);
            sender.send(open(log, &format!("tiny-{log}"))).await.unwrap();
            sender
                .send(message(
                    log,
                    Body::Append(Append {
                        records: frame.freeze(),
                    }),
                ))
                .await
                .unwrap();
            sender.send(seal(log, 3, &digest)).await.unwrap();
        }
        sender
    });
    let mut sealed = 0;
    while sealed < count {
        match answers.message().await.unwrap().unwrap().body.unwrap() {
            Answer::Sealed(_) => sealed += 1,
            Answer::Rejected(rejected) => panic!("{rejected:?}"),
            _ => {}
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    drop(sending.await.unwrap());
    let used = (processor() - before) * 1e6 / count as f64;
    println!("tiny logs, sealed durable: {rate:.0} /s, {used:.0} us of processor each, agent included");
}

/// From the moment an agent hands a line to gRPC until a follower has it.
async fn delay(store: &LogStore, address: SocketAddr, count: u64) {
    let key = LogKey::new("bench", "delay", 1).unwrap();
    let follow = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let mut items = Box::pin(store.read(&key, follow));
    let (sender, _answers) = connect(address).await;
    sender.send(open(1, "delay")).await.unwrap();
    let mut delays = Vec::new();
    for line in 0..count {
        let mut frame = BytesMut::new();
        let start = Instant::now();
        Record::data(line * 3, now(), Stream::Output, Bytes::from_static(b"hi\n")).encode(&mut frame);
        sender
            .send(message(
                1,
                Body::Append(Append {
                    records: frame.freeze(),
                }),
            ))
            .await
            .unwrap();
        items.next().await.unwrap().unwrap();
        delays.push(start.elapsed());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    delays.sort();
    let at = |percent: usize| delays[delays.len() * percent / 100];
    println!("agent to follower: p50 {:?}, p99 {:?}", at(50), at(99));
}
