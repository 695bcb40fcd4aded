//! What is made of schemas, sound and unsound.

use serde_json::{Value, json};

use super::*;

fn paths(schema: &Schema, object: &Value) -> String {
    match schema.field_set(object) {
        Ok(set) => set.to_string().replace('\n', " "),
        Err(errors) => format!("! {errors}"),
    }
}

fn inline(schema: &Value) -> Schema {
    Schema::of_value(schema, &|_| None)
}

#[test]
fn a_reference_is_followed_bare_and_inside_an_all_of() {
    let pair = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let schema = json!({"type": "object", "properties": {
        "bare": {"$ref": "#/pair"},
        "wrapped": {"allOf": [{"$ref": "#/alias"}], "default": {}},
        "whole": {"$ref": "#/pair", "x-kubernetes-map-type": "atomic"},
    }});
    let alias = json!({"$ref": "#/pair"});
    let schema = Schema::of_value(&schema, &|name| match name {
        "#/pair" => Some(&pair),
        "#/alias" => Some(&alias),
        _ => None,
    });
    assert_eq!(schema.problems(), []);
    let value = json!({"bare": {"a": "x"}, "wrapped": {"a": "x"}, "whole": {"a": "x"}});
    assert_eq!(paths(&schema, &value), ".whole .bare.a .wrapped.a");
}

#[test]
fn references_in_circles_and_into_nothing_are_problems_and_nothing_worse() {
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/a"}, "gone": {"$ref": "#/gone"}}});
    let (a, b) = (json!({"$ref": "#/b"}), json!({"$ref": "#/a"}));
    let schema = Schema::of_value(&schema, &|name| match name {
        "#/a" => Some(&a),
        "#/b" => Some(&b),
        _ => None,
    });
    let unresolved = |name: &str| SchemaProblem::Reference(name.to_owned());
    assert_eq!(schema.problems(), [unresolved("#/a"), unresolved("#/gone")]);
    assert_eq!(paths(&schema, &json!({"a": {"x": 1}, "gone": [1]})), ".gone .a.x");
}

#[test]
fn what_is_not_understood_is_taken_for_no_schema_and_told() {
    let schema = inline(&json!({"type": "object", "properties": {
        "odd": {"type": "tuple"},
        "bare": {"type": "array"},
        "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"},
        "map": {"type": "object", "x-kubernetes-map-type": "loose"},
    }}));
    assert_eq!(schema.problems().len(), 4, "{:?}", schema.problems());
    let value = json!({"odd": {"x": 1}, "bare": [1], "list": ["a"], "map": {"k": 1}});
    assert_eq!(paths(&schema, &value), ".bare .list .map.k .odd.x");
}

#[test]
fn a_schema_nested_without_end_is_cut() {
    let mut schema = json!({"type": "string"});
    for _ in 0..500 {
        schema = json!({"type": "object", "properties": { "a": schema }});
    }
    let schema = inline(&schema);
    assert_eq!(schema.problems(), [SchemaProblem::Depth]);
}

#[test]
fn undeclared_fields_are_as_the_schema_says() {
    let with = |extra: Value| {
        let mut schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        schema
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        paths(&inline(&schema), &json!({"b": {"c": 1}}))
    };
    assert_eq!(with(json!({})), "! .b: schema error: invalid atom: inlined");
    assert_eq!(
        with(json!({"additionalProperties": false})),
        "! .b: schema error: invalid atom: inlined"
    );
    assert_eq!(with(json!({"additionalProperties": true})), ".b .b.c");
    assert_eq!(with(json!({"x-kubernetes-preserve-unknown-fields": true})), ".b .b.c");
    assert_eq!(
        with(json!({"additionalProperties": {"type": "object", "x-kubernetes-map-type": "atomic"}})),
        ".b"
    );
    assert_eq!(
        paths(&inline(&json!({"type": "object"})), &json!({"b": {"c": 1}})),
        ".b .b.c"
    );
    let inherited = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "in": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    assert_eq!(paths(&inline(&inherited), &json!({"in": {"other": 1}})), ".in.other");
}

#[test]
fn lists_of_older_types_say_it_in_the_words_of_strategic_merge() {
    let schema = inline(&json!({"type": "object", "properties": {
        "keyed": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}},
            "x-kubernetes-patch-strategy": "merge,retainKeys", "x-kubernetes-patch-merge-key": "id"},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"},
        "atomic": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "replace"},
    }}));
    let value = json!({"keyed": [{"id": "a"}], "set": ["x"], "atomic": ["q"]});
    assert_eq!(
        paths(&schema, &value),
        ".atomic .keyed[id=\"a\"] .keyed[id=\"a\"].id .set[=\"x\"]"
    );
}

#[test]
fn an_object_has_the_metadata_that_every_object_has() {
    let object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a": "b"}, "finalizers": ["x/f"]}});
    let expected = ".apiVersion .kind .metadata.finalizers[=\"x/f\"] .metadata.labels.a";
    let lies = json!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
        "metadata": {"type": "object", "x-kubernetes-map-type": "atomic"}, "kind": {"type": "integer"}}});
    assert_eq!(paths(&Schema::of_object(&lies, &|_| None), &object), expected);
    assert_eq!(paths(&Schema::deduced(), &object), expected);
}

#[test]
fn an_embedded_object_has_that_metadata_too() {
    let schema = inline(&json!({"type": "object", "properties": {"template": {"type": "object",
        "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}}}}));
    let value = json!({"template": {"kind": "K", "metadata": {"finalizers": ["x/f"]}, "spec": {"a": 1}}});
    assert_eq!(
        paths(&schema, &value),
        ".template.kind .template.metadata.finalizers[=\"x/f\"] .template.spec.a"
    );
}

#[test]
fn quantities_and_raw_extensions_are_whole() {
    let schema = json!({"type": "object", "properties": {
        "size": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
        "raw": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.runtime.RawExtension"},
        "port": {"format": "int-or-string"},
    }});
    let schema = Schema::of_value(&schema, &|_| None);
    assert_eq!(schema.problems(), []);
    assert_eq!(
        paths(&schema, &json!({"size": 1, "raw": {"a": {"b": 1}}, "port": "http"})),
        ".port .raw .size"
    );
}

#[test]
fn the_types_of_openapi_3_1_are_read() {
    let schema = inline(&json!({"type": ["object", "null"], "properties": {"a": {"type": ["null", "string"]}}}));
    assert_eq!(schema.problems(), []);
    assert_eq!(paths(&schema, &json!({"a": "x"})), ".a");
}

#[test]
fn no_json_is_too_odd_for_a_schema() {
    for odd in [
        json!(1),
        json!("x"),
        json!([]),
        json!({"properties": []}),
        json!({"items": 1, "type": "array"}),
        json!({"allOf": 1}),
        json!({"$ref": 1}),
        json!({"properties": {"a": 1}}),
        json!({"x-kubernetes-list-map-keys": 1}),
    ] {
        let schema = Schema::of_object(&odd, &|_| None);
        let _ = paths(&schema, &json!({"a": {"b": [1]}}));
    }
}
