//! What single kinds of Kubernetes demand beyond their types. Most demand nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::resource::Rules;
use crate::definitions;
use crate::definitions::status::CLEANUP_FINALIZER;
use crate::rules::Language;

/// The most bytes of data in a Secret or ConfigMap, as upstream.
const MAX_DATA: usize = 1 << 20;

/// Namespaces get their finalizer, phase and name label.
pub(super) const NAMESPACE: Rules = Rules {
    validate: |_, _| Vec::new(),
    prepare: namespace,
};
/// Secrets take `stringData`, have a type, and may be immutable.
pub(super) const SECRET: Rules = Rules {
    validate: secret_errors,
    prepare: secret,
};
/// Definitions of kinds; see [`crate::definitions`].
pub(super) const DEFINITION: Rules = Rules {
    validate: definition_errors,
    prepare: definition,
};
/// ConfigMaps may be immutable.
pub(super) const CONFIG_MAP: Rules = Rules {
    validate: config_map_errors,
    prepare: |_, _| {},
};

fn read_definition(object: &Value) -> Option<CustomResourceDefinition> {
    serde_json::from_value(object.clone()).ok()
}

/// Fills in what the server sets. A body that is no definition has been refused before.
fn definition(new: &mut Value, old: Option<&Value>) {
    let Some(mut crd) = read_definition(new) else { return };
    definitions::default(&mut crd);
    definitions::prepare(&mut crd, old.and_then(read_definition).as_ref());
    if old.is_none() {
        let finalizers = crd.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
            finalizers.push(CLEANUP_FINALIZER.to_owned());
        }
    }
    if let Ok(prepared) = serde_json::to_value(crd) {
        *new = prepared;
    }
}

fn definition_errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(crd) = read_definition(new) else {
        return Vec::new();
    };
    let old = old.and_then(read_definition);
    // Rules that nobody touches were taken once: a status is not refused for them.
    if old.as_ref().is_some_and(|old| old.spec == crd.spec) {
        return definitions::validate(&crd, old.as_ref(), &definitions::Unchecked);
    }
    definitions::validate(&crd, old.as_ref(), &Language::new())
}

fn namespace(new: &mut Value, old: Option<&Value>) {
    if old.is_none() {
        new["spec"] = json!({"finalizers": ["kubernetes"]});
        new["status"] = json!({"phase": "Active"});
    }
    let name = new["metadata"]["name"].clone();
    let labels = &mut new["metadata"]["labels"];
    if !labels.is_object() {
        *labels = json!({});
    }
    labels["kubernetes.io/metadata.name"] = name;
}

fn secret(new: &mut Value, _old: Option<&Value>) {
    let Some(secret) = new.as_object_mut() else { return };
    let kind = secret.entry("type").or_insert_with(|| json!("Opaque"));
    if kind == "" {
        *kind = json!("Opaque");
    }
    let Some(Value::Object(plain)) = secret.remove("stringData") else {
        return;
    };
    let data = secret.entry("data").or_insert_with(|| json!({}));
    if !data.is_object() {
        *data = json!({});
    }
    for (key, value) in plain {
        if let Value::String(text) = value {
            data[key] = Value::from(STANDARD.encode(text));
        }
    }
}

fn secret_errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = data_errors(new, "data");
    if let Some(old) = old {
        if old["type"] != new["type"] {
            errors.push(FieldError::invalid(
                Path::root("type"),
                new["type"].as_str().unwrap_or(""),
                "field is immutable",
            ));
        }
        immutable(new, old, &["data"], &mut errors);
    }
    errors
}

fn config_map_errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = data_errors(new, "data");
    errors.extend(data_errors(new, "binaryData"));
    if let Some(old) = old {
        immutable(new, old, &["data", "binaryData"], &mut errors);
    }
    errors
}

fn immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"] != true {
        return;
    }
    let forbidden = "field is immutable when `immutable` is set";
    for field in fields.iter().copied().chain(["immutable"]) {
        if old[field] != new[field] {
            errors.push(FieldError::new(Path::root(field), ErrorKind::Forbidden, forbidden));
        }
    }
}

fn data_errors(new: &Value, field: &str) -> Vec<FieldError> {
    let path = Path::root(field);
    let mut errors = Vec::new();
    let mut total = 0;
    for (key, value) in new[field].as_object().into_iter().flatten() {
        total += value.as_str().map_or(0, str::len);
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if key.is_empty() || key.len() > 253 || !key.bytes().all(fine) || key == "." || key.starts_with("..") {
            let expected = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
            errors.push(FieldError::invalid(path.child(key), key, expected));
        }
    }
    if total > MAX_DATA {
        errors.push(FieldError::new(
            path,
            ErrorKind::TooLong,
            format!("may not be more than {MAX_DATA} bytes"),
        ));
    }
    errors
}
