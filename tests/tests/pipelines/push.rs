//! From a push to a run: one push, one run, at that commit.

use anyhow::{Context as _, Result};
use breakbulk_schemas::{GitRepository, PipelineRun};
use breakbulk_tests::cluster::A_WHILE;
use breakbulk_tests::git::Repository;
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};
use kube::api::ListParams;

on_both_stores!(
    a_push_that_matches_starts_one_run_at_its_commit,
    a_push_that_does_not_match_starts_none,
    a_run_by_hand_takes_the_default_branch,
);

const MANIFEST: &str = r#"
apiVersion: breakbulk.dev/v1
kind: GitRepository
metadata: { name: project }
spec: { url: "URL", interval: 1s }
---
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: project }
spec:
  repository: project
  triggers:
    push: { branches: [main, 'release/*'], paths: ['**', '!docs/**'] }
  jobs:
    show:
      run: |
        test "$(git rev-parse HEAD)" = "$CI_COMMIT_SHA"
        echo "$CI_EVENT $CI_COMMIT_BRANCH $(cat README)"
"#;

async fn ready(up: &Up) -> Result<Repository> {
    let repository = Repository::new(up.scratch())?;
    up.cluster.create(&MANIFEST.replace("URL", &repository.url())).await?;
    let api = up.cluster.api::<GitRepository>();
    wait::until("the repository to be read", wait::SOON, async || {
        let status = api.get("project").await?.status.unwrap_or_default();
        let seen = status.refs.contains_key("refs/heads/main");
        Ok(Look::some(seen.then_some(()), || format!("{status:?}")))
    })
    .await?;
    Ok(repository)
}

async fn runs(up: &Up) -> Result<Vec<PipelineRun>> {
    Ok(up
        .cluster
        .api::<PipelineRun>()
        .list(&ListParams::default())
        .await?
        .items)
}

async fn run_at(up: &Up, commit: &str) -> Result<PipelineRun> {
    wait::until(format!("a run at {commit}"), wait::SOON, async || {
        let runs = runs(up).await?;
        let at = |run: &PipelineRun| run.spec.source.as_ref().and_then(|s| s.revision.as_deref()) == Some(commit);
        Ok(Look::some(runs.iter().find(|run| at(run)).cloned(), || {
            format!("{} runs", runs.len())
        }))
    })
    .await
}

async fn a_push_that_matches_starts_one_run_at_its_commit(up: &Up) -> Result<()> {
    let repository = ready(up).await?;
    assert!(runs(up).await?.is_empty(), "what was there before starts nothing");
    let commit = repository.push("main", "README", "second\n")?;
    let run = run_at(up, &commit).await?;
    let name = run.metadata.name.context("a run has a name")?;
    up.cluster.succeeded(&name).await?;
    let job = up.cluster.job(&name, "show").await?.metadata.name.unwrap_or_default();
    assert_eq!(up.cluster.whole_log(&job).await?, "push main second\n");
    let next = repository.push("release/1", "README", "third\n")?;
    let next = run_at(up, &next).await?.metadata.name.unwrap_or_default();
    up.cluster.succeeded(&next).await?;
    assert_eq!(runs(up).await?.len(), 2, "one push, one run");
    Ok(())
}

async fn a_push_that_does_not_match_starts_none(up: &Up) -> Result<()> {
    let repository = ready(up).await?;
    repository.push("feature", "README", "feature\n")?;
    repository.push("main", "docs/guide.md", "words\n")?;
    repository.tag("v1")?;
    // The one that matches is seen after those that do not.
    let commit = repository.push("main", "src/main.rs", "fn main() {}\n")?;
    run_at(up, &commit).await?;
    // A run that should not be would come with the same look at the repository, or the next.
    tokio::time::sleep(A_WHILE).await;
    // The push before it may be folded into it, when both came between two looks: its paths are looked at together.
    assert_eq!(runs(up).await?.len(), 1);
    Ok(())
}

async fn a_run_by_hand_takes_the_default_branch(up: &Up) -> Result<()> {
    let _repository = ready(up).await?;
    up.cluster.run_pipeline("by-hand", "project", &[]).await?;
    up.cluster.succeeded("by-hand").await?;
    assert_eq!(up.cluster.whole_log("by-hand-show").await?, "manual main a project\n");
    Ok(())
}
