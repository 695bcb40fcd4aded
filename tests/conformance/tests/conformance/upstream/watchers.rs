//! [sig-api-machinery] Watchers.

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::case::{Case, Patch, config_map, revision, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the previous watch" => restarted,
    "[sig-api-machinery] Watchers should be able to start watching from a specific resource version" => from_a_version,
    "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps" => three_selectors,
    "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector" => leaving_the_selector,
    "[sig-api-machinery] Watchers should receive events on concurrent watches in same order" => same_order,
];

fn labelled(name: &str, label: &str) -> Value {
    let mut map = config_map(name, "mutation", "0");
    map["metadata"]["labels"] = json!({ "watch-this": label });
    map
}

async fn mutate(case: &Case, name: &str, value: u32) -> Result<Value> {
    let path = format!("{}/{name}", case.core("configmaps"));
    case.patch(
        &path,
        Patch::Merge,
        &json!({ "data": { "mutation": value.to_string() } }),
    )
    .await
}

async fn three_selectors(case: &Case) -> Result<()> {
    let maps = case.core("configmaps");
    let mut only_a = case.watch(&format!("{maps}?labelSelector=watch-this%3Da")).await?;
    let mut only_b = case.watch(&format!("{maps}?labelSelector=watch-this%3Db")).await?;
    let mut both = case.watch(&format!("{maps}?labelSelector=watch-this+in+(a,b)")).await?;
    case.create(&maps, &labelled("map-a", "a")).await?;
    mutate(case, "map-a", 1).await?;
    mutate(case, "map-a", 2).await?;
    case.delete(&format!("{maps}/map-a")).await?;
    case.create(&maps, &labelled("map-b", "b")).await?;
    case.delete(&format!("{maps}/map-b")).await?;
    case.create(&maps, &labelled("end-a", "a")).await?;
    for watch in [&mut only_a, &mut both] {
        watch.expect("ADDED", "map-a").await?;
        for value in ["1", "2"] {
            let seen = watch.expect("MODIFIED", "map-a").await?;
            ensure!(seen["data"]["mutation"] == value, "a state is missing: {seen}");
        }
        let gone = watch.expect("DELETED", "map-a").await?;
        ensure!(
            gone["data"]["mutation"] == "2",
            "the last state is told with the deletion"
        );
    }
    // What comes next shows that nothing came in between.
    only_a.expect("ADDED", "end-a").await?;
    for watch in [&mut only_b, &mut both] {
        watch.expect("ADDED", "map-b").await?;
        watch.expect("DELETED", "map-b").await?;
    }
    Ok(())
}

async fn from_a_version(case: &Case) -> Result<()> {
    let maps = case.core("configmaps");
    case.create(&maps, &labelled("versioned", "x")).await?;
    let first = mutate(case, "versioned", 1).await?;
    mutate(case, "versioned", 2).await?;
    case.delete(&format!("{maps}/versioned")).await?;
    let path = format!(
        "{maps}?labelSelector=watch-this%3Dx&resourceVersion={}",
        revision(&first)?
    );
    let mut watch = case.watch(&path).await?;
    let second = watch.expect("MODIFIED", "versioned").await?;
    ensure!(second["data"]["mutation"] == "2");
    watch.expect("DELETED", "versioned").await.map(drop)
}

async fn restarted(case: &Case) -> Result<()> {
    let maps = case.core("configmaps");
    let selected = format!("{maps}?labelSelector=watch-this%3Dr");
    let mut watch = case.watch(&selected).await?;
    case.create(&maps, &labelled("again", "r")).await?;
    mutate(case, "again", 1).await?;
    watch.expect("ADDED", "again").await?;
    let last = watch.expect("MODIFIED", "again").await?;
    drop(watch);
    mutate(case, "again", 2).await?;
    let mut watch = case
        .watch(&format!("{selected}&resourceVersion={}", revision(&last)?))
        .await?;
    case.delete(&format!("{maps}/again")).await?;
    let missed = watch.expect("MODIFIED", "again").await?;
    ensure!(missed["data"]["mutation"] == "2", "what happened in between is told");
    watch.expect("DELETED", "again").await.map(drop)
}

async fn leaving_the_selector(case: &Case) -> Result<()> {
    let maps = case.core("configmaps");
    let path = format!("{maps}/moving");
    let mut watch = case.watch(&format!("{maps}?labelSelector=watch-this%3Din")).await?;
    case.create(&maps, &labelled("moving", "in")).await?;
    mutate(case, "moving", 1).await?;
    let relabel = |label: &'static str| json!({ "metadata": { "labels": { "watch-this": label } } });
    let out = case.patch(&path, Patch::Merge, &relabel("out")).await?;
    mutate(case, "moving", 2).await?;
    case.patch(&path, Patch::Merge, &relabel("in")).await?;
    mutate(case, "moving", 3).await?;
    case.delete(&path).await?;
    watch.expect("ADDED", "moving").await?;
    watch.expect("MODIFIED", "moving").await?;
    let left = watch.expect("DELETED", "moving").await?;
    ensure!(
        revision(&left)? == revision(&out)?,
        "it leaves with the version of the write that took it out"
    );
    let back = watch.expect("ADDED", "moving").await?;
    ensure!(
        back["data"]["mutation"] == "2",
        "what changed outside is there when it comes back"
    );
    let third = watch.expect("MODIFIED", "moving").await?;
    ensure!(third["data"]["mutation"] == "3");
    watch.expect("DELETED", "moving").await.map(drop)
}

async fn same_order(case: &Case) -> Result<()> {
    const EVENTS: usize = 60;
    let maps = case.core("configmaps");
    let start = text(&case.get(&maps).await?, "/metadata/resourceVersion").to_owned();
    let write = async {
        for round in 0..EVENTS {
            let name = format!("order-{}", round % 3);
            match (round / 3) % 3 {
                0 => case.create(&maps, &labelled(&name, "o")).await.map(drop)?,
                1 => mutate(case, &name, u32::try_from(round)?).await.map(drop)?,
                _ => case.delete(&format!("{maps}/{name}")).await.map(drop)?,
            }
        }
        anyhow::Ok(())
    };
    let observe = async {
        let mut first = case
            .watch(&format!("{maps}?labelSelector=watch-this%3Do&resourceVersion={start}"))
            .await?;
        let mut versions = Vec::new();
        let mut later = Vec::new();
        for _ in 0..EVENTS {
            let event = first.next().await?;
            let version = revision(&event.object)?;
            versions.push((version, event.kind));
            // A watch from each tenth of what was seen must tell the rest alike.
            if versions.len() % 10 == 1 {
                let path = format!("{maps}?labelSelector=watch-this%3Do&resourceVersion={version}");
                later.push((versions.len(), case.watch(&path).await?));
            }
        }
        for (from, watch) in &mut later {
            for expected in &versions[*from..] {
                let event = watch.next().await?;
                let seen = (revision(&event.object)?, event.kind);
                ensure!(seen == *expected, "watchers disagree: {seen:?} and {expected:?}");
            }
        }
        ensure!(versions.is_sorted_by(|a, b| a.0 < b.0), "versions grow: {versions:?}");
        Ok(())
    };
    let (wrote, observed) = tokio::join!(write, observe);
    wrote.context("the writer failed")?;
    observed
}
