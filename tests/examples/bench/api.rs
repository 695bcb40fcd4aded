//! The API: single requests one after the other, many at a time, and lists.

use std::time::{Duration, Instant};

use anyhow::Result;
use breakbulk_store::{Store, Txn};
use breakbulk_tests::store::Kind;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::Effort;
use crate::floors::{self, megabytes, millis};
use crate::report::{Figure, median};
use crate::server::Server;
use crate::wire::{Line, Wire};

/// The clients of the figures with many.
const CLIENTS: usize = 64;
/// The objects of the list.
const LISTED: usize = 1050;
/// The Jobs of the other.
const JOBS: usize = 10_000;
/// Where ConfigMaps are.
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Where Jobs are.
pub(crate) const JOBS_PATH: &str = "/apis/breakbulk.dev/v1/namespaces/default/jobs";

/// An object of about a kilobyte.
pub(crate) fn config_map(name: &str, text_bytes: usize) -> String {
    json!({
        "metadata": { "name": name, "labels": { "app.kubernetes.io/name": "bench" } },
        "data": { "text": "x".repeat(text_bytes) },
    })
    .to_string()
}

/// A Job of about three kilobytes, as a run has them.
pub(crate) fn job(name: &str) -> String {
    let line = "cargo test --workspace --locked --no-fail-fast -- --test-threads 8\n";
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "breakbulk.dev/run": "bench-run", "breakbulk.dev/pipeline": "bench", "app.kubernetes.io/part-of": "bench",
            },
        },
        "spec": {
            "script": line.repeat(36),
            "env": [{ "name": "CARGO_TERM_COLOR", "value": "always" }],
            "resources": { "cpu": "1", "memory": "1Gi" },
        },
    })
    .to_string()
}

/// What any API server is asked, and how long it took: once for each round.
#[derive(Default)]
struct Asked {
    create: Vec<f64>,
    create_many: Vec<f64>,
    get: Vec<f64>,
    patch: Vec<f64>,
    list: Vec<f64>,
}

impl Asked {
    /// kube-apiserver over etcd as it was measured on such a machine.
    fn kube_apiserver() -> Self {
        Self {
            create: vec![2.05],
            create_many: vec![1880.0],
            get: vec![1.13],
            patch: vec![2.3],
            list: vec![18.5],
        }
    }

    async fn round(&mut self, wire: &Wire, line: &mut Line, round: usize, effort: Effort) -> Result<()> {
        self.create.push(create(line, round, effort).await?);
        self.create_many.push(create_many(wire, round, effort).await?);
        self.get.push(get(line, round, effort).await?);
        self.patch.push(patch(line, round, effort).await?);
        self.list.push(list(line, wire, round, effort).await?);
        Ok(())
    }
}

pub(crate) async fn measure(kind: Kind, effort: Effort, peer: Option<&Wire>) -> Result<Vec<Figure>> {
    let server = Server::start(kind).await?;
    let (mut ours, mut jobs) = (Asked::default(), Vec::new());
    let mut theirs = peer.map(|_| Asked::default());
    let mut floors = [const { Vec::new() }; 4];
    for round in 0..effort.rounds {
        let mut line = server.wire.line().await?;
        let measured = [
            put(&*server.floor, effort).await?,
            floors::tls_round_trip(effort.samples(2000)).await?,
            put_many(&*server.floor, effort).await?,
            floors::tls_throughput(30 << 20, effort.samples(20)).await?,
        ];
        floors.iter_mut().zip(measured).for_each(|(all, value)| all.push(value));
        ours.round(&server.wire, &mut line, round, effort).await?;
        jobs.push(list_jobs(&mut line, &server.wire, round, effort).await?);
        if let (Some(theirs), Some(wire)) = (&mut theirs, peer) {
            theirs.round(wire, &mut wire.line().await?, round, effort).await?;
        }
    }
    let theirs = theirs.unwrap_or_else(Asked::kube_apiserver);
    Ok(figures(kind, ours, jobs, &theirs, &floors.map(|floor| median(&floor))))
}

fn figures(kind: Kind, ours: Asked, jobs: Vec<f64>, theirs: &Asked, floors: &[f64; 4]) -> Vec<Figure> {
    let &[put, trip, put_many, throughput] = floors;
    let (create_reach, many_reach) = match kind {
        Kind::Etcd => ("≤ the store's put + 0.3 ms", "≥ 80 % of the store's"),
        Kind::Embedded => ("≤ 0.5 ms", "≥ 8000 /s"),
    };
    vec![
        Figure::new("create of 1 KB, one client, p50", "ms", ours.create)
            .floor("the store's put", put)
            .peer(median(&theirs.create))
            .reach(create_reach),
        Figure::new(format!("creates, {CLIENTS} clients"), "/s", ours.create_many)
            .floor("the store's puts, 64 at a time", put_many)
            .peer(median(&theirs.create_many))
            .reach(many_reach),
        Figure::new("get, one client, p50", "ms", ours.get)
            .floor("TLS round trip of 1 KB", trip)
            .peer(median(&theirs.get))
            .reach("≤ 0.2 ms"),
        Figure::new("merge patch, one client, p50", "ms", ours.patch)
            .floor("the store's put", put)
            .peer(median(&theirs.patch)),
        Figure::new(format!("list of {LISTED} objects (1.2 MB), p50"), "ms", ours.list)
            .floor("the same bytes over TLS", 1.2 / throughput * 1000.0)
            .peer(median(&theirs.list))
            .reach("≤ 2 ms"),
        Figure::new(format!("list of {JOBS} Jobs of 3 KB"), "MB/s", jobs)
            .floor("bytes over TLS", throughput)
            .reach("≥ 800 MB/s"),
    ]
}

async fn put(store: &dyn Store, effort: Effort) -> Result<f64> {
    let value = Bytes::from(vec![b'x'; 1024]);
    let mut times = Vec::new();
    for index in 0..effort.samples(1000) {
        let start = Instant::now();
        store
            .txn(Txn::put(format!("/bench/one/{index}"), value.clone()))
            .await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
async fn put_many(store: &dyn Store, effort: Effort) -> Result<f64> {
    let value = Bytes::from(vec![b'x'; 1024]);
    let count = effort.samples(10_000);
    let puts = (0..count).map(|index| store.txn(Txn::put(format!("/bench/many/{}", index % 5000), value.clone())));
    let start = Instant::now();
    futures::stream::iter(puts)
        .buffer_unordered(CLIENTS)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn create(line: &mut Line, round: usize, effort: Effort) -> Result<f64> {
    let mut times = Vec::new();
    for index in 0..effort.samples(1000) {
        let object = config_map(&format!("one-{round}-{index}"), 600);
        let start = Instant::now();
        line.ask("POST", CONFIG_MAPS, object).await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

async fn get(line: &mut Line, round: usize, effort: Effort) -> Result<f64> {
    let mut times = Vec::new();
    for index in 0..effort.samples(1000) {
        let path = format!("{CONFIG_MAPS}/one-{round}-{index}");
        let start = Instant::now();
        line.ask("GET", &path, "").await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

async fn patch(line: &mut Line, round: usize, effort: Effort) -> Result<f64> {
    let mut times = Vec::new();
    for index in 0..effort.samples(1000) {
        let path = format!("{CONFIG_MAPS}/one-{round}-{index}");
        let change = json!({ "data": { "count": index.to_string() } }).to_string();
        let start = Instant::now();
        line.ask("PATCH", &path, change).await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

async fn list(line: &mut Line, wire: &Wire, round: usize, effort: Effort) -> Result<f64> {
    let namespace = format!("listed-{round}");
    make_namespace(line, &namespace).await?;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    fill(wire, &path, LISTED, |index| config_map(&format!("listed-{index}"), 850)).await?;
    let mut times = Vec::new();
    for _ in 0..effort.samples(100) {
        let start = Instant::now();
        line.count(&path).await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

async fn list_jobs(line: &mut Line, wire: &Wire, round: usize, effort: Effort) -> Result<f64> {
    if round == 0 {
        fill(wire, JOBS_PATH, JOBS, |index| job(&format!("listed-{index}"))).await?;
    }
    let mut rates = Vec::new();
    for _ in 0..effort.samples(20) {
        let start = Instant::now();
        let bytes = line.count(JOBS_PATH).await?;
        rates.push(megabytes(bytes as u64) / start.elapsed().as_secs_f64());
    }
    Ok(median(&rates))
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
async fn create_many(wire: &Wire, round: usize, effort: Effort) -> Result<f64> {
    let count = effort.samples(10_000);
    let make = |index: usize| config_map(&format!("many-{round}-{index}"), 600);
    let took = fill(wire, CONFIG_MAPS, count, make).await?;
    Ok(count as f64 / took.as_secs_f64())
}

/// Makes a namespace.
pub(crate) async fn make_namespace(line: &mut Line, name: &str) -> Result<()> {
    let namespace = json!({ "metadata": { "name": name } }).to_string();
    line.ask("POST", "/api/v1/namespaces", namespace).await.map(drop)
}

/// Creates many objects, by clients with a connection each; how long it took once they were connected.
pub(crate) async fn fill(wire: &Wire, path: &str, count: usize, make: impl Fn(usize) -> String) -> Result<Duration> {
    let make = &make;
    let lines = futures::future::try_join_all((0..CLIENTS).map(|_| wire.line())).await?;
    let client = |(first, mut line): (usize, Line)| async move {
        for index in (first..count).step_by(CLIENTS) {
            line.ask("POST", path, make(index)).await?;
        }
        anyhow::Ok(())
    };
    let start = Instant::now();
    futures::future::try_join_all(lines.into_iter().enumerate().map(client)).await?;
    Ok(start.elapsed())
}
