//! CustomResourceDefinitions that tests bring.

use anyhow::Result;
use breakbulk_tests::wait::{self, Look};
use serde_json::{Value, json};

use crate::case::{Case, SOON};

/// A definition and the words to reach its objects by.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The group, of this test alone.
    pub group: String,
    /// The plural.
    pub plural: String,
    /// The kind.
    pub kind: String,
    /// The object.
    pub object: Value,
}

impl Definition {
    /// A namespaced kind of a group of its own, with versions as they stand in the definition.
    pub fn new(case: &Case, kind: &str, versions: &Value) -> Self {
        Self::of_group(&format!("{}.example.com", case.unique("e2e")), kind, versions)
    }

    /// The same in a group.
    pub fn of_group(group: &str, kind: &str, versions: &Value) -> Self {
        let singular = kind.to_lowercase();
        let plural = format!("{singular}s");
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": {
                "group": group, "scope": "Namespaced", "versions": versions,
                "names": { "plural": plural, "singular": singular, "kind": kind, "listKind": format!("{kind}List") },
            },
        });
        Self {
            group: group.to_owned(),
            plural,
            kind: kind.to_owned(),
            object,
        }
    }

    /// `plural.group`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Its own path.
    pub fn path(&self) -> String {
        format!("{DEFINITIONS}/{}", self.name())
    }

    /// The path of its objects in a version, in the test's namespace.
    pub fn objects(&self, case: &Case, version: &str) -> String {
        case.group(&format!("{}/{version}", self.group), &self.plural)
    }

    /// An object of it.
    pub fn object(&self, version: &str, name: &str) -> Value {
        json!({ "apiVersion": format!("{}/{version}", self.group), "kind": self.kind, "metadata": { "name": name } })
    }

    /// Creates it and waits until its objects are served.
    ///
    /// # Errors
    /// When the server refuses, or does not serve it for long.
    pub async fn install(&self, case: &Case) -> Result<Value> {
        case.create(DEFINITIONS, &self.object).await?;
        let established = |object: &Value| {
            let conditions = object["status"]["conditions"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            conditions
                .iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True")
        };
        let installed = case.until(&self.path(), "to be established", established).await?;
        let versions = self.object["spec"]["versions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for version in versions.iter().filter(|version| version["served"] == true) {
            self.served(case, version["name"].as_str().unwrap_or_default()).await?;
        }
        Ok(installed)
    }

    /// Waits until a version's objects are served.
    ///
    /// # Errors
    /// When they are not for long.
    pub async fn served(&self, case: &Case, version: &str) -> Result<()> {
        let path = self.objects(case, version);
        wait::until(format!("{path} to be served"), SOON, async || {
            case.get(&path).await.map(|_| Look::Done(()))
        })
        .await
    }

    /// Deletes it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove(&self, case: &Case) -> Result<()> {
        case.delete(&self.path()).await.map(drop)
    }
}

/// Where definitions are.
pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A version that is served.
pub fn version(name: &str, storage: Storage, schema: &Value) -> Value {
    json!({ "name": name, "served": true, "storage": storage == Storage::Yes, "schema": { "openAPIV3Schema": schema } })
}

/// Whether objects are stored in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// A schema that keeps everything.
pub fn anything() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
