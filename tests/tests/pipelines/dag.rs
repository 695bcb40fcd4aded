//! Order: needs, matrix, conditions, `finally`.

use anyhow::Result;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;

use crate::{most_at_once, span};

on_both_stores!(
    a_job_starts_when_what_it_needs_has_ended_and_not_before,
    a_matrix_runs_every_combination_but_those_taken_out,
    a_matrix_keeps_to_the_number_it_may_run_at_once,
    a_job_whose_condition_does_not_hold_is_skipped_with_what_needs_it,
    finally_jobs_see_how_the_others_ended,
    a_job_asks_about_a_failed_need_when_its_condition_names_it,
);

async fn a_job_starts_when_what_it_needs_has_ended_and_not_before(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  first: { run: 'echo first' }
  left: { needs: [first], run: 'sleep 0.2; echo left' }
  right: { needs: [first], run: 'echo right' }
  last: { needs: [left, right], run: 'echo last' }
";
    up.cluster.run("diamond", spec).await?;
    let ended = up.cluster.succeeded("diamond").await?;
    assert_eq!(ended.run.status.unwrap_or_default().summary.as_deref(), Some("4/4"));
    let mut spans = Vec::new();
    for job in ["first", "left", "right", "last"] {
        spans.push(span(&up.cluster.job("diamond", job).await?));
    }
    let [first, left, right, last] = spans[..] else {
        unreachable!("four jobs")
    };
    assert!(
        first.1 <= left.0 && first.1 <= right.0,
        "first ends before left and right start: {spans:?}"
    );
    assert!(
        left.1 <= last.0 && right.1 <= last.0,
        "left and right end before last starts: {spans:?}"
    );
    Ok(())
}

async fn a_matrix_runs_every_combination_but_those_taken_out(up: &Up) -> Result<()> {
    let spec = r#"
jobs:
  build:
    matrix:
      axes: { os: [linux, mac], version: ["1", "2"] }
      exclude: [{ os: mac, version: "1" }]
      include: [{ os: plan9, version: "4" }]
    env: { OS: "${{ matrix.os }}", VERSION: "${{ matrix.version }}" }
    run: echo "$OS-$VERSION"
"#;
    up.cluster.run("matrix", spec).await?;
    up.cluster.succeeded("matrix").await?;
    let mut said = Vec::new();
    for job in up.cluster.jobs("matrix").await? {
        said.push(
            up.cluster
                .whole_log(job.metadata.name.as_deref().unwrap_or_default())
                .await?,
        );
    }
    said.sort();
    assert_eq!(said, ["linux-1\n", "linux-2\n", "mac-2\n", "plan9-4\n"]);
    Ok(())
}

async fn a_matrix_keeps_to_the_number_it_may_run_at_once(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  build:
    matrix: { axes: { n: [1, 2, 3, 4, 5, 6] }, maxParallel: 2 }
    run: sleep 0.1
";
    up.cluster.run("narrow", spec).await?;
    up.cluster.succeeded("narrow").await?;
    let jobs = up.cluster.jobs("narrow").await?;
    let spans: Vec<_> = jobs.iter().map(span).collect();
    assert_eq!(spans.len(), 6);
    assert!(most_at_once(&spans) <= 2, "{spans:?}");
    Ok(())
}

async fn a_job_whose_condition_does_not_hold_is_skipped_with_what_needs_it(up: &Up) -> Result<()> {
    let spec = r"
params: { release: { type: bool, default: false } }
jobs:
  build: { run: 'echo built' }
  publish: { needs: [build], if: params.release, run: 'echo published' }
  announce: { needs: [publish], run: 'echo announced' }
";
    up.cluster.run("conditions", spec).await?;
    let ended = up.cluster.succeeded("conditions").await?;
    assert_eq!(ended.jobs["build"], "Succeeded");
    assert_eq!(ended.jobs["publish"], "Skipped");
    assert_eq!(ended.jobs["announce"], "Skipped");
    assert_eq!(
        up.cluster.jobs("conditions").await?.len(),
        1,
        "no Job is made of what is skipped"
    );
    Ok(())
}

async fn finally_jobs_see_how_the_others_ended(up: &Up) -> Result<()> {
    let spec = r#"
jobs:
  good: { run: 'echo good' }
  bad: { run: 'exit 3' }
  after: { needs: [bad], run: 'echo after' }
finally:
  report:
    env: { GOOD: "${{ needs.good.result }}", BAD: "${{ needs.bad.result }}", AFTER: "${{ needs.after.result }}" }
    run: echo "$GOOD $BAD $AFTER"
"#;
    up.cluster.run("cleanup", spec).await?;
    let ended = up.cluster.ended("cleanup").await?;
    assert_eq!(ended.reason, "Failed");
    let report = up.cluster.job("cleanup", "report").await?;
    let log = up
        .cluster
        .whole_log(report.metadata.name.as_deref().unwrap_or_default())
        .await?;
    assert_eq!(log, "Succeeded Failed Skipped\n");
    Ok(())
}

async fn a_job_asks_about_a_failed_need_when_its_condition_names_it(up: &Up) -> Result<()> {
    let spec = r#"
jobs:
  test: { run: 'exit 1' }
  diagnose: { needs: [test], if: needs.test.result == "Failed", run: 'echo looking into it' }
"#;
    up.cluster.run("diagnosis", spec).await?;
    let ended = up.cluster.ended("diagnosis").await?;
    assert_eq!(
        (ended.reason.as_str(), ended.jobs["diagnose"].as_str()),
        ("Failed", "Succeeded")
    );
    Ok(())
}
