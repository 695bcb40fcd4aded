//! OpenAPI v3: what `kubectl explain` shows, and what tells clients that this server validates fields itself. One
//! document for each group and version, made from the registry when it is first asked for and kept as bytes.
//!
//! Schemas of our kinds come from their definitions, those of Kubernetes' own from k8s-openapi.

pub mod builtin;
mod facts;
mod paths;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::registry::{Body, Registry, Resource};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents.";

/// A document, ready to be sent.
#[derive(Clone, Debug)]
pub struct Document {
    /// JSON.
    pub bytes: Bytes,
    /// Of its content: the `hash` of its URL, and its ETag.
    pub hash: String,
}

/// The documents of a registry.
#[derive(Debug, Default)]
pub struct OpenApi {
    documents: BTreeMap<String, Document>,
}

impl OpenApi {
    /// Makes all documents. It takes some milliseconds and half a megabyte: do it when somebody asks.
    pub fn build(registry: &Registry) -> Self {
        let mut by_version: BTreeMap<String, Vec<&Arc<Resource>>> = BTreeMap::new();
        for resource in registry.resources() {
            by_version
                .entry(place(&resource.group, &resource.version))
                .or_default()
                .push(resource);
        }
        let documents = by_version
            .into_iter()
            .map(|(place, resources)| (place, document(&resources)))
            .collect();
        Self { documents }
    }

    /// `/openapi/v3`: where the documents are.
    pub fn index(&self) -> Value {
        let entry = |(place, document): (&String, &Document)| {
            let url = format!("/openapi/v3/{place}?hash={}", document.hash);
            (place.clone(), json!({"serverRelativeURL": url}))
        };
        json!({"paths": self.documents.iter().map(entry).collect::<Map<_, _>>()})
    }

    /// The document at `api/v1` or `apis/GROUP/VERSION`.
    pub fn document(&self, place: &str) -> Option<&Document> {
        self.documents.get(place)
    }
}

fn place(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn document(resources: &[&Arc<Resource>]) -> Document {
    let mut schemas = builtin::definitions().clone();
    let mut all_paths = Map::new();
    for resource in resources {
        let name = schema_name(resource);
        if let Body::Schema(definition) = resource.body {
            schemas.insert(name.clone(), custom(&definition()));
        }
        if let Some(Value::Object(schema)) = schemas.get_mut(&name) {
            schema.insert(
                "x-kubernetes-group-version-kind".to_owned(),
                json!([kind(resource, &resource.kind)]),
            );
        }
        schemas.insert(format!("{name}List"), list(resource, &name));
        all_paths.extend(paths::of(resource, &name));
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Breakbulk", "version": env!("CARGO_PKG_VERSION")},
        "paths": all_paths,
        "components": {"schemas": schemas},
    });
    let bytes = Bytes::from(document.to_string());
    let digest = Sha256::digest(&bytes);
    let hash = digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect();
    Document { bytes, hash }
}

fn kind(resource: &Resource, kind: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": kind})
}

/// `dev.breakbulk.v1.Job`, `io.k8s.api.core.v1.Node`: groups read backwards, as upstream names its definitions.
fn schema_name(resource: &Resource) -> String {
    if resource.is_typed() {
        return builtin::schema_name(&resource.group, &resource.version, &resource.kind).unwrap();
    }
    let mut parts: Vec<&str> = resource.group.split('.').rev().collect();
    parts.extend([resource.version.as_str(), resource.kind.as_str()]);
    parts.join(".")
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A definition's schema with what every object has.
fn custom(definition: &CustomResourceDefinition) -> Value {
    let version = definition.spec.versions.first();
    let schema = version
        .and_then(|v| v.schema.as_ref())
        .and_then(|s| s.open_api_v3_schema.as_ref());
    let mut schema = schema
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_else(|| json!({"type": "object"}));
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    schema["properties"]["kind"] = json!({"type": "string", "description": KIND});
    schema["properties"]["metadata"] = json!({
        "description": "Standard object's metadata.",
        "allOf": [reference(OBJECT_META)],
    });
    schema
}

fn list(resource: &Resource, item: &str) -> Value {
    json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"description": "Standard list metadata.", "allOf": [reference(LIST_META)]},
            "items": {"type": "array", "description": "The objects.", "items": reference(item)},
        },
        "x-kubernetes-group-version-kind": [kind(resource, &resource.list_kind)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(place: &str) -> Value {
        let api = OpenApi::build(&Registry::new());
        serde_json::from_slice(&api.document(place).unwrap().bytes).unwrap()
    }

    #[test]
    fn the_patch_operation_lists_what_kubectl_looks_for() {
        let document = parsed("apis/breakbulk.dev/v1");
        let patch = &document["paths"]["/apis/breakbulk.dev/v1/namespaces/{namespace}/jobs/{name}"]["patch"];
        let names: Vec<_> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        assert!(
            names.contains(&"fieldValidation") && names.contains(&"dryRun"),
            "{names:?}"
        );
        // A map on operations, a list on schemas: clients trip over the other way round.
        assert!(patch["x-kubernetes-group-version-kind"].is_object());
        let job = &document["components"]["schemas"]["dev.breakbulk.v1.Job"];
        assert!(job["x-kubernetes-group-version-kind"].is_array());
        assert!(job["properties"]["spec"]["properties"]["script"]["description"].is_string());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|inner| references(inner, found));
                }
                Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
                _ => {}
            }
        }
        let api = OpenApi::build(&Registry::new());
        for (place, document) in &api.documents {
            let document: Value = serde_json::from_slice(&document.bytes).unwrap();
            let mut found = Vec::new();
            references(&document, &mut found);
            for reference in found {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(
                    document.pointer(pointer).is_some(),
                    "{place}: {reference} leads nowhere"
                );
            }
        }
    }

    #[test]
    fn the_index_names_every_document_with_its_hash() {
        let api = OpenApi::build(&Registry::new());
        let index = api.index();
        let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
        assert_eq!(
            url,
            format!("/openapi/v3/api/v1?hash={}", api.document("api/v1").unwrap().hash)
        );
        assert!(parsed("api/v1")["components"]["schemas"]["io.k8s.api.core.v1.Node"].is_object());
    }
}
