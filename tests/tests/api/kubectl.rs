//! A stock kubectl drives a pipeline and its nodes.

use anyhow::{Context as _, Result};
use breakbulk_schemas::Job;
use breakbulk_schemas::condition::{self, SCHEDULED};
use breakbulk_tests::on_both_stores;
use breakbulk_tests::up::Up;
use breakbulk_tests::wait::{self, Look};

on_both_stores!(
    kubectl_applies_a_pipeline_runs_it_waits_for_it_and_deletes_it,
    kubectl_watches_a_run_to_its_end,
    a_cordoned_node_gets_no_jobs_and_the_job_says_so,
);

const HELLO: &str = r"
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: hello }
spec:
  description: says hello
  jobs: { greet: { run: 'echo hello' } }
";
const RUN: &str = r"
apiVersion: breakbulk.dev/v1
kind: PipelineRun
metadata: { name: hello-1 }
spec: { pipelineRef: { name: hello } }
";

fn file(up: &Up, name: &str, text: &str) -> Result<String> {
    let path = up.scratch().join(name);
    std::fs::write(&path, text).context("cannot write a manifest")?;
    Ok(path.display().to_string())
}

async fn kubectl_applies_a_pipeline_runs_it_waits_for_it_and_deletes_it(up: &Up) -> Result<()> {
    let kubectl = up.kubectl();
    let hello = file(up, "hello.yaml", HELLO)?;
    let said = kubectl.run(&["apply", "--validate=false", "-f", &hello]).await?;
    assert_eq!(said, "pipeline.breakbulk.dev/hello created\n");
    let said = kubectl.run(&["apply", "--validate=false", "-f", &hello]).await?;
    assert_eq!(said, "pipeline.breakbulk.dev/hello unchanged\n");
    let changed = file(up, "hello.yaml", &HELLO.replace("says hello", "says hello twice"))?;
    let said = kubectl.run(&["apply", "--validate=false", "-f", &changed]).await?;
    assert_eq!(said, "pipeline.breakbulk.dev/hello configured\n");
    let run = file(up, "run.yaml", RUN)?;
    kubectl.run(&["create", "--validate=false", "-f", &run]).await?;
    let said = kubectl
        .run(&["wait", "--for=condition=Succeeded", "run/hello-1", "--timeout=60s"])
        .await?;
    assert_eq!(said, "pipelinerun.breakbulk.dev/hello-1 condition met\n");
    let table = kubectl.run(&["get", "run", "hello-1"]).await?;
    let [head, row] = table.lines().collect::<Vec<_>>()[..] else {
        panic!("not two lines:\n{table}")
    };
    assert!(
        head.starts_with("NAME") && head.contains("SUCCEEDED") && head.contains("JOBS"),
        "{table}"
    );
    assert!(
        row.starts_with("hello-1") && row.contains("True") && row.contains("1/1"),
        "{table}"
    );
    let described = kubectl.run(&["describe", "job", "hello-1-greet"]).await?;
    assert!(
        described.contains("Exit Code:") && described.contains("breakbulk.dev/run=hello-1"),
        "{described}"
    );
    assert_eq!(
        kubectl.run(&["get", "pl", "-o", "name"]).await?,
        "pipeline.breakbulk.dev/hello\n"
    );
    let nodes = kubectl.run(&["get", "nodes"]).await?;
    assert!(nodes.contains("Ready"), "{nodes}");
    kubectl.run(&["delete", "run", "hello-1", "--timeout=60s"]).await?;
    let said = kubectl.fails(&["get", "run", "hello-1"]).await?;
    assert!(
        said.contains(r#"pipelineruns.breakbulk.dev "hello-1" not found"#),
        "{said}"
    );
    Ok(())
}

async fn kubectl_watches_a_run_to_its_end(up: &Up) -> Result<()> {
    let output = up.scratch().join("watch.out");
    up.cluster.create(HELLO).await?;
    let watch = up.kubectl().start(&["get", "run", "-w", "-o", "name"], &output)?;
    up.cluster.create(RUN).await?;
    up.cluster.succeeded("hello-1").await?;
    let seen = watch
        .said("the run", |line| line.contains("hello-1").then_some(()))
        .await;
    watch.kill().await?;
    seen
}

async fn a_cordoned_node_gets_no_jobs_and_the_job_says_so(up: &Up) -> Result<()> {
    let kubectl = up.kubectl();
    let node = kubectl
        .run(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])
        .await?;
    kubectl.run(&["cordon", &node]).await?;
    up.cluster
        .run("waiting", "jobs: { patient: { run: 'echo ran' } }")
        .await?;
    let said = wait::until("the job to say why it waits", wait::SOON, async || {
        let job = up.cluster.job("waiting", "patient").await?;
        let message = scheduled(&job);
        Ok(if message.contains("cordoned") {
            Look::Done(message)
        } else {
            Look::NotYet(message)
        })
    });
    assert!(said.await?.contains("0/1 nodes fit"));
    kubectl.run(&["uncordon", &node]).await?;
    up.cluster.succeeded("waiting").await?;
    kubectl.run(&["label", "node", &node, "disk=fast"]).await?;
    up.cluster
        .run(
            "labelled",
            "jobs: { picky: { nodeSelector: { disk: fast }, run: 'echo ran' } }",
        )
        .await?;
    up.cluster.succeeded("labelled").await?;
    Ok(())
}

fn scheduled(job: &Job) -> String {
    let conditions = job.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, SCHEDULED)
        .map(|c| c.message.clone())
        .unwrap_or_default()
}
