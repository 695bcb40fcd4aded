//! Discovery: what the server serves, told to clients in the two forms they know. Legacy (`/api`, `/apis`, one document
//! for each group and version) and aggregated (everything in two documents). Both are views of the registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::registry::{Registry, Resource};

/// The Kubernetes version whose API is spoken. Clients print a warning when it is far from theirs, and some gate
/// features on it.
const MINOR: &str = "33";

/// The aggregated form's version: kubectl up to 1.29 asks for the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `apidiscovery.k8s.io/v2`.
    V2,
    /// `apidiscovery.k8s.io/v2beta1`.
    V2Beta1,
}

impl Format {
    /// The version's name.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }
}

const READ_WRITE: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// `/version`.
pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+breakbulk-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/api`.
pub fn api_versions(_: &Registry) -> Value {
    let addresses = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]);
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses})
}

/// `/apis`.
pub fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = versions_by_group(registry)
        .iter()
        .map(|(name, versions)| describe(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    let versions = versions_by_group(registry);
    let mut group = describe(name, versions.get(name)?);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(group)
}

/// `/api/v1` (an empty group) and `/apis/GROUP/VERSION`.
pub fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let of_group: Vec<_> = in_version(registry, group, version).collect();
    if of_group.is_empty() {
        return None;
    }
    let list: Vec<Value> = of_group.iter().flat_map(|resource| legacy(resource)).collect();
    let name = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": list}))
}

/// `/api`, aggregated.
pub fn aggregated_core(registry: &Registry, format: Format) -> Value {
    let item = aggregated_group(registry, "", &["v1".to_owned()]);
    aggregated(format, &[item])
}

/// `/apis`, aggregated.
pub fn aggregated_groups(registry: &Registry, format: Format) -> Value {
    let groups = versions_by_group(registry);
    let items: Vec<Value> = groups
        .iter()
        .map(|(name, versions)| aggregated_group(registry, name, versions))
        .collect();
    aggregated(format, &items)
}

/// The named groups with their versions, in the order of the names: stable from one answer to the next.
fn versions_by_group(registry: &Registry) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in registry
        .resources()
        .iter()
        .filter(|resource| !resource.group.is_empty())
    {
        let versions = groups.entry(resource.group.clone()).or_default();
        if !versions.contains(&resource.version) {
            versions.push(resource.version.clone());
        }
    }
    groups
        .values_mut()
        .for_each(|versions| versions.sort_by_key(|version| std::cmp::Reverse(rank(version))));
    groups
}

/// Kubernetes' order of versions: `v2` before `v1` before `v1beta2` before `v1alpha1` before anything else.
pub(crate) fn rank(version: &str) -> (u8, u32, u32) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..end].parse().ok()?;
        let suffix = &rest[end..];
        match (suffix, suffix.strip_prefix("beta"), suffix.strip_prefix("alpha")) {
            ("", _, _) => Some((3, major, 0)),
            (_, Some(minor), _) => Some((2, major, minor.parse().ok()?)),
            (_, _, Some(minor)) => Some((1, major, minor.parse().ok()?)),
            _ => None,
        }
    };
    parse().unwrap_or((0, 0, 0))
}

fn describe(name: &str, versions: &[String]) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

fn in_version<'a>(registry: &'a Registry, group: &str, version: &str) -> impl Iterator<Item = &'a Arc<Resource>> {
    registry
        .resources()
        .iter()
        .filter(move |resource| resource.group == group && resource.version == version)
}

/// Subresources with the verbs they take.
fn subresources(resource: &Resource) -> Vec<(&'static str, &'static [&'static str])> {
    let has = resource.subresources;
    let all: [(bool, &str, &[&str]); 3] = [
        (has.status, "status", &["get", "patch", "update"]),
        (has.finalize, "finalize", &["update"]),
        (has.log, "log", &["get"]),
    ];
    all.into_iter()
        .filter(|(there, _, _)| *there)
        .map(|(_, name, verbs)| (name, verbs))
        .collect()
}

fn legacy(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": READ_WRITE,
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    let below = subresources(resource).into_iter().map(|(name, verbs)| {
        json!({
            "name": format!("{}/{name}", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": verbs,
        })
    });
    std::iter::once(main).chain(below).collect()
}

fn aggregated(format: Format, items: &[Value]) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", format.version()),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(registry: &Registry, group: &str, versions: &[String]) -> Value {
    let version = |version: &String| {
        let resources: Vec<Value> = in_version(registry, group, version)
            .map(|resource| aggregated_resource(resource))
            .collect();
        json!({"version": version, "freshness": "Current", "resources": resources})
    };
    let versions: Vec<Value> = versions.iter().map(version).collect();
    let metadata = if group.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": READ_WRITE,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let below: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, verbs)| json!({"subresource": name, "responseKind": kind, "verbs": verbs}))
        .collect();
    if !below.is_empty() {
        entry["subresources"] = json!(below);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_kubernetes_order() {
        let mut versions = ["v1alpha1", "v10", "foo", "v1beta2", "v2", "v1", "v1beta10"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"]);
    }

    #[test]
    fn both_forms_tell_of_the_same_resources() {
        let registry = Registry::new();
        let legacy = resources(&registry, "breakbulk.dev", "v1").unwrap();
        let aggregated = aggregated_groups(&registry, Format::V2);
        let names = |list: &Value, field: &str| -> Vec<String> {
            let all = list
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r[field].as_str().unwrap().to_owned());
            all.filter(|name| !name.contains('/')).collect()
        };
        let item = aggregated["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|i| i["metadata"]["name"] == "breakbulk.dev")
            .unwrap();
        assert_eq!(
            names(&legacy["resources"], "name"),
            names(&item["versions"][0]["resources"], "resource")
        );
        assert!(
            legacy["resources"]
                .as_array()
                .unwrap()
                .iter()
                .any(|r| r["name"] == "jobs/log")
        );
        assert!(resources(&registry, "nobody.dev", "v1").is_none());
        assert_eq!(
            group(&registry, "breakbulk.dev").unwrap()["preferredVersion"]["version"],
            "v1"
        );
    }
}
