//! Schemas without references: what is known of a kind's objects, in one piece, for whoever cannot look definitions up.
//!
//! The rules are those of `k8s.io/apiserver/pkg/cel/openapi/resolver`.

use serde_json::{Map, Value, json};

use super::builtin::{self, PREFIX};
use super::custom::{self, Form};
use crate::registry::{Body, Resource};

/// A kind whose definitions hold those of metadata.
const HAS_METADATA: (&str, &str) = ("", "Namespace");

/// The schema of a kind; none where nothing is known of its objects. It is made for whoever asks, and large.
pub(crate) fn whole(resource: &Resource) -> Option<Value> {
    if let Some(definition) = resource.definition() {
        let raw = Some(definition.raw.value()).filter(Value::is_object)?;
        let definitions = builtin::definitions_of(HAS_METADATA.0, HAS_METADATA.1);
        return Some(filled(&custom::full(&raw, Form::V3), &definitions, &mut Vec::new()));
    }
    if matches!(resource.body, Body::Absent) {
        return None;
    }
    let name = builtin::schema_name(&resource.group, &resource.version, &resource.kind)?;
    let definitions = builtin::definitions_of(&resource.group, &resource.kind);
    Some(filled(definitions.get(&name)?, &definitions, &mut vec![name]))
}

/// The definition that a schema stands for. To be described a reference is wrapped in `allOf`.
fn referred(schema: &Value) -> Option<&str> {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return target.strip_prefix(PREFIX);
    }
    schema.get("allOf")?.as_array()?.iter().find_map(referred)
}

/// Puts in what a schema refers to. One that is within itself is an object of which nothing is known.
fn filled(schema: &Value, definitions: &Map<String, Value>, within: &mut Vec<String>) -> Value {
    let Some(name) = referred(schema) else {
        return inside(schema, definitions, within);
    };
    if within.iter().any(|outer| outer == name) {
        return json!({"type": "object"});
    }
    within.push(name.to_owned());
    let known = definitions.get(name);
    let filled = known.map_or_else(|| json!({"type": "object"}), |known| filled(known, definitions, within));
    within.pop();
    filled
}

fn inside(schema: &Value, definitions: &Map<String, Value>, within: &mut Vec<String>) -> Value {
    let mut whole = schema.clone();
    custom::below(&mut whole, &mut |inner| *inner = filled(inner, definitions, within));
    // What definitions say with an extension, Kubernetes' own kinds say with a format.
    if whole.get("format").is_some_and(|format| format == "int-or-string") {
        whole["x-kubernetes-int-or-string"] = json!(true);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn nothing_is_left_to_look_up() {
        let registry = Registry::new();
        let table = registry.table();
        let known: Vec<(String, Value)> = table
            .resources()
            .iter()
            .filter_map(|row| Some((row.kind.clone(), whole(row)?)))
            .collect();
        for kind in [
            "ConfigMap",
            "Node",
            "Pod",
            "CustomResourceDefinition",
            "Pipeline",
            "Event",
        ] {
            let (_, schema) = known.iter().find(|(known, _)| known == kind).unwrap();
            assert!(!schema.to_string().contains("\"$ref\":\"#"), "{kind}");
            let labels = &schema["properties"]["metadata"]["properties"]["labels"];
            assert_eq!(labels["additionalProperties"]["type"], "string", "{kind}");
        }
    }
}
