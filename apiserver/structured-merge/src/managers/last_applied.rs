//! The annotation in which kubectl keeps what it applied on its own side. Server-side apply by kubectl takes over from
//! there without conflicts, and keeps the annotation as it would be, so that one can go back.
//!
//! Only the manager that is literally `kubectl` does this.

use serde_json::{Map, Value};

use super::metadata;
use crate::fieldpath::FieldSet;
use crate::schema::Schema;
use crate::typed;

/// The manager to which this applies.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The annotations of an object may not be larger together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    metadata(object)?
        .get("annotations")?
        .get(ANNOTATION)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The fields that were applied on the client's side and are still as they were applied. Nothing without a readable
/// annotation of this version.
pub(super) fn owned_fields(live: &Value, schema: &Schema, api_version: &str) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(annotation(live)?).ok()?;
    if applied.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    typed::validate(schema.root(), &applied).ok()?;
    let fields = typed::to_field_set(schema.root(), &applied).ok()?;
    let since = typed::compare(schema.root(), &applied, live).ok()?;
    Some(
        fields
            .difference(&since.modified)
            .difference(&since.added)
            .difference(&since.removed),
    )
}

/// Writes what was applied into the annotation, when kubectl applied and there is one already.
pub(super) fn keep_up_to_date(object: &mut Value, config: &Value, manager: &str) {
    if manager != MANAGER || annotation(object).is_none() {
        return;
    }
    let text = text_of(config);
    let annotations = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"));
    let Some(annotations) = annotations.and_then(Value::as_object_mut) else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), text.into());
    if size(annotations) > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}

fn size(annotations: &Map<String, Value>) -> usize {
    annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum()
}

/// The configuration without the annotation, as one line of JSON with what HTML would misread escaped.
fn text_of(config: &Value) -> String {
    let mut config = config.clone();
    let annotations = config
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let text = config.to_string();
    let mut escaped = String::with_capacity(text.len() + 1);
    // These stand in strings only, so that the text can be looked at as a whole.
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped.push('\n');
    escaped
}
