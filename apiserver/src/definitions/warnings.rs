//! What a definition's author is told although it is taken.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::check::Written;
use crate::schema::is_known_format;

/// Formats that nobody checks, and sets of what cannot be merged; of an update only what is new.
pub fn warnings(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Vec<String> {
    let before = old.map(of).unwrap_or_default();
    of(new)
        .into_iter()
        .filter(|warning| !before.contains(warning))
        .collect()
}

fn of(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for version in &crd.spec.versions {
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref());
        let Some(schema) = schema.and_then(|schema| serde_json::to_value(schema).ok()) else {
            continue;
        };
        Written(&schema).all(&mut |schema| {
            let format = schema.text("format");
            if !format.is_empty() && !is_known_format(format, schema.type_()) {
                found.insert(format!("unrecognized format {format:?}"));
            }
            let items = schema.schema("items").map(Written::type_).unwrap_or_default();
            if schema.text("x-kubernetes-list-type") == "set" && matches!(items, "object" | "array") {
                found.insert(format!(
                    "x-kubernetes-list-type: set for items of type {items:?} is not supported by server-side apply or \
                     CEL validation rules"
                ));
            }
        });
    }
    found
}
