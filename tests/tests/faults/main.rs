//! Processes killed at bad moments. A job dies only of itself; a script is started at most once; one push makes one run.

use anyhow::{Context as _, Result};
use breakbulk_schemas::job::AttemptReason;
use breakbulk_schemas::{GitRepository, PipelineRun};
use breakbulk_tests::daemon::running_with;
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::git::Repository;
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};
use kube::api::ListParams;

const ONE_EACH: Size = Size {
    servers: 1,
    controllers: 1,
    agents: 1,
};

/// Runs a test against a fleet; shows what its processes said if the test fails.
async fn with(kind: Kind, size: Size, test: impl AsyncFnOnce(&mut Fleet) -> Result<()>) -> Result<()> {
    let mut fleet = Box::pin(Fleet::start(kind, size)).await?;
    let done = Box::pin(test(&mut fleet)).await;
    if done.is_err() {
        eprintln!("{}", fleet.said());
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_on_while_its_agent_is_killed_and_restarted() -> Result<()> {
    with(Kind::Embedded, ONE_EACH, async |fleet| {
        let script = "for i in $(seq 1 200); do echo line $i; sleep 0.01; done; echo pid $$";
        fleet
            .cluster()
            .run("steady", &format!("jobs: {{ only: {{ run: '{script}' }} }}"))
            .await?;
        fleet.cluster().job_running("steady-only").await?;
        fleet.kill_agent(0).await?;
        fleet.start_agent(0)?;
        fleet.cluster().succeeded("steady").await?;
        let job = fleet.cluster().job("steady", "only").await?;
        assert_eq!(job.status.unwrap_or_default().attempts.len(), 1, "it was started once");
        let log = fleet.cluster().whole_log("steady-only").await?;
        let expected: String = (1..=200).map(|i| format!("line {i}\n")).collect();
        assert!(log.starts_with(&expected), "{log}");
        assert_eq!(log.lines().count(), 201);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ends_while_its_agent_is_away_is_reported_truthfully() -> Result<()> {
    with(Kind::Embedded, ONE_EACH, async |fleet| {
        let spec = "jobs: { good: { run: 'echo started; sleep 0.3; echo done' }, bad: { run: 'echo started; sleep 0.3; exit 5' } }";
        fleet.cluster().run("unseen", spec).await?;
        for job in ["unseen-good", "unseen-bad"] {
            fleet.cluster().job_running(job).await?;
        }
        fleet.kill_agent(0).await?;
        // Both shims are gone when both scripts have ended.
        let needle = fleet.scratch().display().to_string();
        wait::until("the scripts to end", wait::SOON, async || {
            let shims = running_with(&[&needle, "bulk-shim"]);
            if shims == 0 { Ok(Look::Done(())) } else { Ok(Look::NotYet(format!("{shims} shims"))) }
        })
        .await?;
        fleet.start_agent(0)?;
        assert_eq!(fleet.cluster().ended("unseen").await?.reason, "Failed");
        for (job, code) in [("good", 0), ("bad", 5)] {
            let job = fleet.cluster().job("unseen", job).await?;
            assert_eq!(job.last_attempt().and_then(|a| a.exit_code), Some(code));
        }
        assert_eq!(fleet.cluster().whole_log("unseen-good").await?, "started\ndone\n");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_that_is_killed_is_told_and_no_exit_code_invented() -> Result<()> {
    with(Kind::Embedded, ONE_EACH, async |fleet| {
        fleet
            .cluster()
            .run("orphan", "jobs: { only: { run: 'echo started; sleep 1000' } }")
            .await?;
        fleet.cluster().job_running("orphan-only").await?;
        fleet.kill_agent(0).await?;
        fleet.kill_shims(0);
        fleet.start_agent(0)?;
        fleet.cluster().ended("orphan").await?;
        let job = fleet.cluster().job("orphan", "only").await?;
        let attempt = job.last_attempt().context("it was attempted")?;
        assert_eq!(
            (attempt.reason, attempt.exit_code),
            (Some(AttemptReason::NodeLost), None)
        );
        assert_eq!(fleet.cluster().whole_log("orphan-only").await?, "started\n");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_though_the_controllers_are_killed_again_and_again() -> Result<()> {
    with(Kind::Embedded, ONE_EACH, async |fleet| {
        let jobs: String = (1..20)
            .map(|i| format!("  j{i}: {{ needs: [j{}], run: 'echo {i}' }}\n", i - 1))
            .collect();
        fleet
            .cluster()
            .run("chain", &format!("jobs:\n  j0: {{ run: 'echo 0' }}\n{jobs}"))
            .await?;
        for round in 1..=4_usize {
            fleet
                .cluster()
                .run_until("chain", "to get further", |run| {
                    let status = run.status.clone().unwrap_or_default();
                    status.jobs.iter().filter(|job| job.state.is_ended()).count() >= round * 3
                })
                .await?;
            fleet.kill_controllers(0).await?;
            fleet.start_controllers(0)?;
        }
        fleet.cluster().succeeded("chain").await?;
        let jobs = fleet.cluster().jobs("chain").await?;
        assert_eq!(jobs.len(), 20, "one Job each");
        let attempts: usize = jobs
            .iter()
            .filter_map(|job| job.status.as_ref())
            .map(|s| s.attempts.len())
            .sum();
        assert_eq!(attempts, 20, "one attempt each");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_makes_one_run_though_the_controllers_are_killed_in_between() -> Result<()> {
    with(Kind::Embedded, ONE_EACH, async |fleet| {
        let repository = Repository::new(fleet.scratch())?;
        let manifest = r"
apiVersion: breakbulk.dev/v1
kind: GitRepository
metadata: { name: project }
spec: { url: 'URL', interval: 1s }
---
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: project }
spec:
  repository: project
  triggers: { push: { branches: ['**'] } }
  jobs: { show: { run: 'git rev-parse HEAD' } }
";
        fleet
            .cluster()
            .create(&manifest.replace("URL", &repository.url()))
            .await?;
        let repositories = fleet.cluster().api::<GitRepository>();
        wait::until("the repository to be read", wait::SOON, async || {
            let refs = repositories.get("project").await?.status.unwrap_or_default().refs;
            Ok(Look::some((!refs.is_empty()).then_some(()), || "no refs".to_owned()))
        })
        .await?;
        let mut commits = Vec::new();
        for round in 0..6 {
            commits.push(repository.push(&format!("topic-{round}"), "README", &format!("{round}\n"))?);
            // At another moment each time: between the look, the event, the run and its jobs.
            tokio::time::sleep(std::time::Duration::from_millis(230 * round)).await;
            fleet.kill_controllers(0).await?;
            fleet.start_controllers(0)?;
        }
        let runs = fleet.cluster().api::<PipelineRun>();
        wait::until("a run for each commit", wait::SOON, async || {
            let runs = runs.list(&ListParams::default()).await?.items;
            let ended = runs
                .iter()
                .filter(|run| breakbulk_client::runs::ending(run).is_some())
                .count();
            let state = || format!("{} runs, {ended} ended", runs.len());
            Ok(Look::some((ended >= commits.len()).then_some(()), state))
        })
        .await?;
        let runs = runs.list(&ListParams::default()).await?.items;
        let at = |run: &PipelineRun| run.spec.source.as_ref().and_then(|source| source.revision.clone());
        let mut revisions: Vec<_> = runs.iter().filter_map(at).collect();
        revisions.sort();
        commits.sort();
        assert_eq!(revisions, commits, "one run for each push");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_leaves_running_jobs_alone() -> Result<()> {
    let mut up = Up::start(Kind::Embedded, &[]).await?;
    up.cluster
        .run("through", "jobs: { only: { run: 'echo started; sleep 1; echo done' } }")
        .await?;
    up.cluster.job_running("through-only").await?;
    up.stop().await?;
    up.restart().await?;
    up.cluster.succeeded("through").await?;
    assert_eq!(up.cluster.whole_log("through-only").await?, "started\ndone\n");
    Ok(())
}
