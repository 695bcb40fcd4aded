//! Failures and what follows from them: retries, allowed failures, timeouts, cancels.

use anyhow::Result;
use breakbulk_schemas::job::AttemptReason;
use breakbulk_tests::daemon::running_with;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};

on_both_stores!(
    a_failed_job_fails_the_run_and_skips_what_needs_it,
    a_job_is_tried_again_on_the_exit_codes_named,
    retries_end_at_their_limit,
    an_allowed_failure_is_a_warning,
    a_job_that_takes_too_long_is_stopped,
    a_run_that_takes_too_long_is_stopped,
    a_cancelled_run_stops_what_runs_starts_nothing_more_and_cleans_up,
    a_job_that_ignores_the_request_to_end_is_killed,
    a_deleted_run_takes_its_jobs_along,
);

async fn a_failed_job_fails_the_run_and_skips_what_needs_it(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  test: { run: 'echo failing; exit 42' }
  deploy: { needs: [test], run: 'echo deployed' }
";
    up.cluster.run("failing", spec).await?;
    let ended = up.cluster.ended("failing").await?;
    assert_eq!(
        (ended.reason.as_str(), ended.jobs["deploy"].as_str()),
        ("Failed", "Skipped")
    );
    assert!(
        ended.message.contains("test"),
        "the message names the job: {}",
        ended.message
    );
    let job = up.cluster.job("failing", "test").await?;
    let attempt = job.last_attempt().expect("it was attempted");
    assert_eq!(
        (attempt.exit_code, attempt.reason),
        (Some(42), Some(AttemptReason::Failed))
    );
    assert_eq!(up.cluster.whole_log("failing-test").await?, "failing\n");
    Ok(())
}

async fn a_job_is_tried_again_on_the_exit_codes_named(up: &Up) -> Result<()> {
    let spec = r#"
jobs:
  flaky:
    retry: { limit: 3, reasons: [Failed], exitCodes: [75], backoff: { initial: 50ms } }
    run: |
      echo "attempt $CI_RUN_ATTEMPT"
      [ "$CI_RUN_ATTEMPT" -ge 3 ] || exit 75
"#;
    up.cluster.run("flaky", spec).await?;
    up.cluster.succeeded("flaky").await?;
    let job = up.cluster.job("flaky", "flaky").await?;
    let codes: Vec<_> = job
        .status
        .unwrap_or_default()
        .attempts
        .iter()
        .map(|a| a.exit_code)
        .collect();
    assert_eq!(codes, [Some(75), Some(75), Some(0)]);
    for attempt in 1..=3 {
        let log = up
            .cluster
            .log("flaky-flaky", &format!("attempt={attempt}&follow=true"))
            .await?;
        assert_eq!(log, format!("attempt {attempt}\n"));
    }
    Ok(())
}

async fn retries_end_at_their_limit(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  hopeless: { retry: { limit: 1, backoff: { initial: 10ms } }, run: 'exit 9' }
  other-code: { retry: { limit: 5, exitCodes: [75] }, run: 'exit 1' }
";
    up.cluster.run("hopeless", spec).await?;
    assert_eq!(up.cluster.ended("hopeless").await?.reason, "Failed");
    for (job, attempts) in [("hopeless", 2), ("other-code", 1)] {
        let job = up.cluster.job("hopeless", job).await?;
        assert_eq!(job.status.unwrap_or_default().attempts.len(), attempts);
    }
    Ok(())
}

async fn an_allowed_failure_is_a_warning(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  lint: { allowFailure: true, run: 'exit 1' }
  build: { needs: [lint], run: 'echo built' }
";
    up.cluster.run("warned", spec).await?;
    let ended = up.cluster.succeeded("warned").await?;
    assert_eq!(
        (ended.jobs["lint"].as_str(), ended.jobs["build"].as_str()),
        ("Warned", "Succeeded")
    );
    Ok(())
}

async fn a_job_that_takes_too_long_is_stopped(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  slow: { timeout: 1s, run: 'echo started; sleep 1000' }
";
    up.cluster.run("slow", spec).await?;
    assert_eq!(up.cluster.ended("slow").await?.reason, "Failed");
    let job = up.cluster.job("slow", "slow").await?;
    let attempt = job.last_attempt().expect("it was attempted");
    assert_eq!(attempt.reason, Some(AttemptReason::TimedOut));
    assert_eq!(attempt.exit_code, None, "an exit code is never invented");
    assert_eq!(up.cluster.whole_log("slow-slow").await?, "started\n");
    Ok(())
}

async fn a_run_that_takes_too_long_is_stopped(up: &Up) -> Result<()> {
    let spec = r"
timeout: 1s
jobs:
  slow: { run: 'echo started; sleep 1000' }
  never: { needs: [slow], run: 'echo never' }
finally:
  clean: { run: 'echo cleaned' }
";
    up.cluster.run("long", spec).await?;
    let ended = up.cluster.ended("long").await?;
    assert_eq!(ended.reason, "TimedOut");
    assert_eq!(ended.jobs["clean"], "Succeeded");
    assert_ne!(ended.jobs["never"], "Succeeded");
    Ok(())
}

async fn a_cancelled_run_stops_what_runs_starts_nothing_more_and_cleans_up(up: &Up) -> Result<()> {
    let spec = r"
jobs:
  running: { run: 'echo started; sleep 1000' }
  next: { needs: [running], run: 'echo next' }
finally:
  clean: { run: 'echo cleaned' }
";
    up.cluster.run("stopped", spec).await?;
    up.cluster.job_running("stopped-running").await?;
    up.cluster.cancel("stopped").await?;
    let ended = up.cluster.ended("stopped").await?;
    assert_eq!(ended.reason, "Cancelled");
    assert_eq!(
        (ended.jobs["running"].as_str(), ended.jobs["clean"].as_str()),
        ("Cancelled", "Succeeded")
    );
    assert_ne!(ended.jobs["next"], "Succeeded");
    let job = up.cluster.job("stopped", "running").await?;
    assert_eq!(
        job.last_attempt().and_then(|a| a.reason),
        Some(AttemptReason::Cancelled)
    );
    Ok(())
}

async fn a_job_that_ignores_the_request_to_end_is_killed(up: &Up) -> Result<()> {
    let spec = r#"
jobs:
  stubborn:
    run: |
      trap '' TERM INT HUP
      echo started
      while true; do sleep 1000 || true; done
"#;
    up.cluster.run("stubborn", spec).await?;
    up.cluster.job_running("stubborn-stubborn").await?;
    up.cluster.cancel("stubborn").await?;
    assert_eq!(up.cluster.ended("stubborn").await?.reason, "Cancelled");
    Ok(())
}

async fn a_deleted_run_takes_its_jobs_along(up: &Up) -> Result<()> {
    up.cluster
        .run(
            "short-lived",
            "jobs: { a: { run: 'echo a' }, b: { run: 'echo started; sleep 1000' } }",
        )
        .await?;
    up.cluster.job_running("short-lived-b").await?;
    let runs = up.cluster.api::<breakbulk_schemas::PipelineRun>();
    runs.delete("short-lived", &kube::api::DeleteParams::background())
        .await?;
    wait::until("the jobs to be gone", wait::SOON, async || {
        let jobs = up.cluster.jobs("short-lived").await?;
        if jobs.is_empty() {
            Ok(Look::Done(()))
        } else {
            Ok(Look::NotYet(format!("{} jobs", jobs.len())))
        }
    })
    .await?;
    // The script that was running is gone as well: its slot is free, and nothing of it is left on the machine.
    let needle = up.scratch().display().to_string();
    wait::until("the shim to be gone", wait::SOON, async || {
        let shims = running_with(&[&needle, "bulk-shim"]);
        if shims == 0 {
            Ok(Look::Done(()))
        } else {
            Ok(Look::NotYet(format!("{shims} shims")))
        }
    })
    .await?;
    Ok(())
}
