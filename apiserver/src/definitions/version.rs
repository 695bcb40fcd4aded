//! The parts of a version beside its schema: deprecation, subresources, columns, selectable fields; and the extensions
//! of a schema that say how lists and maps are merged.

use std::collections::HashSet;

use breakbulk_schemas::field::{ErrorKind, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinitionVersion, CustomResourceSubresources, SelectableField,
};
use serde_json::Value;

use super::check::{Mistakes, Written, child, key};
use super::path::{Brackets, follow};

const SELECTABLE: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

pub(super) fn deprecation(version: &CustomResourceDefinitionVersion, path: &Path, mistakes: &mut Mistakes) {
    let Some(warning) = version.deprecation_warning.as_deref() else {
        return;
    };
    let at = || path.child("deprecationWarning");
    let mut tell = |detail: &str| mistakes.invalid(at(), warning, detail);
    if version.deprecated != Some(true) {
        tell("can only be set for deprecated versions");
        return;
    }
    if warning.len() > 256 {
        tell("must be <= 256 characters long");
    }
    if warning.is_empty() {
        tell("must not be an empty string");
    }
    let hidden = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    if let Some((index, _)) = warning.char_indices().find(|(_, c)| hidden(*c)) {
        tell(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        ));
    }
}

/// A path of names: `.spec.replicas`.
fn simple_path(text: &str, at: &Path, mistakes: &mut Mistakes) -> bool {
    let fits = text.starts_with('.');
    if !fits {
        mistakes.invalid(at.clone(), text, "must be a simple json path starting with .");
    }
    fits
}

pub(super) fn subresources(subresources: &CustomResourceSubresources, path: &Path, mistakes: &mut Mistakes) {
    let Some(scale) = &subresources.scale else { return };
    let at = |field: &str| Path::root(&format!("{path}.scale.{field}"));
    let mut replicas = |field: &str, given: &str, below: &str| {
        if given.is_empty() {
            mistakes.required(at(field), "");
        } else if simple_path(given, &at(field), mistakes) && !given.starts_with(&format!("{below}.")) {
            mistakes.invalid(at(field), given, format!("should be a json path under {below}"));
        }
    };
    replicas("specReplicasPath", &scale.spec_replicas_path, ".spec");
    replicas("statusReplicasPath", &scale.status_replicas_path, ".status");
    if let Some(selector) = scale.label_selector_path.as_deref().filter(|path| !path.is_empty())
        && simple_path(selector, &at("labelSelectorPath"), mistakes)
        && !selector.starts_with(".spec.")
        && !selector.starts_with(".status.")
    {
        let detail = "should be a json path under either .spec or .status";
        mistakes.invalid(at("labelSelectorPath"), selector, detail);
    }
}

pub(super) fn columns(columns: &[CustomResourceColumnDefinition], path: &Path, mistakes: &mut Mistakes) {
    for (index, column) in columns.iter().enumerate() {
        let path = path.index(index);
        if column.name.is_empty() {
            mistakes.required(path.child("name"), "");
        }
        let one_of = format!("must be one of {}", COLUMN_TYPES.join(","));
        if column.type_.is_empty() {
            mistakes.required(path.child("type"), one_of);
        } else if !COLUMN_TYPES.contains(&column.type_.as_str()) {
            mistakes.invalid(path.child("type"), column.type_.as_str(), one_of);
        }
        let format = column.format.as_deref().unwrap_or_default();
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let one_of = format!("must be one of {}", COLUMN_FORMATS.join(","));
            mistakes.invalid(path.child("format"), format, one_of);
        }
        if column.json_path.is_empty() {
            mistakes.required(path.child("JSONPath"), "");
        } else {
            simple_path(&column.json_path, &path.child("JSONPath"), mistakes);
        }
    }
}

pub(super) fn selectable(fields: &[SelectableField], schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    let mut seen = HashSet::new();
    for (index, field) in fields.iter().enumerate() {
        let at = path.index(index).child("jsonPath");
        let given = field.json_path.as_str();
        if given.is_empty() {
            mistakes.required(at, "");
            continue;
        }
        let found = match follow(given, schema, Brackets::Refused) {
            Ok(found) => found,
            Err(why) => {
                mistakes.invalid(at, given, format!("is an invalid path: {why}"));
                continue;
            }
        };
        if found.steps.first().is_some_and(|first| first == "metadata") {
            mistakes.invalid(at.clone(), given, "must not point to fields in metadata");
        }
        if !matches!(found.schema.type_(), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                          with formats are allowed.";
            mistakes.invalid(at.clone(), given, detail);
        }
        if !seen.insert(found.steps) {
            mistakes.duplicate(at, given);
        }
    }
    if seen.len() > SELECTABLE {
        let detail = format!("must have at most {SELECTABLE} items");
        mistakes.with_value(path.clone(), ErrorKind::TooMany, &Value::from(seen.len()), detail);
    }
}

/// How a schema says that lists and maps are merged, and what it preserves.
pub(super) fn extensions(schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if schema.get(preserve) == Some(&Value::Bool(false)) {
        mistakes.invalid(child(path, preserve), false, "must be true or undefined");
    }
    let map_type = schema.get("x-kubernetes-map-type").and_then(Value::as_str);
    let list_type = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
    if map_type.is_some() {
        must_be(schema, "object", "x-kubernetes-map-type", path, mistakes);
    }
    if let Some(other) = map_type.filter(|one| !matches!(*one, "atomic" | "granular")) {
        mistakes.not_supported(child(path, "x-kubernetes-map-type"), other, &["atomic", "granular"]);
    }
    if list_type.is_some()
        && must_be(schema, "array", "x-kubernetes-list-type", path, mistakes)
        && list_type == Some("set")
    {
        set_items(schema, path, mistakes);
    }
    if let Some(other) = list_type.filter(|one| !matches!(*one, "atomic" | "set" | "map")) {
        mistakes.not_supported(child(path, "x-kubernetes-list-type"), other, &["atomic", "set", "map"]);
    }
    if schema.has("x-kubernetes-list-map-keys") && list_type != Some("map") {
        let (at, detail) = (
            child(path, "x-kubernetes-list-type"),
            "must be map if x-kubernetes-list-map-keys is non-empty",
        );
        match list_type {
            None => mistakes.required(at, detail),
            Some(other) => mistakes.invalid(at, other, detail),
        }
    }
    if list_type == Some("map") {
        list_map(schema, path, mistakes);
    }
    if matches!(list_type, Some("map" | "set")) {
        unique_items(schema, list_type.unwrap_or_default(), path, mistakes);
    }
}

fn must_be(schema: Written<'_>, type_: &str, extension: &str, path: &Path, mistakes: &mut Mistakes) -> bool {
    let detail = format!("must be {type_} if {extension} is specified");
    match schema.type_() {
        given if given == type_ => return true,
        "" => mistakes.required(child(path, "type"), detail),
        given => mistakes.invalid(child(path, "type"), given, detail),
    }
    false
}

/// The items of a set are compared as a whole.
fn set_items(schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    let Some(items) = schema.schema("items") else { return };
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let extension = match items.type_() {
        "array" if !matches!(items.text("x-kubernetes-list-type"), "" | "atomic") => "x-kubernetes-list-type",
        "object" if items.text("x-kubernetes-map-type") != "atomic" => "x-kubernetes-map-type",
        _ => return,
    };
    let given = items.get("x-kubernetes-list-type").cloned().unwrap_or(Value::Null);
    mistakes.invalid(child(&child(path, "items"), extension), given, detail);
}

fn list_map(schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    let keys = schema.texts("x-kubernetes-list-map-keys");
    let keys_at = || child(path, "x-kubernetes-list-map-keys");
    if keys.is_empty() {
        mistakes.required(keys_at(), "must not be empty if x-kubernetes-list-type is map");
    }
    let items_at = child(path, "items");
    let Some(items) = schema.schema("items") else {
        match schema.get("items") {
            None => mistakes.required(items_at, "must have a schema if x-kubernetes-list-type is map"),
            Some(list) => {
                let detail = "must only have a single schema if x-kubernetes-list-type is map";
                mistakes.invalid(items_at, list.clone(), detail);
            }
        }
        return;
    };
    if items.type_() != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        mistakes.invalid(child(&items_at, "type"), items.type_(), detail);
        return;
    }
    let mut seen = HashSet::new();
    for name in &keys {
        match items.property(name) {
            None => mistakes.invalid(keys_at(), keys.clone(), "entries must all be names of item properties"),
            Some(property) if matches!(property.type_(), "array" | "object") => {
                let at = child(&key(&child(&items_at, "properties"), name), "type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                mistakes.invalid(at, items.type_(), detail);
            }
            Some(_) => {}
        }
        if !seen.insert(*name) {
            mistakes.invalid(keys_at(), keys.clone(), "must not contain duplicate entries");
        }
    }
}

/// What tells entries apart is always there.
fn unique_items(schema: Written<'_>, list_type: &str, path: &Path, mistakes: &mut Mistakes) {
    let Some(items) = schema.schema("items") else { return };
    let at = child(path, "items");
    if items.flag("nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        mistakes.forbidden(child(&at, "nullable"), detail);
    }
    if list_type != "map" {
        return;
    }
    let required = items.texts("required");
    for name in schema.texts("x-kubernetes-list-map-keys") {
        let Some(property) = items.property(name) else { continue };
        let at = key(&child(&at, "properties"), name);
        if !required.contains(&name) && property.get("default").is_none() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            mistakes.required(child(&at, "default"), detail);
        }
        if property.flag("nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            mistakes.forbidden(child(&at, "nullable"), detail);
        }
    }
}
