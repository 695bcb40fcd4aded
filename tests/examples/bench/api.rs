//! The API: single requests one after the other, many at a time, lists, and how soon a watcher knows.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use breakbulk_tests::up::Up;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::Effort;
use crate::floors::{self, millis};
use crate::report::{Figure, median};

/// The clients of the figures with many.
const CLIENTS: usize = 64;
/// The objects of the list.
const LISTED: usize = 1050;

/// An object of about a kilobyte.
fn object(name: String) -> ConfigMap {
    let data = BTreeMap::from([("text".to_owned(), "x".repeat(900))]);
    let metadata = ObjectMeta {
        name: Some(name),
        ..ObjectMeta::default()
    };
    ConfigMap {
        metadata,
        data: Some(data),
        ..ConfigMap::default()
    }
}

pub(crate) async fn measure(up: &Up, effort: Effort) -> Result<Vec<Figure>> {
    let api: Api<ConfigMap> = up.cluster.api();
    let trip = floors::tls_round_trip(effort.samples(2000)).await?;
    let durable = floors::durable_kilobyte(up.scratch(), effort.samples(1000))?;
    let mut rounds = [const { Vec::new() }; 5];
    for round in 0..effort.rounds {
        let values = [
            create(&api, round, effort).await?,
            get(&api, round, effort).await?,
            list(&up.cluster.client, &api, round, effort).await?,
            watch(&api, round, effort).await?,
            create_many(&api, round, effort).await?,
        ];
        rounds.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
    }
    let [create, get, list, watch, many] = rounds;
    let write = "TLS round trip + fdatasync of 1 KB";
    Ok(vec![
        Figure::new("API: create of 1 KB, one client, p50", "ms", create).floor(write, trip + durable),
        Figure::new("API: get, one client, p50", "ms", get).floor("TLS round trip of 1 KB", trip),
        Figure::new(format!("API: list of {LISTED} objects, p50"), "ms", list).floor("TLS round trip of 1 KB", trip),
        Figure::new("API: patch sent → event at a watcher, p50", "ms", watch).floor(write, trip + durable),
        Figure::new(format!("API: creates, {CLIENTS} clients"), "/s", many),
    ])
}

async fn create(api: &Api<ConfigMap>, round: usize, effort: Effort) -> Result<f64> {
    let mut times = Vec::new();
    for index in 0..effort.samples(500) {
        let object = object(format!("one-{round}-{index}"));
        let start = Instant::now();
        api.create(&PostParams::default(), &object).await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

async fn get(api: &Api<ConfigMap>, round: usize, effort: Effort) -> Result<f64> {
    let mut times = Vec::new();
    for index in 0..effort.samples(500) {
        let start = Instant::now();
        api.get(&format!("one-{round}-{index}")).await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

async fn list(client: &Client, api: &Api<ConfigMap>, round: usize, effort: Effort) -> Result<f64> {
    let labelled = |index: usize| {
        let mut object = object(format!("listed-{round}-{index}"));
        object.metadata.labels = Some(BTreeMap::from([("round".to_owned(), round.to_string())]));
        object
    };
    many(api, (0..LISTED).map(labelled)).await?;
    // Read as text: what is measured is the server, not how fast a client decodes.
    let uri = format!("{}?labelSelector=round%3D{round}", api.resource_url());
    let mut times = Vec::new();
    for _ in 0..effort.samples(50) {
        let request = http::Request::get(&uri).body(Vec::new()).context("a bad request")?;
        let start = Instant::now();
        let listed = client.request_text(request).await?;
        times.push(millis(start.elapsed()));
        anyhow::ensure!(listed.matches("listed-").count() >= LISTED, "objects are missing");
    }
    Ok(median(&times))
}

async fn watch(api: &Api<ConfigMap>, round: usize, effort: Effort) -> Result<f64> {
    let name = format!("watched-{round}");
    let made = api.create(&PostParams::default(), &object(name.clone())).await?;
    let version = made.metadata.resource_version.context("no resourceVersion")?;
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&params, &version).await?.boxed();
    let mut times = Vec::new();
    for count in 0..effort.samples(300) {
        let patch = Patch::Merge(json!({ "data": { "count": count.to_string() } }));
        let start = Instant::now();
        let patched = async {
            api.patch(&name, &PatchParams::default(), &patch)
                .await
                .context("cannot patch")
        };
        let seen = async {
            loop {
                match events.try_next().await?.context("the watch ended")? {
                    WatchEvent::Modified(_) => return anyhow::Ok(millis(start.elapsed())),
                    _ => continue,
                }
            }
        };
        let (_, time) = tokio::try_join!(patched, seen)?;
        times.push(time);
    }
    Ok(median(&times))
}

async fn create_many(api: &Api<ConfigMap>, round: usize, effort: Effort) -> Result<f64> {
    let count = effort.samples(5000);
    let start = Instant::now();
    many(api, (0..count).map(|index| object(format!("many-{round}-{index}")))).await?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let count = count as f64;
    Ok(count / start.elapsed().as_secs_f64())
}

async fn many(api: &Api<ConfigMap>, objects: impl Iterator<Item = ConfigMap>) -> Result<()> {
    let create = |object: ConfigMap| async move { api.create(&PostParams::default(), &object).await.map(drop) };
    let created = futures::stream::iter(objects).map(create).buffer_unordered(CLIENTS);
    created.try_collect::<Vec<()>>().await.context("cannot create")?;
    Ok(())
}
