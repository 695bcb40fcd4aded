//! Quotas under load: what is charged for nothing is given back although the namespace never rests.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result};
use breakbulk_conformance::case::{Case, Patch, config_map};
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::store::Kind;
use breakbulk_tests::wait::{self, Look};
use serde_json::{Value, json};

const SIZE: Size = Size {
    servers: 1,
    controllers: 1,
    agents: 0,
};
/// How long anything may take here.
const SOON: Duration = Duration::from_secs(30);
/// Charged for nothing.
const LOST: u64 = 100_000;
/// Writers that never rest.
const WRITERS: usize = 16;

fn used(quota: &Value) -> Option<u64> {
    quota["status"]["used"]["configmaps"].as_str()?.parse().ok()
}

/// Creates, and never ends.
async fn write(case: &Case, writer: usize) -> Result<Infallible> {
    let maps = case.core("configmaps");
    let mut round = 0_u64;
    loop {
        let name = format!("w{writer}-{round}");
        case.create(&maps, &config_map(&name, "k", "v")).await?;
        round += 1;
    }
}

async fn comes_down_under_load(on: Kind) -> Result<()> {
    let fleet = Box::pin(Fleet::start(on, SIZE)).await?;
    let case = Case::begin(fleet.cluster(), "quota-load").await?;
    let quotas = case.core("resourcequotas");
    let quota = format!("{quotas}/load");
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "load"},
        "spec": {"hard": {"configmaps": "1000000"}}});
    case.create(&quotas, &object).await?;
    case.until(&quota, "counted", |quota| used(quota).is_some()).await?;
    let lost = json!({"status": {"used": {"configmaps": LOST.to_string()}}});
    case.patch(&format!("{quota}/status"), Patch::Merge, &lost).await?;
    let writers = futures::future::try_join_all((0..WRITERS).map(|writer| write(&case, writer)));
    let down = async {
        let low = |quota: &Value| used(quota).is_some_and(|used| used < LOST / 2);
        case.until(&quota, "counted anew", low).await
    };
    tokio::select! {
        stopped = writers => return stopped.map(drop).context("a writer stopped"),
        done = down => done?,
    };
    // When nothing is created any more, nothing is counted that is not there. What was on its way then may still arrive.
    wait::until("the quota to be counted exactly", SOON, async || {
        let maps = case.get(&case.core("configmaps")).await?;
        let there = maps["items"].as_array().map_or(0, Vec::len) as u64;
        let said = used(&case.get(&quota).await?);
        Ok(if said == Some(there) {
            Look::Done(())
        } else {
            Look::NotYet(format!("{said:?} of {there}"))
        })
    })
    .await?;
    case.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_comes_down_under_load_on_the_embedded_store() {
    comes_down_under_load(Kind::Embedded).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_comes_down_under_load_on_etcd() {
    comes_down_under_load(Kind::Etcd).await.unwrap();
}
