//! The paths of a resource: its collection, its objects and their subresources, each with its operations.

use serde_json::{Map, Value, json};

use super::{kind, reference};
use crate::registry::Resource;

/// What an operation takes beside its path.
const COMMON: [&str; 1] = ["pretty"];
const LIST: [&str; 9] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];

/// All paths of a resource whose schema is `schema`.
pub(super) fn of(resource: &Resource, schema: &str) -> Map<String, Value> {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let scope = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{root}{scope}/{}", resource.plural);
    let object = format!("{collection}/{{name}}");
    let mut paths = Map::new();
    paths.insert(collection, collection_item(resource, schema));
    paths.insert(
        object.clone(),
        object_item(resource, schema, &["get", "put", "patch", "delete"]),
    );
    if resource.has_status() {
        paths.insert(
            format!("{object}/status"),
            object_item(resource, schema, &["get", "put", "patch"]),
        );
    }
    if resource.namespaced {
        paths.insert(
            format!("{root}/{}", resource.plural),
            json!({"get": operation(resource, "list", &format!("{schema}List"), &LIST)}),
        );
    }
    paths
}

fn collection_item(resource: &Resource, schema: &str) -> Value {
    let mut item = json!({
        "get": operation(resource, "list", &format!("{schema}List"), &LIST),
        "post": operation(resource, "post", schema, &WRITE),
        "delete": operation(resource, "deletecollection", schema, &LIST),
    });
    item["post"]["requestBody"] = body(&["application/json", "application/yaml"], schema);
    item["parameters"] = path_parameters(resource, false);
    item
}

fn object_item(resource: &Resource, schema: &str, methods: &[&str]) -> Value {
    let mut item = Map::new();
    for method in methods {
        let query: &[&str] = match *method {
            "get" => &COMMON,
            "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
            "delete" => &["dryRun", "gracePeriodSeconds", "propagationPolicy"],
            _ => &WRITE,
        };
        let mut operation = operation(resource, method, schema, query);
        match *method {
            "put" => operation["requestBody"] = body(&["application/json", "application/yaml"], schema),
            "patch" => operation["requestBody"] = body(patch_types(resource), schema),
            _ => {}
        }
        item.insert((*method).to_owned(), operation);
    }
    item.insert("parameters".to_owned(), path_parameters(resource, true));
    Value::Object(item)
}

/// Listing the strategic merge patch makes kubectl compute one from the schema; it is taken for core kinds only.
fn patch_types(resource: &Resource) -> &'static [&'static str] {
    if resource.is_typed() {
        &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]
    } else {
        &["application/json-patch+json", "application/merge-patch+json"]
    }
}

fn operation(resource: &Resource, action: &str, schema: &str, query: &[&str]) -> Value {
    let parameters: Vec<Value> = query.iter().map(|name| query_parameter(name)).collect();
    json!({
        "operationId": format!("{action}{}{}", resource.version, resource.kind),
        "tags": [resource.api_version()],
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference(schema)}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind(resource, &resource.kind),
    })
}

fn body(types: &[&str], schema: &str) -> Value {
    let content: Map<String, Value> = types
        .iter()
        .map(|media| ((*media).to_owned(), json!({"schema": reference(schema)})))
        .collect();
    json!({"required": true, "content": content})
}

fn query_parameter(name: &str) -> Value {
    let type_ = match name {
        "allowWatchBookmarks" | "sendInitialEvents" | "force" => "boolean",
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": true}})
}

fn path_parameters(resource: &Resource, named: bool) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    let mut parameters = Vec::new();
    if named {
        parameters.push(parameter("name"));
    }
    if resource.namespaced {
        parameters.push(parameter("namespace"));
    }
    Value::Array(parameters)
}
