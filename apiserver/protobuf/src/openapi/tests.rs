//! Documents and the bytes they become, read back with the wire reader alone.

use super::*;
use crate::wire::{Item, Reader};
use serde_json::json;

/// The fields of a message, messages as bytes.
fn fields(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    while let Some((number, item)) = reader.field().unwrap() {
        out.push(match item {
            Item::Bytes(bytes) => (number, bytes.to_vec()),
            Item::Varint(value) => (number, value.to_string().into_bytes()),
            Item::Fixed64(bits) => (number, f64::from_bits(bits).to_string().into_bytes()),
            Item::Fixed32(_) => panic!("no such field"),
        });
    }
    out
}

/// What stands at the numbers, one within the other; the first of each.
fn at(bytes: &[u8], path: &[u32]) -> Vec<u8> {
    path.iter().fold(bytes.to_vec(), |bytes, number| {
        let found = fields(&bytes).into_iter().find(|(n, _)| n == number);
        found.unwrap_or_else(|| panic!("no field {number}")).1
    })
}

fn text(bytes: &[u8], path: &[u32]) -> String {
    String::from_utf8(at(bytes, path)).unwrap()
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    fields(bytes).into_iter().map(|(number, _)| number).collect()
}

#[test]
fn an_empty_document_is_empty() {
    assert_eq!(openapi_v2(&json!({})), b"");
    assert_eq!(openapi_v2(&json!(null)), b"");
    assert_eq!(openapi_v3(&json!([])), b"");
}

#[test]
fn a_small_document_byte_by_byte() {
    let document = json!({"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}});
    assert_eq!(openapi_v2(&document), b"\x0a\x032.0\x12\x06\x0a\x01t\x12\x011\x42\0");
}

#[test]
fn a_definition_has_its_properties_and_extensions() {
    let document = openapi_v2(&json!({"definitions": {"io.A": {
        "description": "An A.", "type": "object", "required": ["b"], "nullable": true, "oneOf": [{}],
        "properties": {
            "b": {"$ref": "#/definitions/io.B"},
            "list": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}},
            "map": {"additionalProperties": {"type": "integer", "format": "int32", "default": 0}},
            "open": {"additionalProperties": true, "minimum": 0, "maximum": 1.5},
        },
        "x-kubernetes-group-version-kind": [{"group": "io", "kind": "A", "version": "v1"}],
    }}}));
    let definition = at(&document, &[9, 1]);
    assert_eq!(text(&definition, &[1]), "io.A");
    let schema = at(&definition, &[2]);
    assert_eq!(
        numbers(&schema),
        [4, 19, 22, 25, 31],
        "description, required, type, properties, and an extension"
    );
    assert_eq!(text(&schema, &[22, 1]), "object");
    assert_eq!(text(&schema, &[31, 1]), "x-kubernetes-group-version-kind");
    assert_eq!(
        text(&schema, &[31, 2, 2]),
        "[{\"group\": \"io\",\"kind\": \"A\",\"version\": \"v1\"}]\n"
    );
    let properties: Vec<(String, Vec<u8>)> = fields(&at(&schema, &[25]))
        .into_iter()
        .map(|(_, named)| (text(&named, &[1]), at(&named, &[2])))
        .collect();
    let names: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "list", "map", "open"]);
    assert_eq!(text(&properties[0].1, &[1]), "#/definitions/io.B");
    assert_eq!(text(&properties[1].1, &[23, 1, 22, 1]), "string");
    assert_eq!(text(&properties[1].1, &[23, 1, 20, 2]), "\"x\"\n");
    assert_eq!(text(&properties[2].1, &[21, 1, 5, 2]), "0\n");
    assert_eq!(text(&properties[3].1, &[21, 2]), "1");
    assert_eq!(text(&properties[3].1, &[7]), "1.5");
    assert_eq!(numbers(&properties[3].1), [7, 21], "what is zero is not written");
}

#[test]
fn paths_have_operations_parameters_and_responses() {
    let document = openapi_v2(&json!({"paths": {"/api": {
        "get": {
            "operationId": "get", "parameters": [
                {"in": "query", "name": "limit", "type": "integer"},
                {"in": "body", "name": "body", "required": true, "schema": {"$ref": "#/d"}},
                {"$ref": "#/parameters/x"},
            ],
            "responses": {"200": {"description": "OK", "schema": {"type": "string"}}},
        },
        "x-note": 1,
    }}, "parameters": {"x": {"in": "path", "name": "x", "type": "string"}}}));
    let item = at(&document, &[8, 2]);
    assert_eq!(text(&item, &[1]), "/api");
    assert_eq!(text(&item, &[2, 10, 2, 2]), "1\n");
    let get = at(&item, &[2, 2]);
    let parameters: Vec<Vec<u8>> = fields(&get)
        .into_iter()
        .filter(|(n, _)| *n == 8)
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(text(&parameters[0], &[1, 2, 3, 4]), "limit");
    assert_eq!(text(&parameters[1], &[1, 1, 5, 1]), "#/d");
    assert_eq!(text(&parameters[2], &[2, 1]), "#/parameters/x");
    assert_eq!(text(&get, &[9, 1, 1]), "200");
    assert_eq!(text(&get, &[9, 1, 2, 1, 2, 1, 22, 1]), "string");
    assert_eq!(text(&document, &[10, 1, 2, 2, 4, 4]), "x");
}

#[test]
fn version_three_has_references_and_contents() {
    let document = openapi_v3(&json!({
        "openapi": "3.0.0",
        "paths": {"/a": {"patch": {
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/c"}}}},
            "responses": {"default": {"description": "d"}, "201": {"description": "Created"}},
            "x-kubernetes-action": "patch",
        }}},
        "components": {"schemas": {"A": {"nullable": true, "default": "x", "anyOf": [{"type": "integer"}]}}},
    }));
    assert_eq!(text(&document, &[1]), "3.0.0");
    let patch = at(&document, &[4, 1, 2, 10]);
    assert_eq!(text(&patch, &[7, 1, 2, 1, 1]), "application/json");
    assert_eq!(text(&patch, &[7, 1, 2, 1, 2, 1, 2, 1]), "#/c");
    assert_eq!(text(&patch, &[8, 1, 1, 1]), "d");
    assert_eq!(text(&patch, &[8, 2, 1]), "201");
    assert_eq!(text(&patch, &[13, 2, 2]), "\"patch\"\n");
    let schema = at(&document, &[5, 1, 1, 2, 1]);
    assert_eq!(text(&schema, &[1]), "1");
    assert_eq!(text(&schema, &[33, 3]), "x");
    assert_eq!(text(&schema, &[28, 1, 25]), "integer");
}

#[test]
fn what_is_of_the_wrong_type_or_too_deep_is_left_out() {
    let document = json!({"swagger": 2, "tags": "x", "info": [], "definitions": {"A": 1}, "schemes": {"a": 1}});
    assert_eq!(numbers(&openapi_v2(&document)), [2, 9]);
    let deep = (0..500).fold(json!({"type": "object"}), |inner, _| json!({"items": inner}));
    let bytes = openapi_v2(&json!({"definitions": {"deep": deep}}));
    assert!(bytes.len() < 2_000);
}
