//! The rules of `metadata`, the same for every kind: what the server sets, what may not change, what a name looks like
//! (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::Rng as _;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::resource::{NameRule, Resource};
use super::{names, object};
use crate::definitions::status::CLEANUP_FINALIZER;

const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_CHARS: usize = 5;
/// The longest name that is generated.
const GENERATED_MAX: usize = 63;
const ANNOTATIONS_MAX: usize = 256 << 10;
/// Set by the server; nobody changes them.
const OWNED: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

/// Brings `metadata` into its type. Unknown fields fall out and are returned; wrong types are an error in words.
pub fn coerce(object: &mut Map<String, Value>) -> Result<Vec<String>, String> {
    let given = object.remove("metadata").unwrap_or_else(|| json!({}));
    let mut given = if given.is_null() { json!({}) } else { given };
    // Whose fields are whose is read where it is needed; what cannot be read counts as not given.
    let managed = given.as_object_mut().and_then(|given| given.remove("managedFields"));
    let typed: ObjectMeta = ObjectMeta::deserialize(&given).map_err(|e| format!("metadata: {e}"))?;
    let mut kept = serde_json::to_value(typed).map_err(|e| format!("metadata: {e}"))?;
    let unknown = unknown_fields(&given, &kept, "metadata");
    if let Some(kept) = kept.as_object_mut() {
        kept.extend(managed.map(|managed| ("managedFields".to_owned(), managed)));
        kept.remove("selfLink");
        // Upstream's type leaves empty ones out, and clients take them for present.
        for part in ["annotations", "labels", "finalizers", "ownerReferences"] {
            if kept.get(part).is_some_and(is_empty) {
                kept.remove(part);
            }
        }
    }
    object.insert("metadata".to_owned(), kept);
    Ok(unknown)
}

/// Paths of members that `kept` has lost against `given`, empty and null ones aside.
pub fn unknown_fields(given: &Value, kept: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect_unknown(given, kept, path, &mut found);
    found
}

fn collect_unknown(given: &Value, kept: &Value, path: &str, found: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match kept.get(key) {
                    Some(kept) => collect_unknown(value, kept, &path, found),
                    None if is_empty(value) => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                collect_unknown(given, kept, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// A name from `generateName`: the base, cut, and five random characters that spell no word.
pub fn generate_name(base: &str) -> String {
    let keep = base
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= GENERATED_MAX - SUFFIX_CHARS);
    let mut name = base[..keep.last().unwrap_or(0)].to_owned();
    let mut random = rand::rng();
    name.extend((0..SUFFIX_CHARS).map(|_| char::from(SUFFIX[random.random_range(0..SUFFIX.len())])));
    name
}

/// Sets what the server sets on a new object, but for the generation, which not every kind has.
pub fn begin(metadata: &mut Map<String, Value>, now: jiff::Timestamp) {
    for field in OWNED {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(timestamp(now)));
}

/// Takes from the old object what an update may not change.
pub fn carry_over(new: &mut Map<String, Value>, old: &Value) {
    for field in OWNED {
        match old.get("metadata").and_then(|m| m.get(field)) {
            Some(value) => new.insert(field.to_owned(), value.clone()),
            None => new.remove(field),
        };
    }
}

/// Raises the generation by one.
pub fn next_generation(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    object["metadata"]["generation"] = json!(generation + 1);
}

/// A time as `metadata` writes it: whole seconds, UTC.
pub fn timestamp(now: jiff::Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Every mistake in the metadata of an object that is about to be stored.
pub fn validate(object: &Value, old: Option<&Value>, resource: &Resource) -> Vec<FieldError> {
    let mut errors = validate_any(object, old, resource.names);
    // What extends the API is looked at by others upstream, who let every qualified name pass.
    let extends = matches!(
        resource.group.as_str(),
        "apiextensions.k8s.io" | "admissionregistration.k8s.io"
    );
    if resource.is_typed() && !extends {
        validate_standing(object, &Path::root("metadata").child("finalizers"), &mut errors);
    }
    errors
}

/// The same by what holds for objects of all kinds, also those that stand in others.
pub fn validate_any(object: &Value, old: Option<&Value>, names: NameRule) -> Vec<FieldError> {
    let path = Path::root("metadata");
    let mut errors = Vec::new();
    let metadata = &object["metadata"];
    if old.is_none() {
        validate_names(object, names, &path, &mut errors);
    }
    validate_labels(&metadata["labels"], &path.child("labels"), &mut errors);
    validate_annotations(&metadata["annotations"], &path.child("annotations"), &mut errors);
    validate_owners(
        &metadata["ownerReferences"],
        &path.child("ownerReferences"),
        &mut errors,
    );
    validate_finalizers(object, old, &path.child("finalizers"), &mut errors);
    errors
}

/// Every mistake in labels or annotations (`part`) that somebody else's program has made of an object's.
pub(crate) fn mistakes_in(part: &str, texts: &Value) -> Vec<FieldError> {
    let path = Path::root("metadata").child(part);
    let mut errors = Vec::new();
    match part {
        "labels" => validate_labels(texts, &path, &mut errors),
        _ => validate_annotations(texts, &path, &mut errors),
    }
    errors
}

fn validate_names(object: &Value, rule: NameRule, path: &Path, errors: &mut Vec<FieldError>) {
    let base = object::meta(object, "generateName");
    if !base.is_empty() {
        let invalid = |text| FieldError::invalid(path.child("generateName"), base, text);
        errors.extend(names::of_prefix(base, rule).into_iter().map(invalid));
    }
    let name = object::meta(object, "name");
    let invalid = |text| FieldError::invalid(path.child("name"), name, text);
    errors.extend(names::of_object(name, rule).into_iter().map(invalid));
}

/// What a writer should hear although it is no mistake: finalizers that may clash with somebody else's. Kubernetes' own
/// kinds refuse such.
pub fn warnings(object: &Value, old: Option<&Value>, resource: &Resource) -> Vec<String> {
    if resource.is_typed() {
        return Vec::new();
    }
    let before = old.map(object::finalizers).unwrap_or_default();
    let new = object::finalizers(object).into_iter();
    new.filter(|name| !before.contains(name) && !is_standing(name))
        .map(|name| {
            format!(
                "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name including a path (/) to avoid \
                 accidental conflicts with other finalizer writers"
            )
        })
        .collect()
}

/// Whether a finalizer is one of Kubernetes' own, or says whose it is.
fn is_standing(name: &str) -> bool {
    // Definitions get theirs from the server.
    name.contains('/') || matches!(name, "orphan" | "foregroundDeletion" | "kubernetes" | CLEANUP_FINALIZER)
}

fn validate_standing(object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, name) in object::finalizers(object).into_iter().enumerate() {
        if !is_standing(name) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path.index(index), name, detail));
        }
    }
}

fn validate_labels(labels: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or("");
        let invalid = |shown: &str, text: String| FieldError::invalid(path.clone(), shown, text);
        errors.extend(names::qualified(key).into_iter().map(|text| invalid(key, text)));
        errors.extend(names::label_value(value).into_iter().map(|text| invalid(value, text)));
    }
}

fn validate_annotations(annotations: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut total = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        total += key.len() + value.as_str().map_or(0, str::len);
        let wrong = names::qualified(&key.to_ascii_lowercase()).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(path.clone(), key, text)));
    }
    if total > ANNOTATIONS_MAX {
        let most = format!("may not be more than {ANNOTATIONS_MAX} bytes");
        errors.push(FieldError::new(path.clone(), ErrorKind::TooLong, most));
    }
}

fn validate_owners(owners: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        let text = |field: &str| owner[field].as_str().unwrap_or("");
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(field).is_empty() {
                let detail = if field == "apiVersion" {
                    "version must not be empty"
                } else {
                    "must not be empty"
                };
                errors.push(FieldError::invalid(path.child(field), "", detail));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::new(path.clone(), ErrorKind::Invalid, detail));
        }
        if owner["controller"] != true {
            continue;
        }
        let this = format!("{}/{}", text("kind"), text("name"));
        match &controller {
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                errors.push(FieldError::new(path.clone(), ErrorKind::Invalid, detail));
            }
            None => controller = Some(this),
        }
    }
}

fn validate_finalizers(object: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let finalizers = object::finalizers(object);
    for name in &finalizers {
        let wrong = names::qualified(name).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(path.clone(), name, text)));
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::new(path.clone(), ErrorKind::Invalid, detail));
    }
    let Some(old) = old.filter(|old| object::is_deleting(old)) else {
        return;
    };
    let before = object::finalizers(old);
    let mut added: Vec<&str> = finalizers.into_iter().filter(|f| !before.contains(f)).collect();
    if !added.is_empty() {
        added.sort_unstable();
        added.dedup();
        // The list as Go writes one.
        let added: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        errors.push(FieldError::new(path.clone(), ErrorKind::Forbidden, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_name_is_cut_and_never_longer_than_a_label() {
        for base in ["", "run-", &"x".repeat(300), "ünï-"] {
            let name = generate_name(base);
            assert!(name.len() <= GENERATED_MAX, "{name}");
            assert!(name.len() >= SUFFIX_CHARS);
        }
    }

    #[test]
    fn unknown_metadata_is_named_and_dropped() {
        let mut object = json!({"metadata": {"name": "a", "nope": 1, "labels": {"x": "y"}}})
            .as_object()
            .unwrap()
            .clone();
        assert_eq!(coerce(&mut object).unwrap(), ["metadata.nope"]);
        assert_eq!(object["metadata"], json!({"name": "a", "labels": {"x": "y"}}));
    }

    fn config_maps() -> std::sync::Arc<Resource> {
        crate::registry::Registry::new().find("", "v1", "configmaps").unwrap()
    }

    fn jobs() -> std::sync::Arc<Resource> {
        crate::registry::Registry::new()
            .find("breakbulk.dev", "v1", "jobs")
            .unwrap()
    }

    #[test]
    fn an_event_owns_nothing_and_only_one_owner_controls() {
        let owner = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true});
        let object =
            json!({"metadata": {"name": "a", "ownerReferences": [owner("Event", "e"), owner("Secret", "s"), {}]}});
        let errors: Vec<String> = validate(&object, None, &config_maps())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            errors
                .iter()
                .any(|e| e.ends_with("/v1, Kind=Event is disallowed from being an owner")),
            "{errors:?}"
        );
        assert!(
            errors
                .iter()
                .any(|e| e.ends_with("in references for Event/e and Secret/s")),
            "{errors:?}"
        );
        assert_eq!(errors.iter().filter(|e| e.ends_with("must not be empty")).count(), 4);
    }

    #[test]
    fn a_finalizer_that_says_not_whose_it_is_is_refused_or_warned_of() {
        let object = json!({"metadata": {"name": "a", "finalizers": ["mine", "example.org/x", "orphan"]}});
        assert_eq!(validate(&object, None, &config_maps()).len(), 1);
        assert!(validate(&object, None, &jobs()).is_empty());
        assert!(warnings(&object, None, &config_maps()).is_empty());
        assert_eq!(warnings(&object, None, &jobs()).len(), 1);
        assert!(
            warnings(&object, Some(&object), &jobs()).is_empty(),
            "it was there before"
        );
    }

    #[test]
    fn what_is_being_deleted_gets_no_new_finalizer() {
        let old =
            json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["e.org/x"]}});
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!(["e.org/x", "e.org/z", "e.org/y"]);
        let errors = validate(&new, Some(&old), &jobs());
        assert!(
            errors[0]
                .detail
                .ends_with("found new finalizers []string{\"e.org/y\", \"e.org/z\"}"),
            "{errors:?}"
        );
    }
}
