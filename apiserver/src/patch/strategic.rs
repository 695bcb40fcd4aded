//! Strategic merge patch, for the core kinds: a merge patch in which some lists are merged by a key, and directives
//! say what a merge cannot (`$patch`, `$deleteFromPrimitiveList`, `$setElementOrder`, `$retainKeys`).
//!
//! Which lists merge is data: the rows of `LISTS`, read off the `patchStrategy` and `patchMergeKey` tags of
//! upstream's types for the kinds served here. A list that has no row is replaced.

use serde_json::{Map, Value};

use super::PatchError;

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// Its elements are objects, told apart by this field.
    ByKey(&'static str),
    /// Its elements are values; those of the patch are added.
    AsSet,
}

/// Kind (empty: every kind), the list's path, and how it is merged.
const LISTS: &[(&str, &str, Merge)] = &[
    ("", "metadata.finalizers", Merge::AsSet),
    ("", "metadata.ownerReferences", Merge::ByKey("uid")),
    ("Namespace", "status.conditions", Merge::ByKey("type")),
    ("Node", "spec.podCIDRs", Merge::AsSet),
    ("Node", "status.addresses", Merge::ByKey("type")),
    ("Node", "status.conditions", Merge::ByKey("type")),
    ("Pod", "spec.containers", Merge::ByKey("name")),
    ("Pod", "spec.volumes", Merge::ByKey("name")),
    ("Pod", "status.conditions", Merge::ByKey("type")),
    ("Service", "spec.ports", Merge::ByKey("port")),
    ("Service", "status.conditions", Merge::ByKey("type")),
    ("ServiceAccount", "imagePullSecrets", Merge::ByKey("name")),
    ("ServiceAccount", "secrets", Merge::ByKey("name")),
];

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies `patch` to an object of `kind`. On an error `target` may be half changed: work on a copy.
pub fn apply(target: &mut Value, patch: &Value, kind: &str) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed(
            "a strategic merge patch must be an object".to_owned(),
        ));
    };
    object(target, patch, kind, "")
}

fn rule(kind: &str, path: &str) -> Option<Merge> {
    LISTS
        .iter()
        .find(|(of, at, _)| *at == path && (of.is_empty() || *of == kind))
        .map(|row| row.2)
}

fn object(target: &mut Value, patch: &Map<String, Value>, kind: &str, path: &str) -> Result<(), PatchError> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *target = Value::Object(patch.iter().filter(|(key, _)| *key != DIRECTIVE).map(own).collect());
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(PatchError::Malformed(format!("unknown $patch directive: {other}"))),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return Ok(()) };
    if let Some(Value::Array(keep)) = patch.get(RETAIN) {
        map.retain(|key, _| keep.iter().any(|name| name.as_str() == Some(key)));
    }
    for (key, value) in patch {
        member(map, key, value, kind, path)?;
    }
    reorder(map, patch, kind, path);
    Ok(())
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn member(map: &mut Map<String, Value>, key: &str, value: &Value, kind: &str, path: &str) -> Result<(), PatchError> {
    if let Some(list) = key.strip_prefix(DELETE_FROM) {
        if let (Some(Value::Array(have)), Value::Array(out)) = (map.get_mut(list), value) {
            have.retain(|element| !out.contains(element));
        }
        return Ok(());
    }
    if key.starts_with('$') {
        return Ok(());
    }
    let below = if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    };
    match value {
        Value::Null => {
            map.remove(key);
            Ok(())
        }
        Value::Object(inner) => object(map.entry(key.to_owned()).or_insert(Value::Null), inner, kind, &below),
        Value::Array(elements) => match rule(kind, &below) {
            Some(merge) => {
                let have = map.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
                list(have, elements, merge, kind, &below)
            }
            None => {
                map.insert(key.to_owned(), value.clone());
                Ok(())
            }
        },
        other => {
            map.insert(key.to_owned(), other.clone());
            Ok(())
        }
    }
}

fn list(target: &mut Value, patch: &[Value], merge: Merge, kind: &str, path: &str) -> Result<(), PatchError> {
    let Value::Array(have) = target else {
        *target = Value::Array(patch.to_vec());
        return Ok(());
    };
    let Merge::ByKey(key) = merge else {
        for element in patch {
            if !have.contains(element) {
                have.push(element.clone());
            }
        }
        return Ok(());
    };
    let directive = |element: &Value| element.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
    if patch
        .iter()
        .any(|element| directive(element).as_deref() == Some("replace"))
    {
        have.clear();
    }
    for element in patch {
        let Value::Object(fields) = element else {
            return Err(PatchError::Malformed(format!(
                "{path} must hold objects with the field {key}"
            )));
        };
        let found = fields
            .get(key)
            .and_then(|id| have.iter().position(|item| item.get(key) == Some(id)));
        match (directive(element).as_deref(), found) {
            (Some("replace"), _) if fields.len() == 1 => {}
            (Some("delete"), Some(at)) => _ = have.remove(at),
            (Some("delete"), None) => {}
            (_, Some(at)) => object(&mut have[at], fields, kind, path)?,
            (_, None) if fields.contains_key(key) => {
                let mut fresh = Value::Object(Map::new());
                object(&mut fresh, fields, kind, path)?;
                have.push(fresh);
            }
            (_, None) => {
                return Err(PatchError::Malformed(format!(
                    "{path}: an element does not have the merge key {key}"
                )));
            }
        }
    }
    Ok(())
}

/// Puts merged lists into the order the patch asks for; elements it does not name keep their places behind.
fn reorder(map: &mut Map<String, Value>, patch: &Map<String, Value>, kind: &str, path: &str) {
    for (key, order) in patch {
        let (Some(name), Value::Array(order)) = (key.strip_prefix(ORDER), order) else {
            continue;
        };
        let below = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        let Some(Value::Array(have)) = map.get_mut(name) else {
            continue;
        };
        let place = |element: &Value| {
            let same = |wanted: &Value| match rule(kind, &below) {
                Some(Merge::ByKey(key)) => wanted.get(key) == element.get(key),
                _ => wanted == element,
            };
            order.iter().position(same).unwrap_or(order.len())
        };
        have.sort_by_key(place);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(kind: &str, target: Value, patch: &Value) -> Value {
        let mut value = target;
        apply(&mut value, patch, kind).unwrap();
        value
    }

    #[test]
    fn conditions_are_merged_by_their_type() {
        let node =
            json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}, {"type": "B"}]}});
        let patch = json!({"status": {
            "$setElementOrder/conditions": [{"type": "New"}, {"type": "Ready"}],
            "conditions": [{"type": "Ready", "status": "False"}, {"type": "New"}, {"type": "B", "$patch": "delete"}],
        }});
        let want = json!([{"type": "New"}, {"type": "Ready", "status": "False", "reason": "x"}]);
        assert_eq!(patched("Node", node, &patch)["status"]["conditions"], want);
    }

    #[test]
    fn lists_without_a_rule_are_replaced() {
        let node = json!({"spec": {"taints": [{"key": "a"}]}});
        let patch = json!({"spec": {"taints": [{"key": "b"}]}});
        assert_eq!(
            patched("Node", node, &patch),
            json!({"spec": {"taints": [{"key": "b"}]}})
        );
    }

    #[test]
    fn finalizers_are_a_set_and_directives_take_out_and_keep() {
        let target = json!({"metadata": {"finalizers": ["a", "b"]}, "data": {"x": "1", "y": "2"}});
        let patch = json!({
            "metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]},
            "data": {"$retainKeys": ["y", "z"], "z": "3"},
        });
        let want = json!({"metadata": {"finalizers": ["b", "c"]}, "data": {"y": "2", "z": "3"}});
        assert_eq!(patched("ConfigMap", target, &patch), want);
        let replaced = patched(
            "ConfigMap",
            json!({"data": {"x": "1"}}),
            &json!({"data": {"$patch": "replace", "y": "2"}}),
        );
        assert_eq!(replaced, json!({"data": {"y": "2"}}));
    }

    #[test]
    fn malformed_patches_are_refused() {
        for patch in [
            json!([]),
            json!({"$patch": "x"}),
            json!({"status": {"conditions": [1]}}),
            json!({"status": {"conditions": [{}]}}),
        ] {
            let mut value = json!({});
            assert!(apply(&mut value, &patch, "Node").is_err(), "{patch}");
        }
    }
}
