//! The OpenAPI v2 document: all groups and versions in one, for clients that know no v3. What v2 cannot say is left
//! out: conditions (`oneOf` and so on), `nullable`, defaults. The rules are upstream's
//! (`k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2`, `k8s.io/kube-openapi/pkg/handler`), made so that old
//! kubectls do not refuse what the server takes.

use serde_json::{Map, Value, json};

use super::builtin::PREFIX;
use super::custom::{Form, PRESERVE, below, is};
use super::operations::{self, Body, DELETE_OPTIONS, Operation, PATCH};
use super::parameters::{PRETTY, Parameter};
use super::rows::Row;
use super::v3;

const DEFINITIONS: &str = "#/definitions/";
const JUNCTORS: [&str; 4] = ["allOf", "anyOf", "oneOf", "not"];

/// The document of all rows.
pub(super) fn document(rows: &[Row]) -> Value {
    let mut definitions = v3::schemas(rows, Form::V2);
    for schema in definitions.values_mut() {
        convert(schema);
    }
    let mut paths = Map::new();
    for path in rows.iter().flat_map(operations::of) {
        let mut item: Map<String, Value> = path
            .operations
            .iter()
            .map(|operation| (operation.method.to_owned(), render(operation)))
            .collect();
        let variables = path.variables.iter().map(|(name, description)| {
            json!({
                "name": name, "in": "path", "required": true, "description": description,
                "type": "string", "uniqueItems": true,
            })
        });
        item.insert("parameters".to_owned(), variables.chain([query(&PRETTY)]).collect());
        paths.insert(path.path, Value::Object(item));
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Breakbulk", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "definitions": definitions,
    })
}

/// A v3 schema as v2 says it. Properties are names, not keywords: `JSONSchemaProps` has some that are called alike.
fn convert(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    map.remove("default");
    map.remove("nullable");
    map.remove("not");
    map.remove("anyOf");
    if let Some(one) = map.remove("oneOf")
        && !map.contains_key("type")
        && of_string_and_number(&one)
    {
        map.insert("type".to_owned(), json!("string"));
    }
    if let Some(Value::Array(all)) = map.remove("allOf")
        && let [Value::Object(only)] = all.as_slice()
        && let Some(reference) = only.get("$ref")
    {
        map.insert("$ref".to_owned(), reference.clone());
    }
    if let Some(Value::String(reference)) = map.get_mut("$ref")
        && let Some(name) = reference.strip_prefix(PREFIX)
    {
        *reference = format!("{DEFINITIONS}{name}");
    }
    below(schema, &mut convert);
}

/// IntOrString and Quantity: v2 calls them strings.
fn of_string_and_number(one: &Value) -> bool {
    let types = one.as_array().into_iter().flatten().map(|s| s["type"].as_str());
    types.into_iter().any(|t| t == Some("string"))
}

/// What a definition's schema loses on the way to v2, so that kubectl's client-side validation (1.27 and 1.28, and
/// whoever has no v3) does not refuse what the server takes.
pub(super) fn convert_custom(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for junctor in JUNCTORS {
        map.remove(junctor);
    }
    let is_set = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_bool) == Some(true);
    if map.remove("nullable") == Some(Value::Bool(true)) {
        // A value without a type must have neither items nor properties.
        for gone in ["type", "items", "properties"] {
            map.remove(gone);
        }
    }
    if is_set(map, PRESERVE) {
        map.remove("items");
        map.remove("properties");
        if map.get("type") == Some(&json!("object")) {
            map.remove("type");
        }
    }
    if map.get("type") == Some(&json!("array")) && !map.contains_key("items") {
        map.remove("type");
    }
    not_required(map);
    below(schema, &mut convert_custom);
}

/// What may be null is not required: v2 cannot say that null will do.
fn not_required(map: &mut Map<String, Value>) {
    let nullable = |schema: Option<&Value>| schema.is_some_and(|schema| is(schema, "nullable"));
    if nullable(map.get("additionalProperties")) {
        map.remove("required");
        return;
    }
    let Some(Value::Array(required)) = map.get("required") else {
        return;
    };
    let properties = map.get("properties");
    let left: Vec<Value> = required
        .iter()
        .filter(|name| !nullable(properties.and_then(|p| p.get(name.as_str()?))))
        .cloned()
        .collect();
    if left.is_empty() {
        map.remove("required");
    } else {
        map.insert("required".to_owned(), Value::Array(left));
    }
}

fn render(operation: &Operation) -> Value {
    let schema = |name: &str| json!({"$ref": format!("{DEFINITIONS}{name}")});
    let answer = match &operation.answer {
        Some(name) => schema(name),
        None => json!({"type": "string"}),
    };
    let mut responses: Map<String, Value> = operation
        .codes
        .iter()
        .map(|(code, word)| ((*code).to_owned(), json!({"description": word, "schema": answer})))
        .collect();
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    let body = |name: &str, required: bool| json!({"name": "body", "in": "body", "required": required, "schema": schema(name)});
    let (consumes, body): (&[&str], Option<Value>) = match &operation.body {
        None => (&["*/*"], None),
        Some(Body::Object { schema, media }) => (media, Some(body(schema, true))),
        Some(Body::Patch { media }) => (media, Some(body(PATCH, true))),
        Some(Body::DeleteOptions) => (&["*/*"], Some(body(DELETE_OPTIONS, false))),
    };
    let parameters: Vec<Value> = body.into_iter().chain(operation.parameters.iter().map(query)).collect();
    let mut value = json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [operation.tag],
        "schemes": ["https"],
        "consumes": consumes,
        "produces": [if operation.answer.is_some() { "application/json" } else { "text/plain" }],
        "responses": responses,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": operation.kind.to_json(),
    });
    if !parameters.is_empty() {
        value["parameters"] = Value::Array(parameters);
    }
    value
}

fn query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name, "in": "query", "description": parameter.description,
        "type": parameter.type_.name(), "uniqueItems": true,
    })
}
