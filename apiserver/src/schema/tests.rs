//! Schemas over small objects, and over our own kinds.

use serde_json::{Map, json};

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

fn of(spec: &Value) -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn words(errors: &[breakbulk_schemas::field::FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn mistakes(object: &Value) -> Vec<String> {
    words(&schema().validate(object))
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
fn what_is_known_below_a_preserving_node_is_pruned_all_the_same() {
    let schema = of(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}, "any": {"type": "object",
            "additionalProperties": true}}}));
    let mut object =
        json!({"spec": {"known": {"a": "x", "b": "y"}, "other": {"c": 1}, "any": {"m": {"n": 1}, "k": 2}}});
    assert_eq!(schema.prune(&mut object), ["spec.any.m.n", "spec.known.b"]);
    assert_eq!(
        object["spec"],
        json!({"known": {"a": "x"}, "other": {"c": 1}, "any": {"m": {}, "k": 2}})
    );
}

#[test]
fn an_embedded_resource_keeps_its_head_and_loses_unknown_metadata() {
    let schema = of(&json!({"type": "object", "properties": {"template": {"type": "object",
        "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}}}}));
    let mut object = json!({"spec": {"template": {"apiVersion": "v1", "kind": "Pod", "typo": 1,
        "metadata": {"name": "x", "unknownMeta": 1}, "spec": {"gone": 1}}}});
    let unknown = schema.prune(&mut object);
    assert_eq!(
        unknown,
        [
            "spec.template.metadata.unknownMeta",
            "spec.template.spec.gone",
            "spec.template.typo"
        ]
    );
    assert_eq!(schema.validate(&object), Vec::new());
    let bad = json!({"spec": {"template": {"kind": 1, "metadata": {"labels": 5}}}});
    let found = words(&schema.validate(&bad));
    assert_eq!(found[0], "spec.template.apiVersion: Required value");
    assert_eq!(found[1], "spec.template.kind: Invalid value: 1: must be a string");
    assert!(
        found[2].starts_with(r#"spec.template.metadata: Invalid value: {"labels":5}: "#),
        "{found:?}"
    );
    let bad = json!({"spec": {"template": {"apiVersion": "a/b/c", "kind": "x_y", "metadata": {"name": "a/b"}}}});
    let found = words(&schema.validate(&bad));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[1].contains("may have mixed case, but should otherwise match: a DNS-1035 label"),
        "{found:#?}"
    );
    assert!(found[2].starts_with("spec.template.metadata.name: "), "{found:#?}");
}

#[test]
fn defaults_fill_in_what_is_left_out() {
    let mut object = json!({"spec": {"count": null, "items": [{"id": "a"}, {"id": "b", "on": false}], "maybe": null,
        "mode": null, "labels": {"a": null}}});
    schema().default(&mut object);
    assert_eq!(object["spec"]["count"], json!(3));
    assert_eq!(
        object["spec"]["items"],
        json!([{"id": "a", "on": true}, {"id": "b", "on": false}])
    );
    assert_eq!(object["spec"].get("maybe"), Some(&json!(null)), "null is allowed there");
    assert_eq!(
        object["spec"].get("mode"),
        None,
        "a null that is not allowed was left out"
    );
    assert_eq!(object["spec"]["labels"], json!({}));
}

#[test]
fn defaults_reach_into_defaults_maps_and_lists() {
    let schema = of(&json!({"type": "object", "default": {}, "properties": {
        "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 1}}},
        "m": {"type": "object", "additionalProperties": {"type": "object", "default": {"x": 1},
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 2}}}},
        "l": {"type": "array", "items": {"type": "integer", "default": 7}}}}));
    let mut object = json!({});
    schema.default(&mut object);
    assert_eq!(object, json!({"spec": {"a": {"b": 1}}}));
    let mut object = json!({"spec": {"m": {"k": null, "n": {}}, "l": [1, null]}});
    schema.default(&mut object);
    assert_eq!(object["spec"]["l"], json!([1, 7]));
    assert_eq!(object["spec"]["m"], json!({"k": {"x": 1, "y": 2}, "n": {"y": 2}}));
}

#[test]
fn every_mistake_is_told_in_upstreams_words() {
    let object = json!({"spec": {"name": "X", "count": 0, "mode": "c", "labels": {"a": 1},
        "items": [{"id": "a"}, {"id": "a"}, {"id": "a"}, {}], "maybe": 5}});
    assert_eq!(
        mistakes(&object),
        [
            "spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1",
            "spec.items: Too many: 4: must have at most 3 items",
            r#"spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer""#,
            r#"spec.maybe: Invalid value: "integer": spec.maybe in body must be of type string: "integer""#,
            r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#,
            r#"spec.name: Invalid value: "X": spec.name in body should be at least 2 chars long"#,
            r#"spec.items[1]: Duplicate value: {"id":"a"}"#,
        ]
    );
    assert_eq!(mistakes(&json!({"spec": {}})), ["spec.name: Required value"]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_keyword_has_its_words() {
    let table = [
        (
            json!({"type": "string", "maxLength": 1}),
            json!("ab"),
            "spec: Too long: may not be more than 1 byte",
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("abc"),
            "spec: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "pattern": "^a$"}),
            json!("b"),
            r#"spec: Invalid value: "b": spec in body should match '^a$'"#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            r#"spec: Invalid value: "x": spec in body must be of type date-time: "x""#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!(5),
            r#"spec: Invalid value: "int64": spec in body must be of type date-time: "int64""#,
        ),
        (
            json!({"type": "string", "format": "unheard-of"}),
            json!(5),
            r#"spec: Invalid value: "integer": spec in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "object"}),
            json!("x"),
            r#"spec: Invalid value: "string": spec in body must be of type object: "string""#,
        ),
        (
            json!({"type": "integer"}),
            json!("x"),
            r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "boolean"}),
            json!(null),
            r#"spec: Invalid value: "null": spec in body must be of type boolean: "null""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"type": "number", "maximum": 1.5}),
            json!(2.5),
            "spec: Invalid value: 2.5: spec in body should be less than or equal to 1.5",
        ),
        (
            json!({"type": "integer", "maximum": 3.0, "exclusiveMaximum": true}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be less than 3",
        ),
        (
            json!({"type": "integer", "minimum": 3, "exclusiveMinimum": true}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be greater than 3",
        ),
        (
            json!({"type": "integer", "multipleOf": 3.0}),
            json!(7),
            "spec: Invalid value: 7: spec in body should be a multiple of 3",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(1_i64 << 40),
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec"#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 2}),
            json!(["a"]),
            "spec: Invalid value: 1: spec in body should have at least 2 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            json!(["a", "a"]),
            r#"spec: Invalid value: "": spec in body shouldn't contain duplicates"#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "a"]),
            r#"spec[1]: Duplicate value: "a""#,
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            "spec: Invalid value: 0: spec in body should have at least 1 properties",
        ),
        (
            json!({"type": "object", "maxProperties": 1, "additionalProperties": true}),
            json!({"a": 1, "b": 1}),
            "spec: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"a": 1}),
            r#"spec: Invalid value: "a": spec.a in body is a forbidden property"#,
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            r#"spec: Unsupported value: 3: supported values: "1", "2""#,
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"],
            "items": {"type": "object"}}}),
            json!({"x.y": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}),
            r#"spec[x.y][1]: Duplicate value: {"a":1,"b":2}"#,
        ),
        (
            json!({"type": "integer", "not": {"enum": [1]}}),
            json!(1),
            r#"<nil>: Invalid value: "": "spec" must not validate the schema (not)"#,
        ),
    ];
    for (schema, value, want) in table {
        assert_eq!(
            words(&of(&schema).validate(&json!({"spec": value}))),
            [want],
            "{schema}"
        );
    }
}

#[test]
fn junctors_tell_the_fact_and_the_mistakes_of_who_got_furthest() {
    let table = [
        (
            json!({"anyOf": [{"minimum": 10}, {"maximum": 2}]}),
            vec![
                r#"<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf)"#,
                "spec: Invalid value: 5: spec in body should be greater than or equal to 10",
            ],
        ),
        (
            json!({"oneOf": [{"minimum": 10}, {"maximum": 2}]}),
            vec![
                r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid"#,
                "spec: Invalid value: 5: spec in body should be greater than or equal to 10",
            ],
        ),
        (
            json!({"oneOf": [{"minimum": 1}, {"maximum": 9}]}),
            vec![
                r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ],
        ),
        (
            json!({"allOf": [{"minimum": 10}, {"maximum": 9}]}),
            vec![
                "spec: Invalid value: 5: spec in body should be greater than or equal to 10",
                r#"<nil>: Invalid value: "": "spec" must validate all the schemas (allOf)"#,
            ],
        ),
        (
            json!({"allOf": [{"minimum": 10}]}),
            vec![
                "spec: Invalid value: 5: spec in body should be greater than or equal to 10",
                r#"<nil>: Invalid value: "": "spec" must validate all the schemas (allOf). None validated"#,
            ],
        ),
        (
            json!({"anyOf": [{"minimum": 10}, {"maximum": 6}], "not": {"enum": [1]}}),
            vec![],
        ),
    ];
    for (mut schema, want) in table {
        schema["type"] = json!("integer");
        assert_eq!(words(&of(&schema).validate(&json!({"spec": 5}))), want, "{schema}");
    }
}

#[test]
fn what_is_unchanged_may_stay_as_wrong_as_it_was() {
    let schema = of(&json!({"type": "object", "required": ["must"], "properties": {
        "a": {"type": "integer"}, "b": {"type": "integer"},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}},
        "atoms": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}, "w": {"type": "integer"}}}},
    }}));
    let old = json!({"spec": {"must": 1, "a": "x", "m": {"k": "x"}, "atoms": ["x"], "map": [{"k": "1", "v": "x"}, {"k": "2", "v": "x"}]}});
    let update = |spec: Value| words(&schema.validate_update(&json!({"spec": spec}), &old));
    let count = |spec: Value| update(spec).len();
    assert_eq!(count(old["spec"].clone()), 0);
    assert_eq!(count(json!({"must": 1, "a": "x", "b": 1})), 0, "a sibling changed");
    assert_eq!(count(json!({"must": 1, "a": "y"})), 1);
    assert_eq!(
        count(json!({"must": 1, "m": {"k": "x", "l": 1}})),
        0,
        "another key of a map changed"
    );
    assert_eq!(count(json!({"must": 1, "m": {"l": "x"}})), 1, "a new key");
    assert_eq!(count(json!({"must": 1, "atoms": ["x"]})), 0);
    assert_eq!(
        count(json!({"must": 1, "atoms": ["x", 1]})),
        1,
        "an atomic list is compared as a whole"
    );
    assert_eq!(
        count(json!({"must": 1, "map": [{"k": "3", "v": 1}, {"k": "2", "v": "x", "w": 1}]})),
        0,
        "by key"
    );
    assert_eq!(count(json!({"must": 1, "map": [{"k": "4", "v": "x"}]})), 1);
    assert_eq!(
        update(json!({"a": "x"})),
        ["spec.must: Required value"],
        "what is above has changed"
    );
}

#[test]
fn lists_that_were_not_unique_before_may_stay_so() {
    let double = json!({"spec": {"name": "ab", "items": [{"id": "a"}, {"id": "a"}]}});
    let single = json!({"spec": {"name": "ab", "items": [{"id": "a"}]}});
    assert_eq!(schema().validate_update(&double, &single).len(), 1);
    assert_eq!(schema().validate_update(&double, &double), Vec::new());
}

#[test]
fn the_status_is_looked_at_alone() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "spec": {"type": "integer"}, "status": {"type": "object", "properties": {"n": {"type": "integer"}}}}}))
    .unwrap();
    let new = json!({"spec": "x", "status": {"n": "x"}});
    assert_eq!(
        words(&schema.validate_status_update(&new, &json!({}))),
        [r#"status.n: Invalid value: "string": n in body must be of type integer: "string""#]
    );
    assert_eq!(schema.validate_status_update(&new, &new), Vec::new());
}

#[test]
fn hostile_objects_end_in_a_bounded_number_of_mistakes() {
    let labels: Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(n))).collect();
    assert_eq!(mistakes(&json!({"spec": {"name": "ab", "labels": labels}})).len(), 100);
    let items: Vec<Value> = (0..20_000).map(|n| json!({"id": (n % 10_000).to_string()})).collect();
    assert_eq!(mistakes(&json!({"spec": {"name": "ab", "items": items}})).len(), 100);
}

#[test]
fn a_schema_nested_too_deep_is_refused() {
    let nested = |depth: usize| {
        (0..depth).fold(
            json!({"type": "string"}),
            |inner, _| json!({"type": "array", "items": inner}),
        )
    };
    assert!(Schema::parse(&nested(MAX_DEPTH - 1)).is_ok());
    let error = Schema::parse(&nested(MAX_DEPTH)).unwrap_err();
    assert_eq!(error.problem, "must not be nested deeper than 64 levels");
}

#[test]
fn values_with_rules_are_visited_with_what_they_were() {
    let rule = json!([{"rule": "self == oldSelf", "message": "m", "reason": "FieldValueForbidden"}]);
    let schema = of(
        &json!({"type": "object", "x-kubernetes-validations": rule, "properties": {
            "n": {"type": "integer", "x-kubernetes-validations": rule},
            "plain": {"type": "integer"},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                "type": "object", "x-kubernetes-validations": rule, "properties": {"k": {"type": "string"}}}},
            "atoms": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": rule}},
        }}),
    );
    assert_eq!(schema.ruled_nodes(), 4);
    let rules = schema.rules();
    assert!(
        rules
            .iter()
            .enumerate()
            .all(|(at, node)| node.id == at && !node.is_root)
    );
    assert_eq!(rules[0].rules[0].reason.as_deref(), Some("FieldValueForbidden"));
    let new = json!({"spec": {"n": 1, "plain": 2, "map": [{"k": "b"}, {"k": "a"}, {"k": "c"}], "atoms": [1]}});
    let old = json!({"spec": {"n": 0, "map": [{"k": "a"}, {"k": "b"}], "atoms": [1]}});
    let mut seen = Vec::new();
    schema.visit_ruled(&new, Some(&old), &mut |value| {
        seen.push(format!(
            "{} {}",
            value.trail.path(),
            value.old.map(ToString::to_string).unwrap_or_default()
        ));
    });
    assert_eq!(
        seen[1..],
        [
            "spec.atoms[0] ".to_owned(),
            r#"spec.map[0] {"k":"b"}"#.to_owned(),
            r#"spec.map[1] {"k":"a"}"#.to_owned(),
            "spec.map[2] ".to_owned(),
            "spec.n 0".to_owned(),
        ]
    );
}

#[test]
fn the_schemas_of_our_kinds_parse_and_default() {
    for row in breakbulk_schemas::kinds::ALL {
        let crd = serde_json::to_value(row.crd()).unwrap();
        let schema = Schema::parse(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).unwrap();
        if row.kind == "Job" {
            let mut job = json!({"spec": {"script": "x"}});
            schema.default(&mut job);
            assert_eq!(job["spec"]["attempt"], json!(1));
            assert_eq!(schema.validate(&job), Vec::new());
        }
    }
}
