//! Definitions against upstream's texts, names against each other, and our own kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::status::{accept, establish, is_established};
use super::*;

mod names;

const NOW: &str = "2026-01-02T03:04:05Z";

/// A definition with one version of this schema, as a client would send it.
fn with_schema(schema: &Value) -> Value {
    json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

/// A good one, changed: each change is a JSON pointer and what is put there.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut crd = with_schema(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer"}}}}}),
    );
    for (pointer, value) in changes {
        put(&mut crd, pointer, value);
    }
    crd
}

fn put(crd: &mut Value, pointer: &str, value: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = crd.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) if name == "-" => list.push(value.clone()),
        parent => parent[name] = value.clone(),
    }
}

fn read(crd: &Value, old: Option<&CustomResourceDefinition>) -> CustomResourceDefinition {
    let mut crd: CustomResourceDefinition = serde_json::from_value(crd.clone()).unwrap();
    default(&mut crd);
    prepare(&mut crd, old);
    crd
}

fn mistakes(crd: &Value) -> Vec<String> {
    validate(&read(crd, None), None, &Unchecked)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn of_schema(schema: &Value) -> Vec<String> {
    mistakes(&with_schema(schema))
}

/// Under `spec`.
fn of_spec(spec: &Value) -> Vec<String> {
    of_schema(&json!({"type": "object", "properties": {"spec": spec}}))
}

#[test]
fn a_good_definition_has_nothing_wrong() {
    assert_eq!(mistakes(&changed(&[])), Vec::<String>::new());
}

#[test]
fn our_own_kinds_go_the_same_way() {
    for row in breakbulk_schemas::kinds::ALL {
        let mut crd = row.crd();
        default(&mut crd);
        prepare(&mut crd, None);
        assert_eq!(validate(&crd, None, &Unchecked), Vec::new(), "{}", row.kind);
        let now = NOW.parse().unwrap();
        crd.status = Some(establish(&crd, accept(&crd, [], now), now));
        assert!(is_established(&crd), "{}", row.kind);
        let served = served::describe(&crd).unwrap();
        assert_eq!(served.names.kind, row.kind);
        assert!(
            served
                .versions
                .iter()
                .any(|version| version.served && version.name == served.storage)
        );
    }
}

#[test]
fn what_is_wrong_with_a_spec_is_told_in_upstreams_words() {
    let dns = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
               character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
               validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let webhook = |client: Value| json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}});
    let table: Vec<(&str, Value, String)> = vec![
        ("/metadata/name", json!("x"), r#"metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group"#.into()),
        ("/spec/scope", json!("World"), r#"spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced""#.into()),
        ("/spec/names/shortNames", json!(["W"]), format!(r#"spec.names.shortNames[0]: Invalid value: "W": {dns}"#)),
        ("/spec/names/listKind", json!("Widget"), r#"spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same"#.into()),
        ("/spec/names", json!({"plural": "widgets", "singular": "widget", "kind": "W_t", "listKind": "WidgetList"}), format!(r#"spec.names.kind: Invalid value: "W_t": may have mixed case, but should otherwise match: {dns}"#)),
        ("/spec/versions/0/schema", json!(null), "spec.versions[0].schema.openAPIV3Schema: Required value".into()),
        ("/spec/versions/0/deprecationWarning", json!("x"), r#"spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions"#.into()),
        ("/spec/versions/0/additionalPrinterColumns", json!([{"name": "a", "type": "x", "jsonPath": ".a"}]),
            r#"spec.additionalPrinterColumns[0].type: Invalid value: "x": must be one of boolean,date,integer,number,string"#.into()),
        ("/spec/versions/0/additionalPrinterColumns", json!([{"name": "a", "type": "string", "jsonPath": "a"}]),
            r#"spec.additionalPrinterColumns[0].JSONPath: Invalid value: "a": must be a simple json path starting with ."#.into()),
        ("/spec/versions/0/subresources", json!({"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".status.y"}}),
            r#"spec.subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec"#.into()),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec.nope"}]),
            r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid field"#.into()),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec"}]),
            r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."#.into()),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec['size']"}]),
            r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec['size']": is an invalid path: array notation is not allowed"#.into()),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec.size"}, {"jsonPath": ".spec.size"}]),
            r#"spec.selectableFields[1].jsonPath: Duplicate value: ".spec.size""#.into()),
        ("/spec/preserveUnknownFields", json!(true),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead".into()),
        ("/spec/conversion", json!({"strategy": "Magic"}), r#"spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook""#.into()),
        ("/spec/conversion", webhook(json!({})), "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required".into()),
        ("/spec/conversion", webhook(json!({"url": "http://x/"})),
            r#"spec.conversion.webhookClientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#.into()),
        ("/spec/conversion", webhook(json!({"service": {"name": "a", "namespace": "b", "port": 0}})),
            "spec.conversion.webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive".into()),
        ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v2"], "clientConfig": {"url": "https://x/"}}}),
            r#"spec.conversion.conversionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#.into()),
    ];
    for (pointer, value, want) in table {
        assert_eq!(
            mistakes(&changed(&[(pointer, value.clone())])),
            [want],
            "{pointer} {value}"
        );
    }
    assert_eq!(
        mistakes(&changed(&[(
            "/spec/conversion",
            webhook(json!({"url": "https://example.com/convert"}))
        )])),
        Vec::<String>::new()
    );
}

#[test]
fn a_group_has_a_dot_and_a_protected_one_an_approval() {
    let of = |group: &str, annotations: Value| {
        mistakes(&changed(&[
            ("/spec/group", json!(group)),
            ("/metadata/name", json!(format!("widgets.{group}"))),
            ("/metadata/annotations", annotations),
        ]))
    };
    assert_eq!(
        of("example", json!({})),
        [r#"spec.group: Invalid value: "example": should be a domain with at least one dot"#]
    );
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    assert_eq!(
        of("x.k8s.io", json!({})),
        [format!(
            r#"metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", {see}"#
        )]
    );
    let annotated = |value: &str| of("x.kubernetes.io", json!({"api-approved.kubernetes.io": value}));
    assert_eq!(annotated("huh").len(), 1);
    for good in [
        "unapproved, for a test",
        "https://github.com/kubernetes/kubernetes/pull/1",
    ] {
        assert_eq!(annotated(good), Vec::<String>::new(), "{good}");
    }
    assert_eq!(of("notk8s.io", json!({})), Vec::<String>::new());
}

#[test]
fn versions_are_told_apart_and_one_is_stored() {
    let version = |name: &str, storage: bool, schema: Value| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema}});
    let (one, other) = (
        json!({"type": "object"}),
        json!({"type": "object", "description": "other"}),
    );
    let of = |versions: Value| mistakes(&changed(&[("/spec/versions", versions)]));
    let found = of(json!([
        version("v1", true, one.clone()),
        version("v1", true, other.clone())
    ]));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].ends_with("must contain unique version names"));
    assert!(found[1].ends_with("must have exactly one version marked as storage version"));
    let bad = json!({"type": "object", "properties": {"spec": {}}});
    let detail = "properties[spec].type: Required value: must not be empty for specified object fields";
    assert_eq!(
        of(json!([version("v1", true, one), version("v2", false, bad.clone())])),
        [format!("spec.versions[1].schema.openAPIV3Schema.{detail}")]
    );
    assert_eq!(
        of(json!([version("v1", true, bad.clone()), version("v2", false, bad)])),
        [format!("spec.validation.openAPIV3Schema.{detail}")]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn schemas_that_are_not_structural_are_told_so() {
    let at = "spec.validation.openAPIV3Schema.properties[spec]";
    let table = [
        (
            json!({"type": "array"}),
            format!("{at}.items: Required value: must be specified"),
        ),
        (
            json!({"type": "array", "items": {}}),
            format!("{at}.items.type: Required value: must not be empty for specified array items"),
        ),
        (
            json!({"type": "integer", "x-kubernetes-embedded-resource": true, "properties": {"a": {"type": "string"}}}),
            format!(r#"{at}.type: Invalid value: "integer": must be object if x-kubernetes-embedded-resource is true"#),
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            format!(
                "{at}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
            ),
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            format!(
                "{at}.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true"
            ),
        ),
        (
            json!({"type": "integer", "anyOf": [{"type": "integer", "description": "x"}]}),
            format!(
                "{at}.anyOf[0].description: Forbidden: must be empty to be structural, {at}.anyOf[0].type: Forbidden: must be empty to be structural"
            ),
        ),
        (
            json!({"type": "string", "pattern": "[a"}),
            format!(
                r#"{at}.pattern: Invalid value: "[a": must be a valid regular expression, but isn't: error parsing regexp: missing closing ]: `[a`"#
            ),
        ),
        (
            json!({"type": "nothing"}),
            format!(
                r#"{at}.type: Unsupported value: "nothing": supported values: "array", "boolean", "integer", "number", "object", "string""#
            ),
        ),
        (
            json!({"type": "object", "patternProperties": {"a": {"type": "string"}}}),
            format!("{at}.patternProperties: Forbidden: patternProperties is not supported"),
        ),
        (
            json!({"type": "object", "$ref": "#/x"}),
            format!("{at}.$ref: Forbidden: $ref is not supported"),
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            format!("{at}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
        ),
        (
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            format!(
                "{at}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            ),
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
            format!("{at}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"),
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"}),
            format!(
                r#"{at}.x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "set", "map""#
            ),
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            format!(
                "{at}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
            ),
        ),
        (
            json!({"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}),
            format!(
                "{at}.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ),
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}),
            format!(
                "{at}.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set"
            ),
        ),
        (
            json!({"type": "string", "x-kubernetes-map-type": "atomic"}),
            format!(r#"{at}.type: Invalid value: "string": must be object if x-kubernetes-map-type is specified"#),
        ),
        (
            json!({"type": "integer", "default": "x"}),
            format!(r#"{at}.default: Invalid value: "string": {at}.default in body must be of type integer: "string""#)
                .replace(&format!("{at}.default in"), " in"),
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}}),
            format!(r#"{at}.default: Invalid value: {{"b":1}}: must not have unknown fields"#),
        ),
    ];
    for (schema, want) in table {
        assert_eq!(of_spec(&schema).join(", "), want, "{schema}");
    }
    for good in [
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "a"}]}),
        json!({"type": "object", "properties": {"a": {"type": "string", "default": "x"}}, "default": {}}),
    ] {
        assert_eq!(of_spec(&good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn the_root_of_a_schema_is_an_object_whose_head_is_not_the_authors() {
    let at = "spec.validation.openAPIV3Schema";
    let table = [
        (
            json!({"type": "array", "items": {"type": "string"}}),
            format!(r#"{at}.type: Invalid value: "array": must be object at the root"#),
        ),
        (
            json!({"properties": {"spec": {"type": "object"}}}),
            format!("{at}.type: Required value: must not be empty at the root"),
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            format!("{at}.additionalProperties: Forbidden: must not be used at the root"),
        ),
        (
            json!({"type": "object", "nullable": true}),
            format!("{at}.nullable: Forbidden: nullable cannot be true at the root"),
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            format!(
                "{at}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
            ),
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "default": "x"}}}}}),
            format!(
                "{at}.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata"
            ),
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "integer"}}}),
            format!(r#"{at}.properties[kind].type: Invalid value: "integer": must be string"#),
        ),
        (
            json!({"type": "object", "not": {"properties": {"a": {"minimum": 1}}}}),
            format!("{at}.properties[a]: Required value: because it is defined in {at}.not.properties[a]"),
        ),
    ];
    for (schema, want) in table {
        assert_eq!(of_schema(&schema), [want], "{schema}");
    }
    let status = changed(&[
        ("/spec/versions/0/subresources", json!({"status": {}})),
        ("/spec/versions/0/schema/openAPIV3Schema/minProperties", json!(1)),
    ]);
    let found = mistakes(&status);
    assert!(
        found[0].contains("only [Description Type Format Title Maximum"),
        "{found:?}"
    );
}

#[test]
fn rules_have_a_shape() {
    let at = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
    let table = [
        (
            json!({"rule": " "}),
            format!("{at}.rule: Required value: rule is not specified"),
        ),
        (
            json!({"rule": "a", "message": " "}),
            format!(r#"{at}.message: Invalid value: " ": must be non-empty if specified"#),
        ),
        (
            json!({"rule": "a", "message": "a\nb"}),
            format!(r#"{at}.message: Invalid value: "a\nb": must not contain line breaks"#),
        ),
        (
            json!({"rule": "a\nb"}),
            format!("{at}.message: Required value: message must be specified if rule contains line breaks"),
        ),
        (
            json!({"rule": "a", "messageExpression": " "}),
            format!("{at}.messageExpression: Required value: messageExpression must be non-empty if specified"),
        ),
        (
            json!({"rule": "a", "reason": "Huh"}),
            format!(
                r#"{at}.reason: Unsupported value: "Huh": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired""#
            ),
        ),
        (
            json!({"rule": "a", "fieldPath": ".nope"}),
            format!(r#"{at}.fieldPath: Invalid value: ".nope": must be a valid path"#),
        ),
        (
            json!({"rule": "a", "optionalOldSelf": true}),
            format!("{at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"),
        ),
    ];
    let spec = |rule: Value| {
        json!({"type": "object", "x-kubernetes-validations": [rule], "properties": {
        "a": {"type": "object", "properties": {"b.c": {"type": "string"}}}}})
    };
    for (rule, want) in table {
        assert_eq!(of_spec(&spec(rule)), [want]);
    }
    assert_eq!(
        of_spec(&spec(json!({"rule": "a", "fieldPath": ".a['b.c']"}))),
        Vec::<String>::new()
    );
    let atomic =
        json!({"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "oldSelf"}]}});
    let at = "spec.validation.openAPIV3Schema.properties[spec]";
    assert_eq!(
        of_spec(&atomic),
        [format!(
            r#"{at}.items.x-kubernetes-validations[0].rule: Invalid value: "oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within {at}"#
        )]
    );
}

/// Finds every rule dear.
struct Dear(u64);

impl CheckRule for Dear {
    fn compile(&self, site: &RuleSite<'_>) -> Vec<Compiled> {
        assert_eq!(site.cardinality, Some(10));
        let cost = self.0;
        let dear = |_| Compiled {
            cost,
            ..Compiled::default()
        };
        site.rules.iter().map(dear).collect()
    }
}

#[test]
fn what_rules_cost_is_counted_over_all_values() {
    let crd = with_schema(
        &json!({"type": "object", "properties": {"spec": {"type": "array", "maxItems": 10, "items": {
        "type": "string", "x-kubernetes-validations": [{"rule": "self"}]}}}}),
    );
    let of = |cost: u64| {
        validate(&read(&crd, None), None, &Dear(cost))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(1_000_000), Vec::<String>::new());
    let at = "spec.validation.openAPIV3Schema.properties[spec].items.x-kubernetes-validations[0].rule";
    let advice = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";
    assert_eq!(
        of(2_000_000),
        [format!(
            "{at}: Forbidden: estimated rule cost exceeds budget by factor of 2.0x {advice}"
        )]
    );
    let all = of(200_000_000);
    assert_eq!(
        all[1..],
        [
            format!(
                "{at}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            ),
            format!(
                "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of 20.0x {advice}"
            ),
        ]
    );
}

#[test]
fn an_update_keeps_what_objects_are_stored_by() {
    let now = NOW.parse().unwrap();
    let mut old = read(&changed(&[]), None);
    let update = |old: &CustomResourceDefinition, changes: &[(&str, Value)]| {
        let new = read(&changed(changes), Some(old));
        validate(&new, Some(old), &Unchecked)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        update(&old, &[("/spec/scope", json!("Cluster"))]),
        Vec::<String>::new(),
        "not served yet"
    );
    old.status = Some(establish(&old, accept(&old, [], now), now));
    assert_eq!(
        update(&old, &[("/spec/scope", json!("Cluster"))]),
        [r#"spec.scope: Invalid value: "Cluster": field is immutable"#]
    );
    assert_eq!(
        update(&old, &[("/spec/names/plural", json!("wodgets"))]),
        [r#"spec.names.plural: Invalid value: "wodgets": field is immutable"#]
    );
    assert_eq!(
        update(&old, &[("/spec/versions/0/name", json!("v2"))]),
        [
            r#"status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions"#
        ]
    );
}

#[test]
fn schemas_nested_too_deep_are_refused_and_not_walked() {
    let deep = (0..2000).fold(
        json!({"type": "string"}),
        |inner, _| json!({"type": "array", "items": inner}),
    );
    let found = std::thread::Builder::new().stack_size(256 << 20).spawn(move || {
        let found = of_spec(&deep);
        // Dropping it recurses too.
        std::mem::forget(deep);
        found
    });
    let found = found.unwrap().join().unwrap();
    assert_eq!(
        found,
        [r#"spec.validation.openAPIV3Schema: Invalid value: "": must not be nested deeper than 64 levels"#]
    );
}

#[test]
fn authors_are_warned_of_formats_nobody_checks() {
    let crd = |format: &str| {
        read(
            &with_schema(&json!({"type": "object", "properties": {"a": {"type": "string", "format": format}}})),
            None,
        )
    };
    assert_eq!(warnings(&crd("hue"), None), [r#"unrecognized format "hue""#]);
    assert_eq!(warnings(&crd("hue"), Some(&crd("hue"))), Vec::<String>::new());
    assert_eq!(warnings(&crd("date-time"), None), Vec::<String>::new());
}

#[test]
fn a_deprecated_version_names_the_newest_to_use() {
    let version = |name: &str, storage: bool, deprecated: bool| {
        json!({"name": name, "served": true, "storage": storage,
        "deprecated": deprecated, "schema": {"openAPIV3Schema": {"type": "object"}}})
    };
    let crd = read(
        &changed(&[(
            "/spec/versions",
            json!([
                version("v1beta1", false, true),
                version("v1", true, false),
                version("v2", false, false)
            ]),
        )]),
        None,
    );
    let served = served::describe(&crd).unwrap();
    assert_eq!(
        served.versions[0].deprecation.as_deref(),
        Some("example.com/v1beta1 Widget is deprecated; use example.com/v2 Widget")
    );
    assert_eq!(
        (served.storage.as_str(), served.versions[1].deprecation.as_deref()),
        ("v1", None)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_definition_is_too_odd_to_be_judged(text in "[a-zA-Z.:/'\\[\\]\n \\\\-]{0,12}", number in any::<i64>(), deep in any::<bool>()) {
        let rules = json!([{"rule": text, "fieldPath": text, "message": text}]);
        let spec = json!({"type": if deep { "array" } else { "object" }, "items": {"type": "string", "pattern": text, "default": number,
            "x-kubernetes-validations": rules}, "properties": {text.clone(): {"type": text}}, "maxItems": number, "x-kubernetes-validations": rules});
        let crd = changed(&[
            ("/spec/versions/0/schema/openAPIV3Schema/properties/spec", spec),
            ("/spec/versions/0/selectableFields", json!([{"jsonPath": text}])),
            ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": [text], "clientConfig": {"url": text}}})),
            ("/spec/names/kind", json!(text)),
        ]);
        mistakes(&crd);
    }
}
