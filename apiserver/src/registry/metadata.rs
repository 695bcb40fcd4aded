//! The rules of `metadata`, the same for every kind: what the server sets, what may not change, what a name looks like
//! (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::Rng as _;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::object;
use super::resource::NameRule;

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
pub fn validate(object: &Value, old: Option<&Value>, names: NameRule) -> Vec<FieldError> {
    let path = Path::root("metadata");
    let mut errors = Vec::new();
    let metadata = &object["metadata"];
    if old.is_none()
        && let Err(expected) = check_name(object::meta(object, "name"), names)
    {
        errors.push(FieldError::invalid(
            path.child("name"),
            object::meta(object, "name"),
            expected,
        ));
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

/// Whether a name follows the rule; else what was expected.
pub fn check_name(name: &str, rule: NameRule) -> Result<(), &'static str> {
    let label = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    match rule {
        NameRule::Subdomain if name.len() <= 253 && name.split('.').all(label) => Ok(()),
        NameRule::Subdomain => Err(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        NameRule::Label if name.len() <= 63 && label(name) => Ok(()),
        NameRule::Label => Err(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        NameRule::Segment if name.is_empty() || name == "." || name == ".." || name.contains(['/', '%']) => {
            Err("may not be empty, '.' or '..', and may not contain '/' or '%'")
        }
        NameRule::Segment if name.len() > 253 => Err("must be no more than 253 bytes"),
        NameRule::Segment => Ok(()),
    }
}

fn is_qualified(key: &str) -> bool {
    let (prefix, name) = key
        .rsplit_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    name.len() <= 63
        && ends(name.bytes().next())
        && ends(name.bytes().last())
        && name.bytes().all(inner)
        && prefix.is_none_or(|p| check_name(p, NameRule::Subdomain).is_ok())
}

fn validate_labels(labels: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if !is_qualified(key) {
            errors.push(FieldError::invalid(path.clone(), key, "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, with an optional DNS subdomain prefix and '/'"));
        }
        let value = value.as_str().unwrap_or("");
        if !value.is_empty() && (value.contains('/') || !is_qualified(value)) {
            errors.push(FieldError::invalid(path.clone(), value, "a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
    }
}

fn validate_annotations(annotations: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut total = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        total += key.len() + value.as_str().map_or(0, str::len);
        if !is_qualified(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid(path.clone(), key, "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, with an optional DNS subdomain prefix and '/'"));
        }
    }
    if total > ANNOTATIONS_MAX {
        let most = format!("may not be more than {ANNOTATIONS_MAX} bytes");
        errors.push(FieldError::new(path.clone(), ErrorKind::TooLong, most));
    }
}

fn validate_owners(owners: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut controllers = 0;
    for (index, owner) in owners.as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or("").is_empty() {
                let at = path.index(index).child(field);
                errors.push(FieldError::new(at, ErrorKind::Required, "must not be empty"));
            }
        }
        controllers += usize::from(owner["controller"] == true);
    }
    if controllers > 1 {
        let detail = "Only one reference can have Controller set to true";
        errors.push(FieldError::new(path.clone(), ErrorKind::Invalid, detail));
    }
}

fn validate_finalizers(object: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let finalizers = object::finalizers(object);
    for name in &finalizers {
        if !is_qualified(name) {
            errors.push(FieldError::invalid(
                path.clone(),
                name,
                "name part must consist of alphanumeric characters, '-', '_' or '.'",
            ));
        }
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        errors.push(FieldError::invalid(
            path.clone(),
            "orphan",
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    let Some(old) = old.filter(|old| object::is_deleting(old)) else {
        return;
    };
    let before = object::finalizers(old);
    let added: Vec<_> = finalizers.iter().filter(|f| !before.contains(f)).collect();
    if !added.is_empty() {
        let detail =
            format!("no new finalizers can be added if the object is being deleted, found new finalizers {added:?}");
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

    #[test]
    fn names_follow_their_rule() {
        assert!(check_name("a-b.c", NameRule::Subdomain).is_ok());
        assert!(check_name("a-b.c", NameRule::Label).is_err());
        for bad in ["", "A", "-a", "a-", "a..b", "a/b", "a b"] {
            assert!(check_name(bad, NameRule::Subdomain).is_err(), "{bad}");
        }
        assert!(check_name("system:node", NameRule::Segment).is_ok());
    }
}
