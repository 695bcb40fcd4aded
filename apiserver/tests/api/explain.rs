//! `kubectl explain`, and what else kubectl reads out of the OpenAPI documents: what a person sees.

use crate::harness::{On, TestServer};
use crate::kubectl::{Kubectl, programs};

const TWO_JOBS: &str = "
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: {name: two}
spec:
  jobs:
    one: {run: echo one, needs: [two]}
    two: {run: echo two}
";
const ONE_JOB: &str = "
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: {name: two}
spec:
  jobs:
    two: {run: echo two}
";

async fn explains(kubectl: &Kubectl<'_>, arguments: &[&str], expected: &[&str]) {
    let arguments: Vec<&str> = ["explain"].iter().chain(arguments).copied().collect();
    let (fine, text) = kubectl.run(&arguments, "").await;
    // Lines are wrapped by the terminal's width, and fields by tabs.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in expected {
        assert!(
            fine && words.contains(expected),
            "{:?} {arguments:?} lacks {expected:?}: {text}",
            kubectl.program
        );
    }
}

/// Every kind that discovery names: the resource and its group and version.
async fn kinds(kubectl: &Kubectl<'_>) -> Vec<(String, String)> {
    let (fine, text) = kubectl.run(&["api-resources", "--no-headers"], "").await;
    assert!(fine, "{text}");
    let kind = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].to_owned(), words[words.len() - 3].to_owned())
    };
    text.lines().map(kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kubectl_explains_our_kinds_and_kubernetes_own() {
    let server = TestServer::start(On::Embedded).await;
    for program in programs() {
        let kubectl = Kubectl::new(program, &server);
        let says = |arguments: &'static [&'static str], expected: &'static [&'static str]| {
            explains(&kubectl, arguments, expected)
        };
        says(
            &["pipeline"],
            &[
                "A Pipeline declares jobs, what they need of each other",
                "apiVersion <string>",
                "metadata <ObjectMeta> Standard object's metadata.",
                "spec <Object> -required-",
            ],
        )
        .await;
        says(
            &["pipeline.spec.jobs.run"],
            &["FIELD: run <string>", "DESCRIPTION: The script."],
        )
        .await;
        says(
            &["job", "--recursive"],
            &[
                "ownerReferences <[]OwnerReference>",
                "nodeName <string>",
                "conditions <[]Object>",
            ],
        )
        .await;
        says(
            &["secret"],
            &["KIND: Secret", "data <map[string]string>", "immutable <boolean>"],
        )
        .await;
        says(
            &["node.status.conditions.lastTransitionTime"],
            &["FIELD: lastTransitionTime <string>", "Last time the condition transit"],
        )
        .await;
        says(
            &["resourcequota.spec.hard"],
            &["hard <map[string]Quantity>", "Quantity is a fixed-point representation"],
        )
        .await;
        says(
            &["pipeline", "--output=plaintext-openapiv2"],
            &["A Pipeline declares jobs"],
        )
        .await;
        says(
            &["secret", "--recursive", "--output=plaintext-openapiv2"],
            &["data <map[string]string>", "finalizers <[]string>"],
        )
        .await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_discovery_is_explained_with_all_its_fields() {
    let server = TestServer::start(On::Embedded).await;
    if let Some(program) = programs().into_iter().next_back() {
        let kubectl = Kubectl::new(program, &server);
        for (resource, version) in kinds(&kubectl).await {
            let version = format!("--api-version={version}");
            let arguments = [resource.as_str(), version.as_str(), "--recursive"];
            explains(&kubectl, &arguments, &["FIELDS:", "apiVersion <string>", "metadata <"]).await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_applied_is_gone_also_by_a_patch_made_from_the_schema() {
    let server = TestServer::start(On::Embedded).await;
    for program in programs() {
        let kubectl = Kubectl::new(program, &server);
        kubectl.says(&["apply", "-f", "INPUT"], TWO_JOBS, "created").await;
        kubectl.says(&["apply", "-f", "INPUT"], ONE_JOB, "configured").await;
        kubectl.says(&["apply", "-f", "INPUT"], ONE_JOB, "unchanged").await;
        let (_, jobs) = kubectl
            .run(&["get", "pl", "two", "-o", "jsonpath={.spec.jobs}"], "")
            .await;
        assert!(jobs.contains("echo two") && !jobs.contains("echo one"), "{jobs}");
        kubectl.says(&["delete", "pl", "two"], "", "deleted").await;
    }
    server.stop().await;
}
