//! What holds of any schema and any object.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a"),
        Just("b"),
        Just("k"),
        Just("metadata"),
        Just("kind"),
        Just("apiVersion")
    ]
    .prop_map(str::to_owned)
}

/// Objects whose fields meet those of the schemas below.
fn objects() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// Schemas, also such that no CRD may have: reading them must be safe all the same.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^[a-b]*$", "default": "ab"})),
        Just(json!({"type": "string", "format": "date-time", "nullable": true})),
        Just(json!({"type": "integer", "minimum": 0, "multipleOf": 2, "default": 2, "format": "int32"})),
        Just(json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true})),
        Just(json!({"type": "boolean", "enum": [true]})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({})),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        let flag = any::<bool>();
        prop_oneof![
            (prop::collection::btree_map(names(), inner.clone(), 0..4), flag, flag).prop_map(
                |(properties, embedded, keeps)| {
                    let mut schema = json!({"type": "object", "properties": properties, "required": ["a"]});
                    if embedded {
                        schema["x-kubernetes-embedded-resource"] = json!(true);
                    }
                    if keeps {
                        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
                    }
                    schema
                }
            ),
            inner
                .clone()
                .prop_map(|each| json!({"type": "object", "additionalProperties": each, "maxProperties": 2})),
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items, "maxItems": 2})),
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items, "x-kubernetes-list-type": "set"})),
            inner.clone().prop_map(
                |items| json!({"type": "array", "items": items, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"]})
            ),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| json!({"anyOf": [one, other], "nullable": true})),
            (inner.clone(), inner)
                .prop_map(|(one, other)| json!({"oneOf": [one], "allOf": [other.clone()], "not": other})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn pruning_twice_is_pruning_once(schema in schemas(), object in objects()) {
        let schema = Schema::parse(&schema).unwrap();
        let mut once = object;
        schema.prune(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(schema.prune(&mut twice), Vec::<String>::new());
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn defaulting_twice_is_defaulting_once(schema in schemas(), object in objects()) {
        let schema = Schema::parse(&schema).unwrap();
        let mut once = object;
        schema.default(&mut once);
        let mut twice = once.clone();
        schema.default(&mut twice);
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn an_object_may_always_stay_as_it_is(schema in schemas(), object in objects()) {
        let schema = Schema::parse(&schema).unwrap();
        prop_assert_eq!(schema.validate_update(&object, &object), Vec::new());
    }

    #[test]
    fn an_update_is_never_blamed_for_more_than_a_creation(schema in schemas(), new in objects(), old in objects()) {
        let schema = Schema::parse(&schema).unwrap();
        let (created, updated) = (schema.validate(&new), schema.validate_update(&new, &old));
        prop_assert!(updated.is_empty() || !created.is_empty());
    }

    #[test]
    fn anything_can_be_read_as_a_schema_or_refused(schema in objects(), object in objects()) {
        if let Ok(schema) = Schema::parse(&schema) {
            schema.validate(&object);
        }
    }
}
