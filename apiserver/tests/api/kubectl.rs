//! Stock kubectl of several versions: what people type, and what they see.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::harness::{On, TestServer};

const PIPELINE: &str = "
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: {name: hello}
spec:
  jobs:
    greet: {run: echo hello}
";
const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: n1}
status:
  conditions: [{type: Ready, status: \"True\", reason: Ok, message: fine}]
";

pub(crate) struct Kubectl<'a> {
    pub(crate) program: PathBuf,
    server: &'a TestServer,
    cache: tempfile::TempDir,
}

impl<'a> Kubectl<'a> {
    pub(crate) fn new(program: PathBuf, server: &'a TestServer) -> Self {
        Self {
            program,
            server,
            cache: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) async fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let file = self.cache.path().join("input.yaml");
        std::fs::write(&file, input).unwrap();
        let arguments = arguments
            .iter()
            .map(|a| if *a == "INPUT" { file.to_str().unwrap() } else { a });
        let output = Command::new(&self.program)
            .args(arguments)
            .arg("--cache-dir")
            .arg(self.cache.path())
            .env("KUBECONFIG", &self.server.kubeconfig)
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), output)
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    pub(crate) async fn says(&self, arguments: &[&str], input: &str, expected: &str) {
        let (fine, text) = self.run(arguments, input).await;
        assert!(
            fine && text.contains(expected),
            "{:?} {arguments:?}: {text}",
            self.program
        );
    }

    pub(crate) async fn refuses(&self, arguments: &[&str], input: &str, expected: &str) {
        let (fine, text) = self.run(arguments, input).await;
        assert!(
            !fine && text.contains(expected),
            "{:?} {arguments:?}: {text}",
            self.program
        );
    }
}

/// Every kubectl of this machine, or a word about there being none.
pub(crate) fn programs() -> Vec<PathBuf> {
    let versions = ["1.27", "1.29", "1.31", "1.33"];
    let mut found: Vec<PathBuf> = versions
        .iter()
        .map(|v| PathBuf::from(format!("/usr/lib/google-cloud-sdk/bin/kubectl.{v}")))
        .filter(|p| p.exists())
        .collect();
    if found.is_empty() && Path::new("/usr/bin/kubectl").exists() {
        found.push(PathBuf::from("/usr/bin/kubectl"));
    }
    if found.is_empty() {
        println!("SKIPPED: no kubectl is installed");
    }
    found
}

async fn a_day_with(kubectl: &Kubectl<'_>) {
    let ok = |arguments: &'static [&'static str], expected: &'static str| kubectl.says(arguments, "", expected);
    kubectl
        .says(
            &["apply", "-f", "INPUT"],
            PIPELINE,
            "pipeline.breakbulk.dev/hello created",
        )
        .await;
    kubectl
        .says(
            &["apply", "-f", "INPUT"],
            PIPELINE,
            "pipeline.breakbulk.dev/hello unchanged",
        )
        .await;
    let changed = PIPELINE.replace("echo hello", "echo bye");
    kubectl
        .says(
            &["apply", "-f", "INPUT"],
            &changed,
            "pipeline.breakbulk.dev/hello configured",
        )
        .await;
    kubectl
        .says(&["apply", "--validate=false", "-f", "INPUT"], &changed, "unchanged")
        .await;
    kubectl
        .says(
            &["create", "--dry-run=server", "-f", "INPUT"],
            &changed.replace("name: hello", "name: other"),
            "created",
        )
        .await;
    ok(&["get", "pl"], "hello").await;
    ok(
        &["get", "pl", "hello", "-o", "jsonpath={.spec.jobs.greet.run}"],
        "echo bye",
    )
    .await;
    ok(&["get", "ci", "-A"], "default").await;
    ok(&["describe", "pl", "hello"], "Kind:         Pipeline").await;
    ok(&["explain", "pipeline.spec.jobs"], "by name").await;
    ok(&["label", "pl", "hello", "team=a"], "labeled").await;
    ok(
        &["get", "pl", "-l", "team in (a,b)", "-o", "name"],
        "pipeline.breakbulk.dev/hello",
    )
    .await;
    ok(&["annotate", "pl", "hello", "note=x"], "annotate").await;
    ok(
        &["get", "pl", "--field-selector", "metadata.name=hello", "--chunk-size=1"],
        "hello",
    )
    .await;
    kubectl
        .refuses(
            &["get", "pl", "--field-selector", "spec.x=1"],
            "",
            "field label not supported: spec.x",
        )
        .await;
    // kubectl's own kind of patch, which upstream takes for Kubernetes' kinds alone, is taken for ours as well.
    kubectl
        .says(&["patch", "pl", "hello", "-p", "{}"], "", "(no change)")
        .await;
    let wrong = PIPELINE.replace("run: echo hello", "run: 5, sheel: bash");
    kubectl
        .refuses(
            &["apply", "-f", "INPUT"],
            &wrong,
            "unknown field \"spec.jobs.greet.sheel\"",
        )
        .await;
    kubectl
        .refuses(
            &["apply", "--validate=false", "-f", "INPUT"],
            &wrong,
            "spec.jobs.greet.run",
        )
        .await;
    kubectl.says(&["apply", "-f", "INPUT"], NODE, "node/n1 created").await;
    ok(&["get", "nodes"], "Ready").await;
    ok(&["cordon", "n1"], "node/n1 cordoned").await;
    ok(&["get", "nodes"], "SchedulingDisabled").await;
    ok(&["uncordon", "n1"], "node/n1 uncordoned").await;
    ok(&["taint", "node", "n1", "a=b:NoSchedule"], "tainted").await;
    ok(
        &["wait", "--for=condition=Ready", "node/n1", "--timeout=30s"],
        "condition met",
    )
    .await;
    ok(&["get", "events"], "No resources found").await;
    ok(&["delete", "node", "n1"], "node \"n1\" deleted").await;
    ok(&["delete", "pl", "hello"], "\"hello\" deleted").await;
    kubectl
        .refuses(
            &["get", "pl", "hello"],
            "",
            "pipelines.breakbulk.dev \"hello\" not found",
        )
        .await;
    ok(&["get", "--raw", "/livez/ping"], "ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_kubectl_works_in_every_version() {
    let server = TestServer::start(On::Embedded).await;
    for program in programs() {
        let kubectl = Kubectl::new(program, &server);
        a_day_with(&kubectl).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_kubectl_works_on_etcd() {
    let server = TestServer::start(On::Etcd).await;
    if let Some(program) = programs().into_iter().next_back() {
        let kubectl = Kubectl::new(program, &server);
        a_day_with(&kubectl).await;
    }
    server.stop().await;
}
