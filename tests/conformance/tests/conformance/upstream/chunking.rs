//! [sig-api-machinery] Servers with support for API chunking, and Table transformation. Upstream's objects are
//! PodTemplates; here they are ConfigMaps.

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::case::{Case, SOON, config_map, names, text};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::store::Kind;
use breakbulk_tests::wait::{self, Look};
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls" => in_chunks,
    "[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent [Slow]" => after_compaction,
    "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata" => no_table,
];

const OBJECTS: usize = 130;

/// Makes the objects, named so that their order is that of their numbers.
async fn fill(case: &Case, count: usize) -> Result<()> {
    let maps = case.core("configmaps");
    let create = |number: usize| {
        let maps = maps.clone();
        async move {
            case.create(
                &maps,
                &config_map(&format!("chunk-{number:04}"), "n", &number.to_string()),
            )
            .await
        }
    };
    futures::stream::iter((0..count).map(create))
        .buffer_unordered(16)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// The numbered ones of a page: a namespace also has what the controllers keep there.
fn numbered(page: &Value) -> Vec<String> {
    names(page)
        .into_iter()
        .filter(|name| name.starts_with("chunk-"))
        .collect()
}

async fn in_chunks(case: &Case) -> Result<()> {
    fill(case, OBJECTS).await?;
    let maps = case.core("configmaps");
    let whole = names(&case.get(&maps).await?);
    for limit in [1_usize, 17, OBJECTS - 1, OBJECTS + 50] {
        let (mut seen, mut token, mut version) = (Vec::new(), String::new(), String::new());
        loop {
            let page = case.get(&format!("{maps}?limit={limit}&continue={token}")).await?;
            let of_page = names(&page);
            ensure!(
                of_page.len() <= limit,
                "{} objects where {limit} were asked for",
                of_page.len()
            );
            seen.extend(of_page);
            let now = text(&page, "/metadata/resourceVersion").to_owned();
            ensure!(
                version.is_empty() || version == now,
                "all chunks are of one version: {version} and {now}"
            );
            version = now;
            token = text(&page, "/metadata/continue").to_owned();
            let remaining = page["metadata"]["remainingItemCount"].as_u64();
            if token.is_empty() {
                ensure!(remaining.is_none(), "nothing remains: {remaining:?}");
                break;
            }
            ensure!(
                remaining == Some((whole.len() - seen.len()) as u64),
                "{remaining:?} remain after {}",
                seen.len()
            );
        }
        ensure!(seen == whole, "chunks of {limit} give {seen:?}");
    }
    Ok(())
}

/// On a server of its own, whose history is short: compaction is then soon.
async fn after_compaction(case: &Case) -> Result<()> {
    let kind = if is_on_etcd(case).await? {
        Kind::Etcd
    } else {
        Kind::Embedded
    };
    let size = Size {
        servers: 1,
        controllers: 1,
        agents: 0,
    };
    let fleet = Box::pin(Fleet::start_with(kind, size, &["--history-retention", "1"])).await?;
    let case = Case::begin(fleet.cluster(), "compacted").await?;
    fill(&case, 40).await?;
    let maps = case.core("configmaps");
    let first = case.get(&format!("{maps}?limit=15")).await?;
    let token = text(&first, "/metadata/continue").to_owned();
    // Revisions must go by for there to be something to compact away.
    let mut round = 0;
    let refused = wait::until("the token to expire", SOON, async || {
        round += 1;
        case.create(&maps, &config_map(&format!("later-{round}"), "n", "0"))
            .await?;
        let path = format!("{maps}?limit=15&continue={token}");
        let answer = case.send(Method::GET, &path, None, Vec::new()).await?;
        let expired = answer.code == 410;
        Ok(if expired {
            Look::Done(answer.body)
        } else {
            Look::NotYet(format!("{}", answer.code))
        })
    })
    .await?;
    ensure!(refused["reason"] == "Expired", "{refused}");
    let fresh = text(&refused, "/metadata/continue");
    ensure!(!fresh.is_empty(), "the refusal has a token that goes on: {refused}");
    let mut seen = numbered(&first);
    let mut token = fresh.to_owned();
    let mut version = String::new();
    while !token.is_empty() {
        let page = case.get(&format!("{maps}?limit=15&continue={token}")).await?;
        seen.extend(numbered(&page));
        let now = text(&page, "/metadata/resourceVersion").to_owned();
        ensure!(
            now != text(&first, "/metadata/resourceVersion"),
            "it goes on at a later version"
        );
        ensure!(version.is_empty() || version == now, "the rest is of one version");
        version = now;
        token = text(&page, "/metadata/continue").to_owned();
        ensure!(names(&page).len() <= 15);
    }
    let expected: Vec<String> = (0..40).map(|number| format!("chunk-{number:04}")).collect();
    ensure!(seen == expected, "every object once: {seen:?}");
    case.end().await
}

/// Whether the server that a test was given is on etcd: its process was told so.
async fn is_on_etcd(case: &Case) -> Result<bool> {
    let directory = case
        .cluster
        .kubeconfig
        .parent()
        .context("a kubeconfig is in a directory")?;
    let embedded = tokio::fs::try_exists(directory.join("store")).await?;
    Ok(!embedded)
}

async fn no_table(case: &Case) -> Result<()> {
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "namespace": "default", "verb": "get", "resource": "configmaps" } },
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    let request = request
        .header("accept", table)
        .header("content-type", "application/json");
    let answer = case
        .answer(request.body(review.to_string().into_bytes().into())?)
        .await?;
    let status = answer.refused_saying(406, &["only the following media types are accepted"])?;
    ensure!(status["reason"] == "NotAcceptable", "{status}");
    let listed = case.get_as(&case.core("configmaps"), table).await?;
    ensure!(
        listed.code == 200 && listed.body["kind"] == "Table",
        "{:?}",
        listed.body
    );
    Ok(())
}
