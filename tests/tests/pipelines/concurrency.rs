//! Groups: their limit is never exceeded, who waits is told why, and the newest can take over.

use anyhow::Result;
use breakbulk_tests::cluster::reason;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;

use crate::{most_at_once, span};

on_both_stores!(
    runs_of_a_group_wait_their_turn_and_say_so,
    the_newest_run_of_a_group_takes_over_where_it_may,
    jobs_of_a_group_keep_to_its_limit,
    a_cancelled_run_leaves_the_queue,
);

const DEPLOY: &str = r"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: deploy }
spec:
  params: { to: { default: prod } }
  concurrency: { group: 'deploy-${{ params.to }}', limit: 1 }
  jobs:
    deploy: { run: 'echo started; sleep 0.5' }
";

async fn runs_of_a_group_wait_their_turn_and_say_so(up: &Up) -> Result<()> {
    up.cluster.create(DEPLOY).await?;
    let names = ["one", "two", "three"];
    up.cluster.run_pipeline("one", "deploy", &[]).await?;
    up.cluster
        .run_until("one", "to hold its place", |run| reason(run).0 == "Running")
        .await?;
    up.cluster.run_pipeline("two", "deploy", &[]).await?;
    let waits = up
        .cluster
        .run_until("two", "to be queued", |run| reason(run).0 == "Queued")
        .await?;
    let message = reason(&waits).1;
    assert!(
        message.contains("deploy-prod") && message.contains("one"),
        "it says for whom it waits: {message:?}"
    );
    up.cluster.run_pipeline("three", "deploy", &[]).await?;
    // Another group is another matter.
    up.cluster
        .run_pipeline("elsewhere", "deploy", &[("to", "test")])
        .await?;
    up.cluster.succeeded("elsewhere").await?;
    let mut spans = Vec::new();
    for name in names {
        up.cluster.succeeded(name).await?;
        spans.push(span(&up.cluster.job(name, "deploy").await?));
    }
    assert_eq!(most_at_once(&spans), 1, "{spans:?}");
    assert!(spans.is_sorted(), "first come, first served: {spans:?}");
    Ok(())
}

async fn the_newest_run_of_a_group_takes_over_where_it_may(up: &Up) -> Result<()> {
    let preview = r"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: preview }
spec:
  params: { seconds: { default: '0' } }
  concurrency: { group: preview, policy: Cancel }
  jobs:
    build: { env: { SECONDS_TO_GO: '${{ params.seconds }}' }, run: 'echo started; sleep $SECONDS_TO_GO' }
";
    up.cluster.create(preview).await?;
    up.cluster
        .run_pipeline("old", "preview", &[("seconds", "1000")])
        .await?;
    up.cluster.job_running("old-build").await?;
    up.cluster.run_pipeline("new", "preview", &[]).await?;
    up.cluster.succeeded("new").await?;
    assert_eq!(up.cluster.ended("old").await?.reason, "Superseded");
    let (old, new) = (
        up.cluster.job("old", "build").await?,
        up.cluster.job("new", "build").await?,
    );
    assert!(
        span(&old).1 <= span(&new).0,
        "the old one had ended when the new one began"
    );
    Ok(())
}

async fn jobs_of_a_group_keep_to_its_limit(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  test:
    matrix: { axes: { n: [1, 2, 3, 4, 5, 6] } }
    concurrency: { group: license, limit: 2 }
    run: sleep 0.2
";
    up.cluster.run("licensed", spec).await?;
    up.cluster.run("licensed-too", spec).await?;
    let mut spans = Vec::new();
    for run in ["licensed", "licensed-too"] {
        up.cluster.succeeded(run).await?;
        spans.extend(up.cluster.jobs(run).await?.iter().map(span));
    }
    assert_eq!(spans.len(), 12);
    assert!(most_at_once(&spans) <= 2, "{spans:?}");
    Ok(())
}

async fn a_cancelled_run_leaves_the_queue(up: &Up) -> Result<()> {
    up.cluster.create(&DEPLOY.replace("sleep 0.5", "sleep 1000")).await?;
    up.cluster.run_pipeline("holder", "deploy", &[]).await?;
    up.cluster.job_running("holder-deploy").await?;
    up.cluster.run_pipeline("waiter", "deploy", &[]).await?;
    up.cluster
        .run_until("waiter", "to be queued", |run| reason(run).0 == "Queued")
        .await?;
    up.cluster.cancel("waiter").await?;
    assert_eq!(up.cluster.ended("waiter").await?.reason, "Cancelled");
    assert!(up.cluster.jobs("waiter").await?.is_empty());
    up.cluster.cancel("holder").await?;
    assert_eq!(up.cluster.ended("holder").await?.reason, "Cancelled");
    Ok(())
}
