//! Schemas of kinds that came with a CustomResourceDefinition, ours among them: what the definition says, with what
//! every object has (`apiVersion`, `kind`, `metadata`) put in, also into embedded resources.
//!
//! The rules are those of `k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder`.

use serde_json::{Map, Value, json};

use super::builtin::PREFIX;
use super::merge;
use super::rows::{Row, Source};

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
    convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer \
    this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
pub(super) const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// The form in which a schema is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    V2,
    V3,
}

/// A reference to a definition.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{PREFIX}{name}")})
}

fn described(name: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [reference(name)]})
}

/// The schema of a kind that came with a definition. `shaped` is its `openAPIV3Schema` as [`Form`] wants it; none
/// where the kind has none, or what it has is no schema.
pub(super) fn schema(row: &Row, form: Form) -> Value {
    let raw = match &row.source {
        Source::Custom(Some(raw)) if raw.is_object() => Some(raw),
        _ => None,
    };
    let mut schema = match raw {
        // Properties without a schema would tell kubectl that nothing else is allowed.
        None => json!({"type": "object"}),
        Some(raw) if form == Form::V2 && is(raw, PRESERVE) => json!({"type": "object"}),
        Some(raw) => full(raw, form),
    };
    if merge::is_ours(&row.kind.group, &row.kind.version) {
        merge::add_strategies(&mut schema);
    }
    schema["x-kubernetes-group-version-kind"] = json!([row.kind.to_json()]);
    add_selectable(&mut schema, row);
    schema
}

/// A definition's schema with what every object has.
pub(super) fn full(raw: &Value, form: Form) -> Value {
    let mut schema = raw.clone();
    match form {
        Form::V2 => super::v2::convert_custom(&mut schema),
        Form::V3 => unfold(&mut schema),
    }
    embed(&mut schema, form);
    properties(&mut schema).extend(head());
    schema
}

/// The fields that every object has.
pub(super) fn head() -> Map<String, Value> {
    let fields = [
        ("apiVersion", json!({"type": "string", "description": API_VERSION})),
        ("kind", json!({"type": "string", "description": KIND})),
        ("metadata", described(OBJECT_META, METADATA)),
    ];
    fields
        .into_iter()
        .map(|(name, field)| (name.to_owned(), field))
        .collect()
}

/// The schema of the list of a kind, whoever's kind it is.
pub(super) fn list(row: &Row) -> Value {
    let info = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let items = format!("List of {}. {info}", row.plural);
    let item = row.kind.schema_name();
    let mut schema = json!({
        "description": format!("{} is a list of {}", row.list_kind, row.kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": head(),
        "x-kubernetes-group-version-kind": [row.list().to_json()],
    });
    let properties = properties(&mut schema);
    properties.insert("metadata".to_owned(), described(LIST_META, LIST_METADATA));
    let items = json!({"type": "array", "description": items, "items": reference(&item)});
    properties.insert("items".to_owned(), items);
    add_selectable(&mut schema, row);
    schema
}

fn add_selectable(schema: &mut Value, row: &Row) {
    if !row.selectable.is_empty() {
        let fields: Vec<Value> = row.selectable.iter().map(|path| json!({"fieldPath": path})).collect();
        schema["x-kubernetes-selectable-fields"] = Value::from(fields);
    }
}

/// Whether an extension is set.
pub(super) fn is(schema: &Value, extension: &str) -> bool {
    schema.get(extension).and_then(Value::as_bool).unwrap_or(false)
}

/// The properties, made if they are not there.
fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]
        .as_object_mut()
        .expect("it was just made an object")
}

/// Calls `change` for every schema below this one, but not for those in conditions (`anyOf` and so on).
pub(super) fn below(schema: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(&mut *change);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(inner @ Value::Object(_)) = schema.get_mut(part) {
            change(inner);
        }
    }
}

/// Says in OpenAPI's words what `x-kubernetes-int-or-string` says in Kubernetes'.
fn unfold(schema: &mut Value) {
    if is(schema, INT_OR_STRING) {
        let either = json!([{"type": "integer"}, {"type": "string"}]);
        let said = schema.get("anyOf") == Some(&either)
            || schema["allOf"]
                .as_array()
                .is_some_and(|all| all.iter().any(|s| s["anyOf"] == either));
        match schema.get("anyOf") {
            _ if said => {}
            None => schema["anyOf"] = either,
            Some(_) => match &mut schema["allOf"] {
                Value::Array(all) => all.push(json!({"anyOf": either})),
                all => *all = json!([{"anyOf": either}]),
            },
        }
    }
    below(schema, &mut unfold);
}

/// Puts what every object has into embedded resources.
fn embed(schema: &mut Value, form: Form) {
    below(schema, &mut |inner| embed(inner, form));
    // In v2 properties tell kubectl that nothing else is allowed.
    if !is(schema, EMBEDDED) || (form == Form::V2 && is(schema, PRESERVE)) {
        return;
    }
    properties(schema).extend(head());
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    for name in ["kind", "apiVersion"] {
        if !required.iter().any(|have| have == name) {
            required.push(json!(name));
        }
    }
    schema["required"] = Value::Array(required);
}
