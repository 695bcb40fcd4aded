//! Schemas over small objects, and over our own kinds.

use serde_json::json;

use super::*;

fn schema() -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {"spec": {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$"},
        "count": {"type": "integer", "minimum": 1, "default": 3, "format": "int32"},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {"type": "array", "maxItems": 3, "items": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "on": {"type": "boolean", "default": true}}},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "maybe": {"type": "string", "nullable": true},
    }}}}))
    .unwrap()
}

fn mistakes(object: &Value) -> Vec<String> {
    schema().validate(object).iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_fields_are_dropped_and_named() {
    let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"x": 1}, "extra": 1, "spec": {
        "nam": 1, "labels": {"a": "b"}, "items": [{"id": "a", "typo": 1}], "free": {"any": {"thing": 1}}}});
    let unknown = schema().prune(&mut object);
    assert_eq!(unknown, ["extra", "spec.items[0].typo", "spec.nam"]);
    assert_eq!(
        object["spec"],
        json!({"labels": {"a": "b"}, "items": [{"id": "a"}], "free": {"any": {"thing": 1}}})
    );
    assert_eq!(object["metadata"], json!({"x": 1}));
}

#[test]
fn defaults_fill_in_what_is_left_out() {
    let mut object = json!({"spec": {"count": null, "items": [{"id": "a"}, {"id": "b", "on": false}], "maybe": null}});
    schema().default(&mut object);
    assert_eq!(object["spec"]["count"], json!(3));
    assert_eq!(
        object["spec"]["items"],
        json!([{"id": "a", "on": true}, {"id": "b", "on": false}])
    );
    assert_eq!(object["spec"]["maybe"], json!(null));
}

#[test]
fn every_mistake_is_told_in_upstreams_words() {
    let object = json!({"spec": {"name": "X", "count": 0, "mode": "c", "labels": {"a": 1},
        "items": [{"id": "a"}, {"id": "a"}, 1, 2], "maybe": 5}});
    let found = mistakes(&object);
    for want in [
        r#"spec.name: Invalid value: "X": spec.name in body should be at least 2 chars long"#,
        r#"spec.name: Invalid value: "X": spec.name in body should match '^[a-z]+$'"#,
        "spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1",
        r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#,
        r#"spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer""#,
        "spec.items: Too many: 4: must have at most 3 items",
        r#"spec.items[1]: Duplicate value: {"id":"a"}"#,
        r#"spec.items[2]: Invalid value: "integer": spec.items[2] in body must be of type object: "integer""#,
        r#"spec.maybe: Invalid value: "integer": spec.maybe in body must be of type string: "integer""#,
    ] {
        assert!(
            found.iter().any(|mistake| mistake == want),
            "{want}\nis not among {found:#?}"
        );
    }
    assert_eq!(mistakes(&json!({"spec": {}})), ["spec.name: Required value"]);
    assert_eq!(
        mistakes(&json!({"spec": {"name": "ab", "count": 1e12}})).len(),
        0,
        "a float is no i64: its format is free"
    );
    assert_eq!(
        mistakes(&json!({"spec": {"name": "ab", "count": 1_000_000_000_000_i64}})).len(),
        1
    );
}

#[test]
fn hostile_objects_end_in_a_bounded_number_of_mistakes() {
    let labels: Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(n))).collect();
    assert_eq!(mistakes(&json!({"spec": {"name": "ab", "labels": labels}})).len(), 100);
}

#[test]
fn junctors_hold() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"v": {"type": "integer",
        "anyOf": [{"minimum": 10}, {"maximum": 2}], "not": {"enum": [1]}}}}))
    .unwrap();
    let count = |v: i64| schema.validate(&json!({"v": v})).len();
    assert_eq!([count(11), count(2), count(5), count(1)], [0, 0, 1, 1]);
}

#[test]
fn the_schemas_of_our_kinds_parse_and_default() {
    for row in breakbulk_schemas::kinds::all() {
        let crd = serde_json::to_value((row.crd)()).unwrap();
        let schema = Schema::parse(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).unwrap();
        if row.kind == "Job" {
            let mut job = json!({"spec": {"script": "x"}});
            schema.default(&mut job);
            assert_eq!(job["spec"]["attempt"], json!(1));
            assert_eq!(schema.validate(&job), Vec::new());
        }
    }
}
