//! Discovery: what the server serves, told to clients in the two forms they know. Legacy (`/api`, `/apis`, one document
//! for each group and version) and aggregated (everything in two documents). Both are views of the registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::{Resource, Subresource, Table};
use crate::reviews::{self, Review};

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
pub fn api_versions(_: &Table) -> Value {
    let addresses = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]);
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses})
}

/// `/apis`.
pub fn groups(table: &Table) -> Value {
    let groups: Vec<Value> = versions_by_group(table)
        .iter()
        .map(|(name, versions)| describe(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(table: &Table, name: &str) -> Option<Value> {
    let versions = versions_by_group(table);
    let (_, versions) = versions.iter().find(|(group, _)| group == name)?;
    let mut group = describe(name, versions);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(group)
}

/// `/api/v1` (an empty group) and `/apis/GROUP/VERSION`.
pub fn resources(table: &Table, group: &str, version: &str) -> Option<Value> {
    let of_group: Vec<_> = in_version(table, group, version).collect();
    if of_group.is_empty() && asked_in(group, version).next().is_none() {
        return None;
    }
    let mut list: Vec<Value> = of_group.iter().flat_map(|resource| legacy(resource)).collect();
    list.extend(asked_in(group, version).map(legacy_review));
    let name = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": list}))
}

/// `/api`, aggregated.
pub fn aggregated_core(table: &Table, format: Format) -> Value {
    let item = aggregated_group(table, "", &["v1".to_owned()]);
    aggregated(format, &[item])
}

/// `/apis`, aggregated.
pub fn aggregated_groups(table: &Table, format: Format) -> Value {
    let groups = versions_by_group(table);
    let items: Vec<Value> = groups
        .iter()
        .map(|(name, versions)| aggregated_group(table, name, versions))
        .collect();
    aggregated(format, &items)
}

/// The named groups with their versions, in the order of the names: stable from one answer to the next. Ours is the first:
/// of two kinds of one name (`jobs`) clients take that of the group that they hear of first.
fn versions_by_group(table: &Table) -> Vec<(String, Vec<String>)> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let resources = table.resources().iter();
    let kept = resources.map(|resource| (resource.group.as_str(), resource.version.as_str()));
    let asked = reviews::ALL.iter().map(|review| (review.group, review.version));
    for (group, version) in kept.chain(asked).filter(|(group, _)| !group.is_empty()) {
        let versions = groups.entry(group.to_owned()).or_default();
        if !versions.iter().any(|own| own == version) {
            versions.push(version.to_owned());
        }
    }
    groups
        .values_mut()
        .for_each(|versions| versions.sort_by_key(|version| std::cmp::Reverse(rank(version))));
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(group, _)| group != breakbulk_schemas::GROUP);
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

fn in_version<'a>(table: &'a Table, group: &str, version: &str) -> impl Iterator<Item = &'a Arc<Resource>> {
    table
        .resources()
        .iter()
        .filter(move |resource| resource.group == group && resource.version == version)
}

/// What is asked and not kept, of a group and version.
fn asked_in(group: &str, version: &str) -> impl Iterator<Item = &'static Review> {
    reviews::ALL
        .iter()
        .filter(move |review| review.group == group && review.version == version)
}

fn legacy_review(review: &Review) -> Value {
    let Some(subresource) = review.subresource else {
        return json!({
            "name": review.plural,
            "singularName": review.kind.to_lowercase(),
            "namespaced": review.namespaced,
            "kind": review.kind,
            "verbs": reviews::VERBS,
        });
    };
    json!({
        "name": format!("{}/{subresource}", review.plural),
        "singularName": "",
        "namespaced": review.namespaced,
        "group": review.kind_group,
        "version": review.kind_version,
        "kind": review.kind,
        "verbs": reviews::VERBS,
    })
}

fn kind_of_review(review: &Review) -> Value {
    json!({"group": review.kind_group, "version": review.kind_version, "kind": review.kind})
}

fn aggregated_review(review: &Review) -> Value {
    json!({
        "resource": review.plural,
        "responseKind": kind_of_review(review),
        "scope": if review.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": review.kind.to_lowercase(),
        "verbs": reviews::VERBS,
    })
}

fn legacy(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
        "storageVersionHash": storage_version_hash(resource),
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    let below = resource.subresources.iter().map(|sub| {
        let mut entry = json!({
            "name": format!("{}/{}", resource.plural, sub.what.name()),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": sub.kind.map_or(resource.kind.as_str(), |own| own.kind),
            "verbs": sub.verbs,
        });
        if let Some(own) = sub.kind {
            entry["group"] = json!(own.group);
            entry["version"] = json!(own.version);
        }
        entry
    });
    std::iter::once(main).chain(below).collect()
}

/// What a client sees change when objects are stored in another version (`endpoints/discovery/storageversionhash.go`).
fn storage_version_hash(resource: &Resource) -> String {
    let stored = &resource.storage.api_version;
    let group = if stored.contains('/') { "" } else { "/" };
    let digest = Sha256::digest(format!("{group}{stored}/{}", resource.kind));
    STANDARD.encode(&digest[..8])
}

fn aggregated(format: Format, items: &[Value]) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", format.version()),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(table: &Table, group: &str, versions: &[String]) -> Value {
    let version = |version: &String| {
        let kept = in_version(table, group, version).map(|resource| aggregated_resource(resource));
        let asked = asked_in(group, version).filter(|review| review.subresource.is_none());
        let resources: Vec<Value> = kept.chain(asked.map(aggregated_review)).collect();
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
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresource = |sub: &Subresource| {
        let own = sub
            .kind
            .map(|own| json!({"group": own.group, "version": own.version, "kind": own.kind}));
        let kind = own.unwrap_or_else(|| kind.clone());
        json!({"subresource": sub.what.name(), "responseKind": kind, "verbs": sub.verbs})
    };
    let asked = asked_in(&resource.group, &resource.version).filter(|review| review.plural == resource.plural);
    let asked = asked.filter_map(|review| {
        let subresource = review.subresource?;
        Some(json!({
            "subresource": subresource,
            "responseKind": kind_of_review(review),
            "verbs": reviews::VERBS,
        }))
    });
    let kept = resource.subresources.iter().map(subresource);
    let below: Vec<Value> = kept.chain(asked).collect();
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
    fn a_storage_version_has_the_hash_that_upstream_gives_it() {
        let table = crate::registry::Registry::new().table();
        let legacy = resources(&table, "", "v1").unwrap();
        let all = legacy["resources"].as_array().unwrap();
        let maps = all.iter().find(|r| r["name"] == "configmaps").unwrap();
        assert_eq!(maps["storageVersionHash"], "qFsyl6wFWjQ=");
    }

    #[test]
    fn both_forms_tell_of_the_same_resources() {
        let table = crate::registry::Registry::new().table();
        let legacy = resources(&table, "breakbulk.dev", "v1").unwrap();
        let aggregated = aggregated_groups(&table, Format::V2);
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
        assert!(resources(&table, "nobody.dev", "v1").is_none());
        assert_eq!(
            group(&table, "breakbulk.dev").unwrap()["preferredVersion"]["version"],
            "v1"
        );
    }
}
