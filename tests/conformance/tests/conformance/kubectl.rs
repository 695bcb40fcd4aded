//! Every kubectl of this machine through the transcripts, against a server with a node that runs jobs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::kubectl::{Kubectl, programs};
use breakbulk_conformance::transcript::{self, Stage};
use breakbulk_tests::store::Kind;
use breakbulk_tests::up::Up;
use futures::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const TRANSCRIPTS: &[&str] = &[
    include_str!("../../transcripts/server.transcript"),
    include_str!("../../transcripts/objects.transcript"),
    include_str!("../../transcripts/apply.transcript"),
    include_str!("../../transcripts/server_side_apply.transcript"),
    include_str!("../../transcripts/jobs.transcript"),
];
/// Alone, after the others: a drained node runs no jobs.
const LAST: &str = include_str!("../../transcripts/nodes.transcript");
/// How many parts are played at a time.
const AT_A_TIME: usize = 4;

/// Set to a part of a title: only parts that have it in theirs are played.
const ONLY: &str = "BREAKBULK_TRANSCRIPT_ONLY";

async fn drive(minor: u32) -> Result<()> {
    let name = format!("kubectl.1.{minor}");
    let Some(program) = programs().into_iter().find(|path| path.ends_with(&name)) else {
        println!("SKIPPED: there is no kubectl 1.{minor} on this machine");
        return Ok(());
    };
    play(&program, minor).await
}

async fn play(program: &Path, minor: u32) -> Result<()> {
    let up = Box::pin(Up::start(Kind::Embedded, &[])).await?;
    // One home, and with it one cache of what the server serves, as a user has it.
    let new = |namespace: &str| Kubectl::new(&up.cluster.kubeconfig, up.scratch(), namespace).program(program);
    let all = new("default");
    let node = all
        .run(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"], "")
        .await?;
    let stage = Stage {
        kubectl: &new,
        minor,
        words: BTreeMap::from([("$NODE".to_owned(), node)]),
    };
    let mut parts = Vec::new();
    for text in TRANSCRIPTS {
        parts.extend(transcript::parse(text)?);
    }
    let mut failures = played(&all, &stage, &parts, "part").await?;
    failures.extend(follows(&all).await.err().map(|error| format!("{error:#}")));
    failures.extend(played(&all, &stage, &transcript::parse(LAST)?, "last").await?);
    if failures.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "kubectl 1.{minor}: {} parts failed\n\n{}\n\nthe server said:\n{}",
        failures.len(),
        failures.join("\n\n"),
        up.said()
    )
}

async fn played(all: &Kubectl, stage: &Stage<'_>, parts: &[transcript::Part], base: &str) -> Result<Vec<String>> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let chosen = parts.iter().enumerate().filter(|(_, part)| part.title.contains(&only));
    let run = futures::stream::iter(chosen).map(|(number, part)| async move {
        let namespace = format!("{base}-{number}");
        all.run(&["create", "namespace", &namespace], "").await?;
        part.play(stage, &namespace).await
    });
    let results: Vec<Result<()>> = run.buffer_unordered(AT_A_TIME).collect().await;
    Ok(results
        .into_iter()
        .filter_map(|result| result.err().map(|error| format!("{error:#}")))
        .collect())
}

/// `get -w`, and `proxy`: what does not end by itself.
async fn follows(kubectl: &Kubectl) -> Result<()> {
    let mut command = tokio::process::Command::from(kubectl.command(&["get", "configmaps", "-w", "-l", "watched"]));
    let mut watch = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
    kubectl.run(&["create", "configmap", "watched"], "").await?;
    kubectl
        .run(&["label", "configmap", "watched", "watched=yes"], "")
        .await?;
    let next = async |lines: &mut tokio::io::Lines<_>| {
        let line = tokio::time::timeout(breakbulk_tests::wait::SOON, lines.next_line()).await;
        line.context("the watch shows nothing")??.context("the watch ended")
    };
    let head = next(&mut lines).await?;
    ensure!(head.starts_with("NAME"), "{head}");
    let row = next(&mut lines).await?;
    ensure!(row.starts_with("watched"), "{row}");
    watch.kill().await?;

    let mut command = tokio::process::Command::from(kubectl.command(&["proxy", "--port=0"]));
    let mut proxy = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(proxy.stdout.take().context("no output")?).lines();
    let line = next(&mut lines).await?;
    ensure!(line.starts_with("Starting to serve on 127.0.0.1:"), "{line}");
    proxy.kill().await?;
    Ok(())
}

macro_rules! versions {
    ($($name:ident: $minor:literal),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            drive($minor).await.unwrap();
        })+
    };
}

versions!(
    kubectl_1_27_shows_what_a_person_expects: 27,
    kubectl_1_28_shows_what_a_person_expects: 28,
    kubectl_1_29_shows_what_a_person_expects: 29,
    kubectl_1_30_shows_what_a_person_expects: 30,
    kubectl_1_31_shows_what_a_person_expects: 31,
    kubectl_1_32_shows_what_a_person_expects: 32,
    kubectl_1_33_shows_what_a_person_expects: 33,
);

/// Where the one kubectl has no version in its name, as a distribution's package has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kubectl_on_the_path_shows_what_a_person_expects() {
    let found = programs();
    if found.iter().any(|path| path.to_string_lossy().contains("kubectl.1.")) {
        return;
    }
    let output = tokio::process::Command::new(&found[0])
        .args(["version", "--client", "-o", "json"])
        .output()
        .await;
    let Ok(output) = output else {
        println!("SKIPPED: there is no kubectl on this machine");
        return;
    };
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let minor = version["clientVersion"]["minor"]
        .as_str()
        .unwrap_or_default()
        .trim_end_matches('+')
        .parse()
        .unwrap();
    play(&found[0], minor).await.unwrap();
}
