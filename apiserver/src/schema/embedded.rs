//! Resources inside an object (`x-kubernetes-embedded-resource`): they say what they are, and their `metadata` is that
//! of any object. Upstream's `apiserver/schema/objectmeta`.

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::Node;
use super::trail::Trail;
use super::validate::{MAX_ERRORS, shown};
use crate::definitions::text;
use crate::registry::{NameRule, metadata};

/// Brings the `metadata` of embedded resources into its type and names what falls out. What has the wrong type stays,
/// for [`misread`] to refuse.
pub(super) fn prune(node: &Node, value: &mut Value, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    if !node.within.embedded {
        return;
    }
    match value {
        Value::Object(map) => {
            if node.embedded {
                prune_metadata(map, trail, unknown);
            }
            for (name, inner) in map.iter_mut() {
                if let Some((child, trail)) = node.step(name, trail) {
                    prune(child, inner, &trail, unknown);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter_mut().enumerate() {
                prune(items, item, &Trail::Index(trail, index), unknown);
            }
        }
        _ => {}
    }
}

fn prune_metadata(map: &mut Map<String, Value>, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    let Some(given) = map.get_mut("metadata") else { return };
    let Some(kept) = typed(given).ok().and_then(|typed| serde_json::to_value(typed).ok()) else {
        return;
    };
    let path = Trail::Field(trail, "metadata").path();
    unknown.extend(metadata::unknown_fields(given, &kept, path.as_str()));
    *given = kept;
}

fn typed(given: &Value) -> Result<ObjectMeta, String> {
    if given.is_null() {
        return Ok(ObjectMeta::default());
    }
    ObjectMeta::deserialize(given).map_err(|error| error.to_string())
}

/// The first head of an embedded resource that cannot be read at all: upstream's decoder refuses it, before anything else
/// is looked at.
pub(super) fn misread(node: &Node, value: &Value, trail: &Trail<'_>) -> Option<FieldError> {
    if !node.within.embedded {
        return None;
    }
    match value {
        Value::Object(map) => {
            let here = node.embedded.then(|| misread_head(map, trail)).flatten();
            here.or_else(|| {
                map.iter().find_map(|(name, inner)| {
                    let (child, trail) = node.step(name, trail)?;
                    misread(child, inner, &trail)
                })
            })
        }
        Value::Array(list) => {
            let items = node.items.as_deref()?;
            let mut all = list.iter().enumerate();
            all.find_map(|(index, item)| misread(items, item, &Trail::Index(trail, index)))
        }
        _ => None,
    }
}

fn misread_head(map: &Map<String, Value>, trail: &Trail<'_>) -> Option<FieldError> {
    let invalid = |name: &str, value: &Value, detail: String| FieldError {
        value: Some(shown(value)),
        ..FieldError::new(Trail::Field(trail, name).path(), ErrorKind::Invalid, detail)
    };
    for name in ["apiVersion", "kind"] {
        if let Some(value) = map.get(name).filter(|value| !value.is_string()) {
            return Some(invalid(name, value, "must be a string".to_owned()));
        }
    }
    let given = map.get("metadata")?;
    let detail = typed(given).err()?;
    Some(invalid("metadata", given, detail))
}

/// Every mistake in the heads of embedded resources.
pub(super) fn validate(root: &Node, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    below(root, object, &Trail::Root, &mut errors);
    errors
}

fn below(node: &Node, value: &Value, trail: &Trail<'_>, errors: &mut Vec<FieldError>) {
    if !node.within.embedded || errors.len() >= MAX_ERRORS {
        return;
    }
    match value {
        Value::Object(map) => {
            if node.embedded {
                head(map, trail, errors);
            }
            for (name, inner) in map {
                if let Some((child, trail)) = node.step(name, trail) {
                    below(child, inner, &trail, errors);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter().enumerate() {
                below(items, item, &Trail::Index(trail, index), errors);
            }
        }
        _ => {}
    }
}

fn head(map: &Map<String, Value>, trail: &Trail<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = || Trail::Field(trail, name).path();
        let invalid = |value: &Value, detail: &str| FieldError {
            value: Some(shown(value)),
            ..FieldError::new(path(), ErrorKind::Invalid, detail)
        };
        match map.get(name) {
            None => errors.push(FieldError::new(path(), ErrorKind::Required, "")),
            Some(value @ Value::String(text)) => {
                errors.extend(problem(name, text).map(|detail| invalid(value, &detail)));
            }
            Some(value) => errors.push(invalid(value, "must be a string")),
        }
    }
    if let Some(given) = map.get("metadata") {
        let path = Trail::Field(trail, "metadata").path();
        match typed(given) {
            Ok(_) => errors.extend(object_meta(given, &path)),
            Err(detail) => errors.push(FieldError {
                value: Some(shown(given)),
                ..FieldError::new(path, ErrorKind::Invalid, detail)
            }),
        }
    }
}

fn problem(name: &str, text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("must not be empty".to_owned());
    }
    if name == "apiVersion" {
        let parts = text.split('/').count();
        return (parts > 2).then(|| format!("unexpected GroupVersion string: {text}"));
    }
    let problems = text::dns1035_label(&text.to_lowercase());
    (!problems.is_empty()).then(|| {
        format!(
            "may have mixed case, but should otherwise match: {}",
            problems.join(",")
        )
    })
}

/// The rules of any object's metadata, told of this place.
fn object_meta(given: &Value, path: &Path) -> Vec<FieldError> {
    let object = serde_json::json!({ "metadata": given });
    let named = given
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    let mut errors = metadata::validate_any(&object, None, NameRule::Segment);
    errors.retain(|error| named || error.path.as_str() != "metadata.name");
    for error in &mut errors {
        let rest = error.path.as_str().strip_prefix("metadata").unwrap_or_default();
        error.path = Path::root(&format!("{path}{rest}"));
    }
    errors
}
