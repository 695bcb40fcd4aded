//! Runs: how soon the first begins to speak, and how many trivial jobs go through in a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use breakbulk_schemas::Job;
use breakbulk_schemas::condition::{self, LOGS_SEALED, Truth};
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::ListParams;

use crate::Effort;
use crate::floors::{self, millis};
use crate::report::{Figure, median, percentile};

/// From the request that creates a one-job run to the first byte of its log at a follower.
pub(crate) async fn first_byte(up: &Up, effort: Effort) -> Result<Vec<Figure>> {
    let floor = floors::start_a_script(effort.samples(200))?;
    let mut medians = Vec::new();
    let mut worst = Vec::new();
    let mut count = 0;
    for _ in 0..effort.rounds {
        let mut times = Vec::new();
        for _ in 0..effort.samples(50) {
            count += 1;
            times.push(one(up, &format!("speak-{count}")).await?);
        }
        medians.push(median(&times));
        worst.push(percentile(&times, 0.99));
    }
    Ok(vec![
        Figure::new("run created → first log byte, p50", "ms", medians)
            .floor("unshare … bash -c true", floor)
            .reach("≤ 25 ms"),
        Figure::new("run created → first log byte, p99", "ms", worst),
    ])
}

async fn one(up: &Up, name: &str) -> Result<f64> {
    let start = Instant::now();
    up.cluster.run(name, "jobs: { only: { run: echo hi } }").await?;
    let mut log = up
        .cluster
        .log_stream(&format!("pipelineruns/{name}"), "follow=true")
        .await?;
    log.try_next().await?.context("the log ended without a byte")?;
    let time = millis(start.elapsed());
    while log.try_next().await?.is_some() {}
    Ok(time)
}

/// Jobs per second of a thousand trivial ones, in runs of ten, until all have ended and all logs are sealed.
pub(crate) async fn many(up: &Up, effort: Effort) -> Result<Vec<Figure>> {
    let floor = floors::scripts_per_second(effort.samples(1000))?;
    let runs = effort.samples(100);
    let mut rates = Vec::new();
    for round in 0..effort.rounds {
        let start = Instant::now();
        fan_out(up, round, runs).await?;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let jobs = (runs * 10) as f64;
        rates.push(jobs / start.elapsed().as_secs_f64());
    }
    Ok(vec![
        Figure::new(format!("{} trivial jobs in runs of 10", runs * 10), "jobs/s", rates)
            .floor("unshare … bash -c true, all cores", floor)
            .reach("≥ 120 jobs/s"),
    ])
}

async fn fan_out(up: &Up, round: usize, runs: usize) -> Result<()> {
    let jobs: String = (0..10).map(|job| format!("j{job}: {{ run: 'echo hi' }}, ")).collect();
    let spec = format!("jobs: {{ {jobs} }}");
    let names: Vec<String> = (0..runs).map(|run| format!("many-{round}-{run}")).collect();
    futures::stream::iter(&names)
        .map(|name| up.cluster.run(name, &spec))
        .buffer_unordered(16)
        .try_collect::<Vec<()>>()
        .await?;
    for name in &names {
        let limit = Duration::from_secs(600);
        let done = breakbulk_client::runs::wait_for_end(up.cluster.client.clone(), "default", name, |_| {});
        tokio::time::timeout(limit, done)
            .await
            .with_context(|| format!("run {name} does not end"))??;
    }
    let sealed = |job: &Job| {
        let conditions = job.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        condition::truth(conditions, LOGS_SEALED) == Truth::True
    };
    wait::until("all logs to be sealed", wait::SOON, async || {
        let jobs = up.cluster.api::<Job>().list(&ListParams::default()).await?.items;
        let open = jobs.iter().filter(|job| !sealed(job)).count();
        if open == 0 {
            Ok(Look::Done(()))
        } else {
            Ok(Look::NotYet(format!("{open} open")))
        }
    })
    .await
}
