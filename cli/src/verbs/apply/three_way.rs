//! The change that makes an object be as a document says: what the document sets, and without what an earlier apply
//! set and the document no longer has. What others set stays.
//!
//! What an earlier apply set is kept in the object, in the annotation that kubectl uses for the same, so that both
//! can be used in turn.

use base64::Engine as _;
use serde_json::{Map, Value, json};

/// Where the document last applied is kept.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The document as the server is to have it: in its namespace, with itself as annotation.
pub(super) fn wanted(document: &Value, namespace: Option<&str>) -> Value {
    let mut wanted = document.clone();
    if let Some(object) = wanted.as_object_mut() {
        // Observed, not desired: it is another's to write.
        object.remove("status");
        encode_strings(object);
    }
    let metadata = &mut wanted["metadata"];
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let annotations = metadata
        .as_object_mut()
        .and_then(|m| m.get_mut("annotations"))
        .and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.remove(LAST_APPLIED);
    }
    let last_applied = wanted.to_string();
    if !wanted["metadata"]["annotations"].is_object() {
        wanted["metadata"]["annotations"] = json!({});
    }
    wanted["metadata"]["annotations"][LAST_APPLIED] = json!(last_applied);
    wanted
}

/// A Secret's `stringData` is a way of writing `data`; the server keeps only the latter.
fn encode_strings(object: &mut Map<String, Value>) {
    if object.get("kind").is_none_or(|kind| kind != "Secret") {
        return;
    }
    let all_texts = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    let fits = object.get("stringData").is_some_and(all_texts) && object.get("data").is_none_or(Value::is_object);
    // Anything else is a mistake for the server to name, at the field as it was written.
    if !fits {
        return;
    }
    let Some(Value::Object(strings)) = object.remove("stringData") else {
        return;
    };
    let data = object.entry("data").or_insert_with(|| json!({}));
    for (key, value) in strings {
        let text = value.as_str().unwrap_or_default();
        data[key] = json!(base64::engine::general_purpose::STANDARD.encode(text));
    }
}

/// The merge patch (RFC 7386) from the object to the document; none when the object already is as it says.
pub(super) fn patch(wanted: &Value, current: &Value) -> Option<Value> {
    let annotation = &current["metadata"]["annotations"][LAST_APPLIED];
    let last: Value = annotation
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null);
    let mut patch = difference(&last, wanted, current)?;
    // The annotation alone is no change: a document that says the same in another order.
    if let Some(annotations) = patch.pointer("/metadata/annotations").and_then(Value::as_object) {
        let only = |value: &Value| value.as_object().is_some_and(|map| map.len() == 1);
        let known = !last.is_null();
        if known
            && annotations.len() == 1
            && annotations.contains_key(LAST_APPLIED)
            && only(&patch["metadata"])
            && only(&patch)
        {
            let same = serde_json::from_str::<Value>(wanted["metadata"]["annotations"][LAST_APPLIED].as_str()?).ok();
            if same.as_ref() == Some(&last) {
                return None;
            }
        }
    }
    // The patch is for the object that was looked at, not for another of the same name.
    if let Some(uid) = current.pointer("/metadata/uid") {
        patch["metadata"]["uid"] = uid.clone();
    }
    Some(patch)
}

/// What to merge into `current` so that it has what `wanted` has and lacks what only `last` has.
fn difference(last: &Value, wanted: &Value, current: &Value) -> Option<Value> {
    let Value::Object(fields) = wanted else {
        return (wanted != current).then(|| wanted.clone());
    };
    let empty = Map::new();
    let now = current.as_object();
    let mut patch = Map::new();
    for (key, value) in fields {
        let there = now.and_then(|now| now.get(key));
        let was = last.get(key).unwrap_or(&Value::Null);
        match there {
            // A field written as null is to be absent.
            None if value.is_null() => {}
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(there) => {
                if let Some(change) = difference(was, value, there) {
                    patch.insert(key.clone(), change);
                }
            }
        }
    }
    for key in last.as_object().unwrap_or(&empty).keys() {
        if !fields.contains_key(key) && now.is_some_and(|now| now.contains_key(key)) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    (!patch.is_empty() || now.is_none()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(spec: &Value) -> Value {
        json!({"apiVersion": "breakbulk.dev/v1", "kind": "Pipeline", "metadata": {"name": "p"}, "spec": spec})
    }

    /// The object after a first apply, with what the server adds.
    fn stored(spec: &Value) -> Value {
        let mut object = wanted(&document(spec), Some("default"));
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["resourceVersion"] = json!("7");
        object["status"] = json!({"lastRun": "x"});
        object
    }

    fn after(mut object: Value, patch: &Value) -> Value {
        fn merge(target: &mut Value, patch: &Value) {
            let Value::Object(fields) = patch else {
                *target = patch.clone();
                return;
            };
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in fields {
                if value.is_null() {
                    target.as_object_mut().unwrap().remove(key);
                } else {
                    merge(&mut target[key], value);
                }
            }
        }
        merge(&mut object, patch);
        object
    }

    #[test]
    fn the_same_document_changes_nothing_also_when_the_server_filled_in_defaults() {
        let mut object = stored(&json!({"jobs": {"a": {"run": "x"}}}));
        object["spec"]["jobs"]["a"]["timeout"] = json!("1h");
        assert_eq!(
            patch(
                &wanted(&document(&json!({"jobs": {"a": {"run": "x"}}})), Some("default")),
                &object
            ),
            None
        );
    }

    #[test]
    fn what_the_document_no_longer_has_is_removed_and_what_others_set_stays() {
        let mut object = stored(&json!({"jobs": {"a": {"run": "x"}, "b": {"run": "y"}}, "timeout": "1h"}));
        object["spec"]["suspend"] = json!(true);
        object["metadata"]["labels"] = json!({"by": "hand"});
        let wanted = wanted(&document(&json!({"jobs": {"a": {"run": "z"}}})), Some("default"));
        let object = after(object.clone(), &patch(&wanted, &object).unwrap());
        assert_eq!(object["spec"], json!({"jobs": {"a": {"run": "z"}}, "suspend": true}));
        assert_eq!(object["metadata"]["labels"]["by"], "hand");
        assert_eq!(patch(&wanted, &object), None);
    }

    #[test]
    fn lists_are_replaced_whole() {
        let object = stored(&json!({"l": [1, 2, 3]}));
        let wanted = wanted(&document(&json!({"l": [2]})), Some("default"));
        assert_eq!(patch(&wanted, &object).unwrap()["spec"], json!({"l": [2]}));
    }

    #[test]
    fn an_object_made_by_others_is_taken_over() {
        let mut object = stored(&json!({"a": 1}));
        object["metadata"]["annotations"] = json!({"x": "y"});
        let wanted = wanted(&document(&json!({"a": 1})), Some("default"));
        let object = after(object.clone(), &patch(&wanted, &object).unwrap());
        assert_eq!(object["metadata"]["annotations"]["x"], "y");
        assert!(object["metadata"]["annotations"][LAST_APPLIED].is_string());
    }

    #[test]
    fn a_secret_in_plain_words_is_stored_encoded_and_is_then_unchanged() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}});
        let wanted = wanted(&secret, Some("default"));
        assert_eq!(wanted["data"], json!({"k": "dg=="}));
        assert!(wanted.get("stringData").is_none());
        assert_eq!(patch(&wanted, &wanted), None);
    }
}
