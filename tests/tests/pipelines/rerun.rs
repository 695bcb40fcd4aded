//! Doing a run again, whole or only what failed.

use anyhow::Result;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use serde_json::json;

on_both_stores!(
    only_what_failed_is_done_again_with_the_outputs_of_the_rest,
    a_run_is_done_again_as_it_was
);

/// Fails in the run named `first` alone.
const SPEC: &str = r#"
jobs:
  build:
    run: echo "made-in=$CI_RUN_ID" >> "$CI_OUTPUT"
  test:
    needs: [build]
    env: { MADE_IN: "${{ needs.build.outputs['made-in'] }}" }
    run: |
      echo "built in $MADE_IN"
      test "$CI_RUN_ID" != first
  publish:
    needs: [test]
    run: echo published
"#;

async fn rerun(up: &Up, name: &str, of: &str, jobs: &str) -> Result<()> {
    let run = json!({
        "apiVersion": "breakbulk.dev/v1", "kind": "PipelineRun", "metadata": { "name": name },
        "spec": { "rerunOf": { "name": of, "jobs": jobs } },
    });
    up.cluster.post(&run).await.map(drop)
}

async fn only_what_failed_is_done_again_with_the_outputs_of_the_rest(up: &Up) -> Result<()> {
    up.cluster.run("first", SPEC).await?;
    assert_eq!(up.cluster.ended("first").await?.reason, "Failed");
    rerun(up, "again", "first", "Failed").await?;
    let ended = up.cluster.succeeded("again").await?;
    let jobs = ended.run.status.unwrap_or_default().jobs;
    let of = |name: &str| {
        jobs.iter()
            .find(|j| j.name == name)
            .and_then(|j| j.job_ref.clone())
            .unwrap_or_default()
    };
    assert_eq!(
        (of("build").as_str(), of("test").as_str()),
        ("first-build", "again-test")
    );
    assert_eq!(up.cluster.whole_log("again-test").await?, "built in first\n");
    assert_eq!(up.cluster.jobs("again").await?.len(), 2, "test and publish");
    Ok(())
}

async fn a_run_is_done_again_as_it_was(up: &Up) -> Result<()> {
    up.cluster.run("first", SPEC).await?;
    up.cluster.ended("first").await?;
    rerun(up, "whole", "first", "All").await?;
    up.cluster.succeeded("whole").await?;
    assert_eq!(up.cluster.whole_log("whole-test").await?, "built in whole\n");
    Ok(())
}
