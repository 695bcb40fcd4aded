//! [sig-api-machinery] AggregatedDiscovery, Discovery, server version. Upstream's tests look for every built-in group of
//! Kubernetes; these look for the ones that are here.

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::case::{Case, SOON, text};
use breakbulk_conformance::definition::{Definition, Storage, anything, version};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface" => interface,
    "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs" => interface_for_definitions,
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers" => accept_headers,
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs" => raw_for_definitions,
    "[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup" => every_group_version,
    "[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup" => preferred_versions,
    "[sig-api-machinery] server version should find the server version" => server_version,
];

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2_BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// What must be there: group, version and a resource of it.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "subjectaccessreviews"),
    ("breakbulk.dev", "v1", "jobs"),
    ("coordination.k8s.io", "v1", "leases"),
    ("events.k8s.io", "v1", "events"),
    ("rbac.authorization.k8s.io", "v1", "clusterroles"),
];

/// The documents of both roots as one: group, version, resource.
async fn aggregated(case: &Case, accept: &str) -> Result<Vec<(String, String, String)>> {
    let mut all = Vec::new();
    for root in ["/api", "/apis"] {
        let answer = case.get_as(root, accept).await?;
        ensure!(
            answer.code == 200 && answer.body["kind"] == "APIGroupDiscoveryList",
            "{root}: {}",
            answer.body
        );
        for group in answer.body["items"].as_array().context("no items")? {
            for version in group["versions"].as_array().context("no versions")? {
                ensure!(version["freshness"] == "Current", "{version}");
                for resource in version["resources"].as_array().context("no resources")? {
                    let of = |value: &Value, pointer: &str| text(value, pointer).to_owned();
                    ensure!(!text(resource, "/scope").is_empty(), "{resource}");
                    ensure!(!text(resource, "/responseKind/kind").is_empty(), "{resource}");
                    all.push((
                        of(group, "/metadata/name"),
                        of(version, "/version"),
                        of(resource, "/resource"),
                    ));
                }
            }
        }
    }
    Ok(all)
}

fn has(all: &[(String, String, String)], wanted: (&str, &str, &str)) -> bool {
    all.iter()
        .any(|(group, version, resource)| (group.as_str(), version.as_str(), resource.as_str()) == wanted)
}

async fn interface(case: &Case) -> Result<()> {
    let all = aggregated(case, V2).await?;
    ensure!(
        has(&all, ("", "v1", "configmaps")) && has(&all, ("", "v1", "namespaces")),
        "{all:?}"
    );
    for wanted in EXPECTED {
        ensure!(has(&all, *wanted), "{wanted:?} is not in {all:?}");
    }
    Ok(())
}

async fn accept_headers(case: &Case) -> Result<()> {
    for accept in [V2, V2_BETA] {
        for root in ["/api", "/apis"] {
            let answer = case.get_as(root, accept).await?;
            let media = answer
                .headers
                .get("content-type")
                .context("no Content-Type")?
                .to_str()?
                .to_owned();
            ensure!(media == accept, "{media} for {accept}");
            let version = format!("apidiscovery.k8s.io/{}", if accept == V2 { "v2" } else { "v2beta1" });
            ensure!(
                answer.body["apiVersion"] == version.as_str(),
                "{}",
                answer.body["apiVersion"]
            );
        }
        let all = aggregated(case, accept).await?;
        for wanted in EXPECTED {
            ensure!(has(&all, *wanted), "{wanted:?} is not in {all:?}");
        }
    }
    // Who asks for what is not there gets what is next in the header, and who asks for nothing the plain lists.
    let either = case
        .get_as(
            "/apis",
            &format!("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,{V2}"),
        )
        .await?;
    ensure!(
        either.body["kind"] == "APIGroupDiscoveryList",
        "{}",
        either.body["kind"]
    );
    for (root, kind) in [("/api", "APIVersions"), ("/apis", "APIGroupList")] {
        let plain = case.get_as(root, "application/json").await?;
        ensure!(plain.body["kind"] == kind, "{}", plain.body);
    }
    Ok(())
}

async fn appears(case: &Case, accept: &str) -> Result<()> {
    let definition = Definition::new(
        case,
        "Discovered",
        &json!([version("v1alpha2", Storage::Yes, &anything())]),
    );
    definition.install(case).await?;
    let wanted = (definition.group.as_str(), "v1alpha2", definition.plural.as_str());
    wait::until("the definition in discovery", SOON, async || {
        let found = has(&aggregated(case, accept).await?, wanted);
        Ok(Look::some(found.then_some(()), || "it is not there".to_owned()))
    })
    .await?;
    definition.remove(case).await?;
    wait::until("the definition out of discovery", SOON, async || {
        let found = has(&aggregated(case, accept).await?, wanted);
        Ok(Look::some((!found).then_some(()), || "it is still there".to_owned()))
    })
    .await
}

async fn interface_for_definitions(case: &Case) -> Result<()> {
    appears(case, V2).await
}

async fn raw_for_definitions(case: &Case) -> Result<()> {
    appears(case, V2_BETA).await
}

async fn every_group_version(case: &Case) -> Result<()> {
    let groups = case.get("/apis").await?;
    for group in groups["groups"].as_array().context("no groups")? {
        let name = text(group, "/name");
        // Other tests' definitions come and go.
        if name.ends_with("example.com") {
            continue;
        }
        let version = text(group, "/versions/0/version");
        ensure!(
            text(group, "/versions/0/groupVersion") == format!("{name}/{version}"),
            "{group}"
        );
        let list = case.get(&format!("/apis/{name}/{version}")).await?;
        ensure!(
            list["kind"] == "APIResourceList" && list["groupVersion"] == format!("{name}/{version}").as_str(),
            "{list}"
        );
        let resources = list["resources"].as_array().context("no resources")?;
        let whole = |r: &Value| {
            !text(r, "/name").is_empty()
                && !text(r, "/kind").is_empty()
                && r["verbs"].is_array()
                && r["singularName"].is_string()
        };
        ensure!(!resources.is_empty() && resources.iter().all(whole), "{list}");
    }
    Ok(())
}

async fn preferred_versions(case: &Case) -> Result<()> {
    let groups = case.get("/apis").await?;
    for group in groups["groups"].as_array().context("no groups")? {
        let name = text(group, "/name");
        if name.ends_with("example.com") {
            continue;
        }
        let own = case.get(&format!("/apis/{name}")).await?;
        let preferred = &own["preferredVersion"];
        ensure!(
            text(preferred, "/groupVersion") == format!("{name}/{}", text(preferred, "/version")),
            "{own}"
        );
        ensure!(
            own["versions"].as_array().is_some_and(|all| all.contains(preferred)),
            "{own}"
        );
    }
    Ok(())
}

async fn server_version(case: &Case) -> Result<()> {
    for path in ["/version", "/version/"] {
        let version = case.get(path).await?;
        for part in ["/major", "/minor"] {
            ensure!(
                text(&version, part).parse::<u32>().is_ok(),
                "{part} is not a number: {version}"
            );
        }
        ensure!(text(&version, "/gitVersion").starts_with('v'), "{version}");
    }
    Ok(())
}
