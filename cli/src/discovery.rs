//! Which kinds the server serves, and by which names people call them.

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::server::{JSON, Server};

/// Everything at once, where the server can; else the list of groups.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// A kind, as the server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) listable: bool,
    /// Whether any can be made: some kinds are known to the server by name only.
    pub(crate) creatable: bool,
}

/// All kinds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources(Vec<Resource>);

impl Resource {
    /// `apiVersion`, as objects carry it.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Its name with the group, as kubectl prints it: `pipelines.breakbulk.dev`; our own and core kinds without.
    pub(crate) fn display(&self) -> String {
        let singular = self.kind.to_lowercase();
        match self.group.as_str() {
            // The word everybody says, and all other verbs print.
            breakbulk_schemas::GROUP if singular == "pipelinerun" => "run".to_owned(),
            "" | breakbulk_schemas::GROUP => singular,
            group => format!("{singular}.{group}"),
        }
    }

    /// The path of all its objects, in a namespace or in all of them.
    pub(crate) fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace {
            Some(namespace) if self.namespaced => format!("{root}/namespaces/{namespace}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }

    /// The path of one object.
    pub(crate) fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(Some(namespace)))
    }

    fn answers_to(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').unwrap_or((word, ""));
        let name = name.to_lowercase();
        let named = self.plural == name
            || self.singular == name
            || self.kind.to_lowercase() == name
            || self
                .short
                .iter()
                .any(|short| *short == name || format!("{short}s") == name);
        let version_and_group = format!("{}.{}", self.version, self.group);
        named && (group.is_empty() || group == self.group || group == version_and_group.trim_end_matches('.'))
    }

    /// Our own kinds come first, then core, then the others: `jobs` is ours, `events` is core's.
    fn rank(&self) -> u8 {
        match self.group.as_str() {
            breakbulk_schemas::GROUP => 0,
            "" => 1,
            _ => 2,
        }
    }
}

impl Resources {
    /// Asks the server.
    pub(crate) async fn load(server: &Server) -> Result<Self, Failure> {
        let doing = || Failure::server("find out which kinds the server has");
        let mut all = Vec::new();
        for root in ["/apis", "/api"] {
            let answer = server.get(root, AGGREGATED).await.map_err(doing())?;
            if answer["kind"] == "APIGroupDiscoveryList" {
                all.extend(aggregated(&answer));
                continue;
            }
            for (path, group, version) in group_versions(root, &answer) {
                let list = server.get(&path, JSON).await.map_err(doing())?;
                all.extend(legacy(&list, &group, &version));
            }
        }
        all.sort_by_key(Resource::rank);
        Ok(Self(all))
    }

    /// The kind that people call so.
    pub(crate) fn find(&self, word: &str) -> Result<&Resource, Failure> {
        self.0.iter().find(|resource| resource.answers_to(word)).ok_or_else(|| {
            let there = self.0.iter().filter(|kind| kind.listable && kind.creatable);
            let mut names: Vec<_> = there.map(|kind| kind.plural.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            Failure::said(format!("the server has no kind {word:?}; it has {}", names.join(", ")))
        })
    }

    /// The kinds of a category; `all` is everything that belongs to CI/CD.
    pub(crate) fn category(&self, word: &str) -> Vec<&Resource> {
        let category = if word == "all" { "ci" } else { word };
        let belongs = |r: &&Resource| r.listable && r.categories.iter().any(|c| c == category || c == word);
        self.0.iter().filter(belongs).collect()
    }

    /// The kind of an object by its own words.
    pub(crate) fn of(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.0.iter().find(|r| r.kind == kind && r.api_version() == api_version)
    }

    /// The kinds of a version, for suggestions.
    pub(crate) fn kinds(&self, api_version: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|r| r.api_version() == api_version)
            .map(|r| r.kind.as_str())
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryResource {
    resource: String,
    #[serde(default)]
    singular_resource: String,
    response_kind: Option<Value>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyResource {
    name: String,
    #[serde(default)]
    singular_name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

fn aggregated(answer: &Value) -> Vec<Resource> {
    let mut all = Vec::new();
    for group in items(&answer["items"]) {
        // The first version is the preferred one.
        let Some(version) = items(&group["versions"]).first() else {
            continue;
        };
        for resource in items(&version["resources"]) {
            let Ok(found) = DiscoveryResource::deserialize(resource) else {
                continue;
            };
            let kind = found
                .response_kind
                .as_ref()
                .and_then(|k| k["kind"].as_str())
                .unwrap_or_default();
            all.push(Resource {
                group: text(&group["metadata"]["name"]),
                version: text(&version["version"]),
                kind: kind.to_owned(),
                plural: found.resource,
                singular: found.singular_resource,
                short: found.short_names,
                categories: found.categories,
                namespaced: found.scope == "Namespaced",
                listable: found.verbs.iter().any(|verb| verb == "list"),
                creatable: found.verbs.iter().any(|verb| verb == "create"),
            });
        }
    }
    all
}

/// Path, group and preferred version of each group that a legacy answer names.
fn group_versions(root: &str, answer: &Value) -> Vec<(String, String, String)> {
    if root == "/api" {
        let versions = items(&answer["versions"]).iter().map(text);
        return versions.map(|v| (format!("/api/{v}"), String::new(), v)).collect();
    }
    let groups = items(&answer["groups"]).iter();
    let versions = groups.map(|group| (text(&group["name"]), text(&group["preferredVersion"]["version"])));
    versions
        .map(|(group, version)| (format!("/apis/{group}/{version}"), group, version))
        .collect()
}

fn legacy(list: &Value, group: &str, version: &str) -> Vec<Resource> {
    let found = items(&list["resources"])
        .iter()
        .filter_map(|resource| LegacyResource::deserialize(resource).ok());
    let whole = found.filter(|found| !found.name.contains('/'));
    let resource = |found: LegacyResource| Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: found.kind,
        plural: found.name,
        singular: found.singular_name,
        short: found.short_names,
        categories: found.categories,
        namespaced: found.namespaced,
        listable: found.verbs.iter().any(|verb| verb == "list"),
        creatable: found.verbs.iter().any(|verb| verb == "create"),
    };
    whole.map(resource).collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
