//! Strategic merge patches on Kubernetes' own kinds and ours, by the schemas that are published.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::openapi::merge_rules;

fn tried(kind: &str, mut target: Value, patch: &Value) -> Result<Value, PatchError> {
    let rules = merge_rules("", "v1", kind)
        .or_else(|| merge_rules(breakbulk_schemas::GROUP, "v1", kind))
        .unwrap();
    apply(&mut target, patch, rules).map(|()| target)
}

fn patched(kind: &str, target: Value, patch: &Value) -> Value {
    tried(kind, target, patch).unwrap()
}

fn error(kind: &str, target: Value, patch: &Value) -> String {
    tried(kind, target, patch).unwrap_err().to_string()
}

#[test]
fn conditions_are_merged_by_their_type_and_stand_in_the_order_asked_for() {
    let node = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}, {"type": "B"}]}});
    let patch = json!({"status": {
        "$setElementOrder/conditions": [{"type": "New"}, {"type": "Ready"}],
        "conditions": [{"type": "New"}, {"type": "Ready", "status": "False"}, {"type": "B", "$patch": "delete"}],
    }});
    let want = json!([{"type": "New"}, {"type": "Ready", "status": "False", "reason": "x"}]);
    assert_eq!(patched("Node", node, &patch)["status"]["conditions"], want);
}

#[test]
fn merge_keys_are_found_deep_in_a_pod_and_through_references() {
    let pod = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1, "name": "x"}],
        "env": [{"name": "E", "value": "1"}]}]}});
    let patch = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 2},
        {"containerPort": 3}], "env": [{"name": "E", "value": "2"}, {"name": "F", "value": null}]}]}});
    let want = json!({"name": "a", "ports": [{"containerPort": 1, "name": "x", "hostPort": 2}, {"containerPort": 3}],
        "env": [{"name": "E", "value": "2"}, {"name": "F"}]});
    assert_eq!(patched("Pod", pod, &patch)["spec"]["containers"][0], want);
}

#[test]
fn our_kinds_merge_by_the_keys_of_their_schemas() {
    let job = json!({"status": {"conditions": [{"type": "Succeeded", "status": "Unknown"}, {"type": "Started"}],
        "attempts": [{"number": 1, "node": "n"}]}});
    let patch = json!({"status": {"conditions": [{"type": "Succeeded", "status": "True"}],
        "attempts": [{"number": 1, "exitCode": 0}, {"number": 2}]}});
    let want = json!({"status": {
        "conditions": [{"type": "Succeeded", "status": "True"}, {"type": "Started"}],
        "attempts": [{"number": 1, "node": "n", "exitCode": 0}, {"number": 2}]}});
    assert_eq!(patched("Job", job, &patch), want);
    let labels = json!({"metadata": {"finalizers": ["a"], "labels": {"x": "1", "y": "2"}}});
    let patch = json!({"metadata": {"finalizers": ["b"], "labels": {"x": null, "z": "3"}}});
    let want = json!({"metadata": {"finalizers": ["a", "b"], "labels": {"y": "2", "z": "3"}}});
    assert_eq!(
        patched("Pipeline", labels, &patch)["metadata"]["labels"],
        want["metadata"]["labels"]
    );
}

#[test]
fn lists_without_a_rule_are_replaced() {
    let node = json!({"spec": {"taints": [{"key": "a"}]}});
    let patch = json!({"spec": {"taints": [{"key": "b"}]}});
    assert_eq!(patched("Node", node, &patch), patch);
    // Upstream's schema says atomic, whatever one may expect.
    let account = json!({"imagePullSecrets": [{"name": "a"}], "secrets": [{"name": "a"}]});
    let patch = json!({"imagePullSecrets": [{"name": "b"}], "secrets": [{"name": "b"}]});
    let want = json!({"imagePullSecrets": [{"name": "b"}], "secrets": [{"name": "b"}, {"name": "a"}]});
    assert_eq!(patched("ServiceAccount", account, &patch), want);
}

#[test]
fn sets_take_values_in_and_out() {
    let target = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    let patch = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a", "none"],
        "$setElementOrder/finalizers": ["d", "b", "c"],
        "finalizers": ["d"],
    }});
    let want = json!({"metadata": {"finalizers": ["d", "b", "c"]}});
    assert_eq!(patched("ConfigMap", target.clone(), &patch), want);
    let twice = json!({"metadata": {"finalizers": ["c", "c", "x"]}});
    let merged = patched("ConfigMap", target.clone(), &twice);
    assert_eq!(merged["metadata"]["finalizers"], json!(["a", "b", "c", "x"]));
    let none = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    assert_eq!(
        patched("ConfigMap", json!({"metadata": {}}), &none),
        json!({"metadata": {}})
    );
}

#[test]
fn maps_and_lists_can_be_replaced_and_deleted_whole() {
    let map = json!({"data": {"x": "1"}});
    let replace = json!({"data": {"$patch": "replace", "y": "2"}});
    assert_eq!(patched("ConfigMap", map.clone(), &replace), json!({"data": {"y": "2"}}));
    let delete = json!({"data": {"$patch": "delete"}});
    assert_eq!(patched("ConfigMap", map.clone(), &delete), json!({"data": {}}));
    assert_eq!(patched("ConfigMap", map, &json!({"$patch": "replace"})), json!({}));
    let list = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
    let replace = json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}});
    let want = json!({"spec": {"containers": [{"name": "c"}]}});
    assert_eq!(patched("Pod", list, &replace), want);
}

#[test]
fn retained_keys_are_all_that_is_left() {
    let target = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let patch = json!({"spec": {"volumes": [
        {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}});
    let want = json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}});
    assert_eq!(patched("Pod", target.clone(), &patch), want);
    let forgot = json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}});
    assert_eq!(error("Pod", target, &forgot), "invalid patch format of retainKeys");
}

#[test]
fn what_is_new_holds_neither_nulls_nor_directives() {
    let patch = json!({"data": {"a": null, "b": "1", "c": {"$patch": "delete"}}, "x": {"$patch": "replace"},
        "metadata": {"finalizers": ["f"]}});
    let want = json!({"data": {"b": "1"}, "metadata": {"finalizers": ["f"]}});
    assert_eq!(patched("ConfigMap", json!({}), &patch), want);
    // A list where the object has a value, and the other way round.
    let odd = patched("ConfigMap", json!({"data": "text"}), &json!({"data": {"a": "1"}}));
    assert_eq!(odd, json!({"data": {"a": "1"}}));
}

#[test]
fn elements_that_only_the_server_has_keep_their_place() {
    let target = json!({"spec": {"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]}});
    let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
        "containers": [{"name": "b", "image": "i"}]}});
    let merged = patched("Pod", target, &patch);
    let want = json!([{"name": "a"}, {"name": "server"}, {"name": "b", "image": "i"}]);
    assert_eq!(merged["spec"]["containers"], want);
}

#[test]
fn malformed_patches_are_refused_with_upstreams_words() {
    let pod = || json!({"spec": {"containers": [{"name": "a"}]}, "metadata": {"finalizers": ["a"]}});
    for (patch, why) in [
        (json!([]), "invalid JSON document"),
        (
            json!({"$patch": "x"}),
            "unknown patch type: x in map: {\"$patch\":\"x\"}",
        ),
        (
            json!({"$patch": "merge"}),
            "unknown patch type: merge in map: {\"$patch\":\"merge\"}",
        ),
        (json!({"$retainKeys": 1}), "invalid patch format of retainKeys"),
        (
            json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
            "invalid patch format of primitive list",
        ),
        (
            json!({"spec": {"$setElementOrder": []}}),
            "invalid patch format of setElementOrder list",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": 5}}),
            "expected a []interface {}, but received a int64",
        ),
        (
            json!({"spec": {"containers": [{"image": "i"}]}}),
            "map: {\"image\":\"i\"} does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            "map: {\"$patch\":\"delete\"} does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "merge", "name": "a"}]}}),
            "merging lists cannot yet be specified in the patch",
        ),
        (
            json!({"spec": {"containers": [1]}}),
            "list element types are not identical",
        ),
        (
            json!({"metadata": {"finalizers": [["x"]]}}),
            "list element types are not identical",
        ),
        (
            json!({"metadata": {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["a", "b"]}}),
            "The order in patch list:\n[\"a\" \"b\"]\n doesn't match $setElementOrder list:\n[\"b\" \"a\"]\n",
        ),
    ] {
        assert_eq!(error("Pod", pod(), &patch), why, "{patch}");
    }
    let lists = json!({"metadata": {"finalizers": [["x"]]}});
    let refused = tried("Pod", json!({"metadata": {"finalizers": []}}), &lists);
    assert_eq!(
        refused,
        Err(PatchError::Failed("lists of lists are not supported".to_owned()))
    );
}

/// Objects and patches with names that mean something, in right and wrong places.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        "(a|b|delete|replace|merge)".prop_map(Value::from),
    ];
    let names = "(spec|metadata|containers|finalizers|name|ports|containerPort|\\$patch|\\$retainKeys|\
        \\$setElementOrder/(containers|finalizers)|\\$deleteFromPrimitiveList/finalizers)";
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(names, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Pods as they are, and patches as clients make them.
fn containers() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-d]", 0..3u8, 0..4).prop_map(|named| {
        let list: Vec<Value> = named
            .into_iter()
            .map(|(name, n)| json!({"name": name, "image": n.to_string()}))
            .collect();
        json!({"spec": {"containers": list}})
    })
}

proptest! {
    #[test]
    fn no_patch_makes_it_panic(target in anything(), patch in anything()) {
        let _ = tried("Pod", target, &patch);
    }

    #[test]
    fn a_patch_applied_twice_is_a_patch_applied_once(target in containers(), patch in containers()) {
        let once = patched("Pod", target, &patch);
        prop_assert_eq!(patched("Pod", once.clone(), &patch), once);
    }

    #[test]
    fn what_the_patch_says_is_there_and_the_rest_is_as_it_was(target in containers(), patch in containers()) {
        let merged = patched("Pod", target.clone(), &patch);
        let list = |value: &Value| value["spec"]["containers"].as_array().unwrap().clone();
        let (merged, patch) = (list(&merged), list(&patch));
        for wanted in &patch {
            prop_assert!(merged.contains(wanted));
        }
        for had in list(&target) {
            let changed = patch.iter().any(|element| element["name"] == had["name"]);
            prop_assert!(changed || merged.contains(&had));
        }
    }
}
