//! Many objects: what they take in memory, and how long it takes to be rid of them.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use breakbulk_store::{Store, Txn};
use breakbulk_tests::store::Kind;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::Effort;
use crate::api::{CONFIG_MAPS, JOBS_PATH, config_map, fill, job};
use crate::report::Figure;
use crate::server::Server;

/// The Jobs in memory.
const JOBS: usize = 100_000;
/// The objects that are deleted.
const DELETED: usize = 35_000;
/// Deletions of the store's own that are under way at a time.
const AT_ONCE: usize = 64;

#[expect(clippy::cast_precision_loss, reason = "sizes for people")]
pub(crate) async fn memory(kind: Kind, effort: Effort) -> Result<Vec<Figure>> {
    let server = Server::start(kind).await?;
    let count = effort.samples(JOBS);
    let before = server.memory()?;
    fill(&server.wire, JOBS_PATH, count, |index| job(&format!("stored-{index}"))).await?;
    let mut line = server.wire.line().await?;
    let one = line.ask("GET", &format!("{JOBS_PATH}/stored-0"), "").await?;
    // What making them left behind is given back by then, as far as it ever is.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let (json, now) = ((one.len() * count) as f64, server.memory()?);
    let what = |what: &str| format!("{count} Jobs of {} bytes stored: {what}", one.len());
    Ok(vec![
        Figure::new(what("PSS, of their JSON"), "×", vec![now / json]).reach("≤ 2.5 ×"),
        Figure::new(
            what("PSS over that of the empty server"),
            "MB",
            vec![(now - before) / 1e6],
        )
        .floor("their JSON", json / 1e6),
    ])
}

pub(crate) async fn delete_collection(kind: Kind, effort: Effort) -> Result<Vec<Figure>> {
    let server = Server::start(kind).await?;
    let count = effort.samples(DELETED);
    let mut line = server.wire.line().await?;
    let (mut rounds, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds.min(2) {
        floors.push(delete_all(&*server.floor, count).await?);
        fill(&server.wire, CONFIG_MAPS, count, |index| {
            config_map(&format!("gone-{index}"), 600)
        })
        .await?;
        let start = Instant::now();
        line.ask("DELETE", CONFIG_MAPS, "").await?;
        rounds.push(start.elapsed().as_secs_f64());
        let left = line.ask("GET", CONFIG_MAPS, "").await?;
        ensure!(!left.windows(5).any(|w| w == b"gone-"), "some are left");
    }
    let floor = floors
        .iter()
        .copied()
        .reduce(f64::min)
        .context("nothing was measured")?;
    Ok(vec![
        Figure::new(format!("delete collection of {count} ConfigMaps"), "s", rounds)
            .floor("the store's deletes, 64 at a time", floor)
            .peer(44.0)
            .reach("≤ 4 s"),
    ])
}

/// As many keys deleted in the store, without an API.
async fn delete_all(store: &dyn Store, count: usize) -> Result<f64> {
    let value = Bytes::from(vec![b'x'; 1024]);
    let key = |index: usize| format!("/bench/gone/{index}");
    run((0..count).map(|index| store.txn(Txn::put(key(index), value.clone())))).await?;
    let start = Instant::now();
    run((0..count).map(|index| store.txn(Txn::remove(key(index))))).await?;
    Ok(start.elapsed().as_secs_f64())
}

async fn run<F, T>(all: impl Iterator<Item = F>) -> Result<()>
where
    F: Future<Output = breakbulk_store::Result<T>>,
{
    let done = futures::stream::iter(all).buffer_unordered(AT_ONCE);
    Ok(done.try_for_each(|_| async { Ok(()) }).await?)
}
