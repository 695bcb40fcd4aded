//! A small benchmark of both stores: how long one put takes, how many 64 writers do, how fast a list is.
//!
//! `cargo run --release -p breakbulk-store --features testing --example store_bench`. etcd is started if it is
//! installed. Values are 1 KB. Beside it: the disk's own floor, a 1 KB overwrite with fdatasync.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use breakbulk_store::embedded::{Embedded, Options};
use breakbulk_store::etcd::Etcd;
use breakbulk_store::testing::EtcdServer;
use breakbulk_store::{RangeQuery, Revision, Store, Txn};
use bytes::Bytes;
use futures::StreamExt;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SECONDS: Duration = Duration::from_secs(2);

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let dir = tempfile::tempdir()?;
    println!(
        "floor      fdatasync of 1 KB, overwriting: p50 {:?}",
        floor(dir.path())?
    );
    let path = dir.path().join("store");
    let started = Instant::now();
    let store = Arc::new(Embedded::open(&path, Options::default())?);
    println!(
        "embedded   open, empty: {:?}, resident {} KiB",
        started.elapsed(),
        resident()?
    );
    runtime.block_on(measure("embedded", store))?;
    println!("embedded   resident after: {} KiB", resident()?);
    println!("floor      again: p50 {:?}", floor(dir.path())?);
    let started = Instant::now();
    drop(Embedded::open(&path, Options::default())?);
    println!("embedded   open and close with all that: {:?}", started.elapsed());
    let server = match runtime.block_on(EtcdServer::start()) {
        Ok(server) => server,
        Err(error) => {
            println!("etcd       not measured: {error}");
            return Ok(());
        }
    };
    let etcd = Arc::new(runtime.block_on(Etcd::connect(&server.options()))?);
    runtime.block_on(measure("etcd", etcd))?;
    // The machine may have changed meanwhile: figures count only when this one is near the first.
    println!("floor      again: p50 {:?}", floor(dir.path())?);
    Ok(())
}

async fn measure(name: &str, store: Arc<dyn Store>) -> Result<(), Failure> {
    let value = Bytes::from(vec![b'x'; 1024]);
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < SECONDS {
        let begun = Instant::now();
        store
            .txn(Txn::put(format!("/one/{}", times.len() % 1000), value.clone()))
            .await?;
        times.push(begun.elapsed());
    }
    println!(
        "{name:10} put, one after the other: p50 {:?}, p99 {:?}",
        percentile(&mut times, 50),
        percentile(&mut times, 99)
    );
    println!("{name:10} put by 64 writers: {:.0} /s", writers(&store, &value).await?);
    println!(
        "{name:10} put to watch event: p50 {:?}",
        watch_latency(&store, &value).await?
    );
    for i in 0..10_000 / 100 {
        let txns = (0..100).map(|j| store.txn(Txn::put(format!("/list/{:05}", i * 100 + j), value.clone())));
        futures::future::try_join_all(txns).await?;
    }
    let started = Instant::now();
    let mut listed = 0;
    while started.elapsed() < SECONDS {
        listed += store.range(RangeQuery::prefix("/list/")).await?.items.len();
    }
    println!(
        "{name:10} list of 10,000: {:.0} objects/s",
        rate(listed as u64, started)
    );
    Ok(())
}

async fn writers(store: &Arc<dyn Store>, value: &Bytes) -> Result<f64, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|writer| {
            let (store, value, done) = (Arc::clone(store), value.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while started.elapsed() < SECONDS {
                    let n = done.fetch_add(1, Ordering::Relaxed);
                    store
                        .txn(Txn::put(format!("/many/{writer}/{}", n % 100), value.clone()))
                        .await?;
                }
                Ok::<_, breakbulk_store::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(rate(done.load(Ordering::Relaxed), started))
}

async fn watch_latency(store: &Arc<dyn Store>, value: &Bytes) -> Result<Duration, Failure> {
    let from: Revision = store.current_revision().await?;
    let mut watch = store.watch(Bytes::from("/watched"), from).await?;
    let (sender, mut put_at) = tokio::sync::mpsc::channel(1);
    let (store, value) = (Arc::clone(store), value.clone());
    let (next_sender, mut next) = tokio::sync::mpsc::channel::<()>(1);
    let writer = tokio::spawn(async move {
        while next.recv().await.is_some() {
            sender.send(Instant::now()).await.map_err(|_| "the reader has gone")?;
            store.txn(Txn::put("/watched", value.clone())).await?;
        }
        Ok::<_, Failure>(())
    });
    let mut times = Vec::new();
    for _ in 0..1000 {
        next_sender.send(()).await?;
        let begun = put_at.recv().await.ok_or("the writer has gone")?;
        while watch.next().await.ok_or("the watch has ended")??.events.is_empty() {}
        times.push(begun.elapsed());
    }
    drop(next_sender);
    writer.await??;
    Ok(percentile(&mut times, 50))
}

fn floor(dir: &std::path::Path) -> Result<Duration, Failure> {
    let file = std::fs::File::create(dir.join("floor"))?;
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let data = [b'x'; 1024];
    let mut times = Vec::new();
    for i in 0..1000 {
        let begun = Instant::now();
        file.write_all_at(&data, i * 1024)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    Ok(percentile(&mut times, 50))
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
