//! The documents of the real table, and those of definitions that users might bring.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::custom::Form;
use super::rows::{Kind, Source, Subresource, Verb};
use super::*;
use crate::registry::Registry;

fn snapshot() -> Snapshot {
    Snapshot::after(&Snapshot::default(), &Registry::new().table())
}

fn v2_value() -> Value {
    v2::document(&rows_of(Registry::new().table().resources()))
}

fn parsed(place: &str) -> Value {
    serde_json::from_slice(&snapshot().document(place).unwrap().bytes).unwrap()
}

fn all() -> Vec<(String, Value)> {
    let snapshot = snapshot();
    let parse = |(place, group): (&String, &Group)| {
        let value = serde_json::from_slice(&group.document.bytes).unwrap();
        (place.clone(), value)
    };
    let mut documents: Vec<_> = snapshot.groups.iter().map(parse).collect();
    documents.push(("v2".to_owned(), v2_value()));
    documents
}

/// The row of a definition with this schema.
fn row(kind: &str, schema: Option<Value>) -> Row {
    Row {
        kind: Kind {
            group: "example.com".to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
        },
        list_kind: format!("{kind}List"),
        plural: format!("{}s", kind.to_lowercase()),
        namespaced: true,
        verbs: vec![Verb::List, Verb::Create, Verb::Get, Verb::Update, Verb::Patch],
        subresources: vec![Subresource {
            name: "scale".to_owned(),
            verbs: vec![Verb::Get, Verb::Update, Verb::Patch],
            kind: Some(Kind {
                group: "autoscaling".to_owned(),
                version: "v1".to_owned(),
                kind: "Scale".to_owned(),
            }),
        }],
        source: Source::Custom(schema.map(Arc::new)),
        selectable: Vec::new(),
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

fn assert_references_lead_somewhere(what: &str, document: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{what}: {reference} leads nowhere");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for (what, document) in all() {
        assert_references_lead_somewhere(&what, &document);
    }
}

#[test]
fn every_patch_lists_what_clients_look_for() {
    for (what, document) in all() {
        let items = document["paths"].as_object().unwrap();
        let patches = items.iter().filter_map(|(path, item)| Some((path, item.get("patch")?)));
        for (path, patch) in patches {
            for name in ["dryRun", "fieldManager", "fieldValidation", "force"] {
                let parameters = patch["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|p| p["name"] == name), "{what} {path}: {name}");
            }
            // A map on operations, a list on schemas: clients trip over the other way round.
            assert!(patch["x-kubernetes-group-version-kind"].is_object(), "{what} {path}");
            let media: Vec<&str> = match patch.get("consumes") {
                Some(consumes) => consumes.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
                None => patch["requestBody"]["content"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect(),
            };
            assert_eq!(media, operations::PATCHES, "{what} {path}");
        }
    }
}

#[test]
fn every_kind_of_kubernetes_that_is_served_has_upstreams_name() {
    for resource in Registry::new().table().resources() {
        let ours = matches!(resource.body, crate::registry::Body::Schema(_));
        let named = builtin::schema_name(&resource.group, &resource.version, &resource.kind);
        assert_eq!(named.is_none(), ours, "{resource:?}");
    }
}

#[test]
fn every_resource_has_its_paths_and_operation_ids_are_unique() {
    let v2 = v2_value();
    let registry = Registry::new();
    for resource in registry.table().resources() {
        let root = if resource.group.is_empty() {
            "/api/v1".to_owned()
        } else {
            format!("/apis/{}/{}", resource.group, resource.version)
        };
        let scope = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let object = format!("{root}{scope}/{}/{{name}}", resource.plural);
        for (verb, method) in [
            ("get", "get"),
            ("update", "put"),
            ("patch", "patch"),
            ("delete", "delete"),
        ] {
            let there = v2["paths"][&object][method].is_object();
            assert_eq!(there, resource.verbs.contains(&verb), "{method} {object}");
        }
    }
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, item) in v2["paths"].as_object().unwrap() {
        for id in item
            .as_object()
            .unwrap()
            .values()
            .filter_map(|o| o["operationId"].as_str())
        {
            assert_eq!(ids.insert(id, path), None, "{id} at {path}");
        }
    }
    assert_eq!(
        ids["listCoreV1NamespacedConfigMap"],
        "/api/v1/namespaces/{namespace}/configmaps"
    );
    assert_eq!(
        ids["listBreakbulkDevV1JobForAllNamespaces"],
        "/apis/breakbulk.dev/v1/jobs"
    );
}

#[test]
fn a_kind_has_one_definition() {
    for (what, document) in all() {
        let definitions = match document.get("definitions") {
            Some(definitions) => definitions,
            None => &document["components"]["schemas"],
        };
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, schema) in definitions.as_object().unwrap() {
            let Some(kinds) = schema.get("x-kubernetes-group-version-kind") else {
                continue;
            };
            for kind in kinds.as_array().expect("a list on schemas") {
                assert_eq!(
                    seen.insert(kind.to_string(), name),
                    None,
                    "{what}: {kind} is {name} too"
                );
            }
        }
        assert!(!seen.is_empty(), "{what}");
    }
}

#[test]
fn our_kinds_are_named_as_upstream_names_them_and_described() {
    let document = parsed("apis/breakbulk.dev/v1");
    let job = &document["components"]["schemas"]["dev.breakbulk.v1.Job"];
    assert!(job["x-kubernetes-group-version-kind"].is_array());
    assert!(job["properties"]["spec"]["properties"]["script"]["description"].is_string());
    for name in ["apiVersion", "kind", "metadata"] {
        assert!(job["properties"][name]["description"].is_string(), "{name}");
    }
    let list = &document["components"]["schemas"]["dev.breakbulk.v1.JobList"];
    assert_eq!(list["x-kubernetes-group-version-kind"][0]["kind"], "JobList");
}

#[test]
fn the_index_names_every_document_with_its_hash() {
    let snapshot = snapshot();
    let index: Value = serde_json::from_slice(&snapshot.index().unwrap().bytes).unwrap();
    for (place, group) in &snapshot.groups {
        assert_eq!(index["paths"][place]["serverRelativeURL"], url(place, &group.document));
    }
    assert!(parsed("api/v1")["components"]["schemas"]["io.k8s.api.core.v1.Node"].is_object());
}

#[test]
fn only_what_changed_is_made_anew() {
    let registry = Registry::new();
    let before = Snapshot::after(&Snapshot::default(), &registry.table());
    let resources = registry.table().resources().to_vec();
    registry.replace(resources.into_iter().filter(|r| r.plural != "leases").collect());
    let table = registry.table();
    assert!(!before.is_of(&table));
    let after = Snapshot::after(&before, &table);
    assert!(after.is_of(&table));
    assert!(after.document("apis/coordination.k8s.io/v1").is_none());
    assert_ne!(before.index().unwrap().hash, after.index().unwrap().hash);
    let (old, new) = (before.document("api/v1").unwrap(), after.document("api/v1").unwrap());
    // The very bytes, not only equal ones.
    assert_eq!(old.bytes.as_ptr(), new.bytes.as_ptr());
}

/// A definition with these versions, and whether each is served.
fn definition(versions: &[(&str, bool)]) -> Vec<Arc<Resource>> {
    let version = |(at, (name, served)): (usize, &(&str, bool))| {
        json!({"name": name, "served": served, "storage": at == 0, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "description": format!("of {name}")}}}}})
    };
    let versions: Vec<Value> = versions.iter().enumerate().map(version).collect();
    let crd = json!({"metadata": {"name": "foos.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "versions": versions,
        "names": {"kind": "Foo", "plural": "foos"}}});
    let crd = serde_json::from_value(crd).unwrap();
    crate::registry::definition_rows(&crd, crate::registry::Accepting::All, None, None)
        .unwrap()
        .resources
}

#[tokio::test]
async fn a_version_is_published_while_it_is_served() {
    let (api, registry) = (Arc::new(OpenApi::default()), Registry::new());
    let own = registry.table().resources().to_vec();
    for versions in [
        &[("v1", true), ("v2", true)][..],
        &[("v1", true), ("v2", false)],
        &[("v1", true), ("v3", true)],
        &[],
    ] {
        let foos = if versions.is_empty() {
            Vec::new()
        } else {
            definition(versions)
        };
        registry.replace(own.iter().cloned().chain(foos).collect());
        let table = registry.table();
        let v2 = api.v2(&table, Encoding::Json).await.unwrap();
        let v2: Value = serde_json::from_slice(&v2.bytes).unwrap();
        for version in ["v1", "v2", "v3"] {
            let served = versions.contains(&(version, true));
            let v3 = api
                .v3(&table, &format!("apis/example.com/{version}"), Encoding::Json)
                .await;
            assert_eq!(v3.is_some(), served, "{version} of {versions:?}");
            let foo = &v2["definitions"][format!("com.example.{version}.Foo")];
            let said = foo["properties"]["spec"]["description"].as_str();
            assert_eq!(said.map(str::to_owned), served.then(|| format!("of {version}")));
        }
    }
}

#[tokio::test]
async fn documents_are_made_once_for_all_who_ask_at_the_same_time() {
    let api = Arc::new(OpenApi::default());
    let table = Registry::new().table();
    let ask = || {
        let (api, table) = (api.clone(), table.clone());
        tokio::spawn(async move { api.current(&table).await })
    };
    let (one, two) = (ask(), ask());
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    let json = api.v2(&table, Encoding::Json).await.unwrap();
    let protobuf = api.v2(&table, Encoding::Protobuf).await.unwrap();
    // The first field of both messages is the version.
    assert_eq!(&protobuf.bytes[..5], b"\x0a\x032.0");
    assert_eq!(json.hash, protobuf.hash);
    let v3 = api.v3(&table, "api/v1", Encoding::Protobuf).await.unwrap();
    assert_eq!(&v3.bytes[..7], b"\x0a\x053.0.0");
    assert_eq!(v3.hash, one.document("api/v1").unwrap().hash);
    assert!(api.v3(&table, "apis/none/v1", Encoding::Json).await.is_none());
}

#[test]
fn v2_says_types_as_old_clients_know_them() {
    let v2 = v2_value();
    let definitions = &v2["definitions"];
    let quantity = &definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!((&quantity["type"], quantity.get("oneOf")), (&json!("string"), None));
    let node = &definitions["io.k8s.api.core.v1.Node"]["properties"]["spec"];
    assert_eq!(node["$ref"], "#/definitions/io.k8s.api.core.v1.NodeSpec");
    assert!(node["description"].is_string());
    assert_eq!(node.get("allOf"), None);
    let conditions = &definitions["io.k8s.api.core.v1.NodeStatus"]["properties"]["conditions"];
    assert_eq!(conditions["x-kubernetes-patch-merge-key"], "type");
}

#[test]
fn a_definition_without_a_schema_says_nothing_but_that_it_is_an_object() {
    for form in [Form::V2, Form::V3] {
        let schema = custom::schema(&row("Foo", None), form);
        assert_eq!(schema["type"], "object");
        assert_eq!(schema.get("properties"), None);
        assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Foo");
    }
}

#[test]
fn unknown_fields_that_are_kept_at_the_root_leave_no_properties_in_v2() {
    let raw = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"spec": {"type": "object", "description": "said"}}});
    let v2 = custom::schema(&row("Foo", Some(raw.clone())), Form::V2);
    assert_eq!(v2.get("properties"), None);
    let v3 = custom::schema(&row("Foo", Some(raw)), Form::V3);
    assert_eq!(v3["x-kubernetes-preserve-unknown-fields"], true);
    assert_eq!(v3["properties"]["spec"]["description"], "said");
    assert!(v3["properties"]["metadata"]["allOf"].is_array());
}

#[test]
fn embedded_resources_get_what_every_object_has_but_not_where_v2_would_forbid_the_rest() {
    let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "properties": {"spec": {"type": "object"}}});
    let mut open = embedded.clone();
    open["x-kubernetes-preserve-unknown-fields"] = json!(true);
    let raw = json!({"type": "object", "properties": {"closed": embedded, "open": open}});
    let v3 = custom::schema(&row("Foo", Some(raw.clone())), Form::V3);
    for name in ["closed", "open"] {
        assert!(v3["properties"][name]["properties"]["metadata"].is_object(), "{name}");
        assert_eq!(v3["properties"][name]["required"], json!(["kind", "apiVersion"]));
    }
    let v2 = custom::schema(&row("Foo", Some(raw)), Form::V2);
    assert!(v2["properties"]["closed"]["properties"]["metadata"].is_object());
    assert_eq!(v2["properties"]["open"].get("properties"), None);
    assert_eq!(v2["properties"]["open"].get("type"), None);
}

#[test]
fn what_v2_cannot_say_is_left_out() {
    let raw = json!({"type": "object", "required": ["a", "b"], "oneOf": [{"required": ["a"]}], "properties": {
        "a": {"type": "array", "nullable": true, "items": {"type": "string"}},
        "b": {"type": "string", "default": "x", "anyOf": [{"pattern": "x"}], "not": {"enum": ["y"]}},
        "c": {"x-kubernetes-int-or-string": true},
        "d": {"type": "array", "x-kubernetes-preserve-unknown-fields": true, "items": {"type": "object"}},
    }});
    let document = v2::document(&[row("Foo", Some(raw.clone()))]);
    let foo = &document["definitions"]["com.example.v1.Foo"];
    assert_eq!((&foo["required"], foo.get("oneOf")), (&json!(["b"]), None));
    assert_eq!(foo["properties"]["a"], json!({}));
    assert_eq!(foo["properties"]["b"], json!({"type": "string"}));
    assert_eq!(foo["properties"]["c"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(
        foo["properties"]["d"],
        json!({"x-kubernetes-preserve-unknown-fields": true})
    );
    let v3 = custom::schema(&row("Foo", Some(raw)), Form::V3);
    assert_eq!(v3["properties"]["b"]["default"], "x");
    assert_eq!(
        v3["properties"]["c"]["anyOf"],
        json!([{"type": "integer"}, {"type": "string"}])
    );
}

#[test]
fn several_kinds_groups_and_versions_stand_side_by_side() {
    let mut other_version = row("Foo", None);
    other_version.kind.version = "v2".to_owned();
    let mut other_group = row("Foo", None);
    other_group.kind.group = "other.example.org".to_owned();
    let document = v2::document(&[row("Foo", None), row("Bar", None), other_version, other_group]);
    for name in [
        "com.example.v1.Foo",
        "com.example.v1.Bar",
        "com.example.v2.Foo",
        "org.example.other.v1.Foo",
    ] {
        assert!(document["definitions"][name].is_object(), "{name}");
    }
    let scale = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/foos/{name}/scale"]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    assert_references_lead_somewhere("v2", &document);
}

/// Schemas as users write them, right and wrong.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "nullable": true, "default": "x"})),
        Just(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "string"}]})),
        Just(json!({"type": "array"})),
        Just(json!({"oneOf": [{"required": ["a"]}], "required": ["a", 1]})),
        Just(json!(true)),
        Just(json!({"properties": 1, "items": [], "required": {}, "allOf": 3, "nullable": "yes"})),
        Just(json!({"$ref": "#/components/schemas/nothing"})),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let properties = proptest::collection::btree_map("(a|b|metadata|\\$ref|type|required)", inner.clone(), 0..4);
        (properties, inner.clone(), any::<[bool; 4]>()).prop_map(|(properties, inner, [keep, embed, empty, list])| {
            let mut schema = json!({
                "type": if list { "array" } else { "object" },
                "properties": properties,
                "required": ["a", "b"],
                "x-kubernetes-preserve-unknown-fields": keep,
                "x-kubernetes-embedded-resource": embed,
                "nullable": empty,
            });
            schema[if list { "items" } else { "additionalProperties" }] = inner;
            schema
        })
    })
}

/// No schema of a v2 document says what v2 cannot say.
fn assert_v2(schema: &Value) {
    for word in ["oneOf", "anyOf", "not", "nullable", "default", "allOf"] {
        assert_eq!(schema.get(word), None, "{word} in {schema}");
    }
    if schema["type"] == "array" {
        assert!(schema.get("items").is_some(), "{schema}");
    }
    let mut copy = schema.clone();
    custom::below(&mut copy, &mut |inner| assert_v2(inner));
}

proptest! {
    #[test]
    fn any_schema_becomes_a_v2_definition(raw in schemas()) {
        let row = row("Foo", Some(raw));
        let document = v2::document(std::slice::from_ref(&row));
        assert_v2(&document["definitions"]["com.example.v1.Foo"]);
        let document = v3::document(&[row]);
        prop_assert!(document["components"]["schemas"]["com.example.v1.Foo"].is_object());
    }
}
