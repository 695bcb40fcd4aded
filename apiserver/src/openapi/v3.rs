//! An OpenAPI v3 document: the resources of one group and version.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::custom::{self, Form, reference};
use super::operations::{self, Body, DELETE_OPTIONS, Operation, PATCH, STATUS};
use super::parameters::{PRETTY, Parameter};
use super::rows::{Row, Source};
use super::{builtin, custom::LIST_META, custom::OBJECT_META};

/// Schemas that are in every document.
const EVERYWHERE: [&str; 6] = [
    OBJECT_META,
    LIST_META,
    STATUS,
    PATCH,
    DELETE_OPTIONS,
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
];

/// The document of rows that share a group and version.
pub(super) fn document(rows: &[Row]) -> Value {
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
                "schema": {"type": "string", "uniqueItems": true},
            })
        });
        item.insert("parameters".to_owned(), variables.chain([query(&PRETTY)]).collect());
        paths.insert(path.path, Value::Object(item));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Breakbulk", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas(rows, Form::V3)},
    })
}

/// The schemas of rows, and everything they refer to.
pub(super) fn schemas(rows: &[Row], form: Form) -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut referred: BTreeSet<String> = BTreeSet::new();
    let shared = EVERYWHERE.iter().map(|name| reference(name));
    shared.for_each(|schema| builtin::referred(&schema, &mut referred));
    for row in rows {
        if let Source::Custom(_) = row.source {
            let schema = custom::schema(row, form);
            builtin::referred(&schema, &mut referred);
            schemas.insert(row.kind.schema_name(), schema);
        }
        let subresources = row.subresources.iter().filter_map(|sub| sub.kind.as_ref());
        for kind in subresources.chain([&row.kind]) {
            builtin::referred(&reference(&kind.schema_name()), &mut referred);
        }
        if row.verbs.contains(&super::rows::Verb::List) {
            schemas.insert(row.list_schema_name(), custom::list(row));
        }
    }
    for name in referred {
        if let Some(schema) = builtin::definitions().get(&name) {
            schemas.insert(name, schema.clone());
        }
    }
    name_shared(&mut schemas, rows);
    schemas
}

/// Says for which groups and versions the bodies are that all of them share.
fn name_shared(schemas: &mut Map<String, Value>, rows: &[Row]) {
    let versions: BTreeSet<(&str, &str)> = rows
        .iter()
        .map(|row| (row.kind.group.as_str(), row.kind.version.as_str()))
        .collect();
    let each = |kind: &str| -> Value {
        let kinds = versions
            .iter()
            .map(|(group, version)| json!({"group": group, "version": version, "kind": kind}));
        kinds.collect()
    };
    let mut set = |name: &str, kinds: Value| {
        if let Some(schema) = schemas.get_mut(name) {
            schema["x-kubernetes-group-version-kind"] = kinds;
        }
    };
    set(DELETE_OPTIONS, each("DeleteOptions"));
    set(EVERYWHERE[5], each("WatchEvent"));
    set(STATUS, json!([{"group": "", "version": "v1", "kind": "Status"}]));
}

fn render(operation: &Operation) -> Value {
    let answer = match &operation.answer {
        Some(schema) => json!({"application/json": {"schema": reference(schema)}}),
        None => json!({"text/plain": {"schema": {"type": "string"}}}),
    };
    let mut responses: Map<String, Value> = operation
        .codes
        .iter()
        .map(|(code, word)| ((*code).to_owned(), json!({"description": word, "content": answer})))
        .collect();
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    let mut value = json!({
        "description": operation.description,
        "operationId": operation.id,
        "tags": [operation.tag],
        "responses": responses,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": operation.kind.to_json(),
    });
    if !operation.parameters.is_empty() {
        value["parameters"] = operation.parameters.iter().map(query).collect();
    }
    if let Some(body) = &operation.body {
        value["requestBody"] = request(body);
    }
    value
}

fn request(body: &Body) -> Value {
    let content = |media: &[&str], schema: &str| -> Value {
        let each = media
            .iter()
            .map(|media| ((*media).to_owned(), json!({"schema": reference(schema)})));
        Value::Object(each.collect())
    };
    match body {
        Body::Object { schema, media } => json!({"required": true, "content": content(media, schema)}),
        Body::Patch { media } => json!({"required": true, "content": content(media, PATCH)}),
        Body::DeleteOptions => json!({"content": content(&["*/*"], DELETE_OPTIONS)}),
    }
}

fn query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name, "in": "query", "description": parameter.description,
        "schema": {"type": parameter.type_.name(), "uniqueItems": true},
    })
}
