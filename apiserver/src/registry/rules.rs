//! What single kinds of Kubernetes demand beyond their types. Most demand nothing. What configures admission demands the
//! most: see [`webhooks`] and [`policies`].

pub(super) mod policies;
mod selection;
pub(super) mod webhooks;

#[cfg(test)]
mod configurations_tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::resource::Rules;
use super::{names, object};
use crate::definitions;
use crate::definitions::status::CLEANUP_FINALIZER;
use crate::rules::Language;

mod event;
mod node;
mod quota;
mod small;

pub(super) use event::{CORE as EVENT, NEW as NEW_EVENT};
pub(super) use node::RULES as NODE;
pub(super) use quota::RULES as QUOTA;
pub(crate) use small::SYSTEM_PRIORITIES;
pub(super) use small::{LEASE, PRIORITY_CLASS};

/// The most bytes of data in a Secret or ConfigMap, as upstream.
const MAX_DATA: usize = 1 << 20;

/// Namespaces get their finalizer, phase and name label.
pub(super) const NAMESPACE: Rules = Rules {
    validate: namespace_errors,
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

fn namespace_errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let finalizers = new["spec"]["finalizers"].as_array();
    let finalizers = finalizers.into_iter().flatten().filter_map(Value::as_str).enumerate();
    let path = Path::root("spec").child("finalizers");
    for (index, name) in finalizers {
        // Upstream tells the place only when the finalizers are written by themselves.
        let path = if old.is_some() { path.index(index) } else { path.clone() };
        let wrong = names::qualified(name).into_iter();
        errors.extend(wrong.map(|detail| FieldError::invalid(path.clone(), name, detail)));
        if !name.contains('/') && name != "kubernetes" {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path, name, detail));
        }
    }
    if let Some(old) = old.filter(|old| old["status"]["phase"] != new["status"]["phase"]) {
        let (phase, detail) = if object::is_deleting(old) {
            (
                "Terminating",
                "may only be 'Terminating' if `deletionTimestamp` is not empty",
            )
        } else {
            ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
        };
        let given = new["status"]["phase"].as_str().unwrap_or("");
        if given != phase {
            errors.push(FieldError::invalid(Path::root("status").child("Phase"), given, detail));
        }
    }
    errors
}

fn namespace(new: &mut Value, old: Option<&Value>) {
    if old.is_none() {
        let mut finalizers = new["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|own| own == "kubernetes") {
            finalizers.push(json!("kubernetes"));
        }
        new["spec"] = json!({ "finalizers": finalizers });
        new["status"] = json!({"phase": "Active"});
    }
    let name = new["metadata"]["name"].clone();
    // One that is still to be generated comes by here again.
    if !name.is_string() {
        return;
    }
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
    if bytes_of(new, "data") > MAX_DATA {
        errors.push(too_long(Path::root("data")));
    }
    errors.extend(typed_errors(new));
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
    let twice = new["data"].as_object().into_iter().flatten();
    for (key, _) in twice.filter(|(key, _)| new["binaryData"].get(key.as_str()).is_some()) {
        let path = Path::root("data").key(key);
        errors.push(FieldError::invalid(path, key, "duplicate of key present in binaryData"));
    }
    if bytes_of(new, "data") + bytes_of(new, "binaryData") > MAX_DATA {
        // It is the object as a whole: upstream's path without a name.
        errors.push(too_long(Path::root("[]")));
    }
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
    for key in new[field].as_object().into_iter().flatten().map(|(key, _)| key) {
        let wrong = names::config_key(key).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(path.key(key), key, text)));
    }
    errors
}

/// How many bytes the values of a map are: as they stand, or as base64 says.
fn bytes_of(new: &Value, field: &str) -> usize {
    let values = new[field].as_object().into_iter().flatten();
    let values = values.filter_map(|(_, value)| value.as_str());
    if new["kind"] == "ConfigMap" && field == "data" {
        return values.map(str::len).sum();
    }
    values.map(|text| text.trim_end_matches('=').len() * 3 / 4).sum()
}

fn too_long(path: Path) -> FieldError {
    FieldError::new(
        path,
        ErrorKind::TooLong,
        format!("may not be more than {MAX_DATA} bytes"),
    )
}

/// What a type of Secret must have (`ValidateSecret`).
fn typed_errors(secret: &Value) -> Vec<FieldError> {
    let data = Path::root("data");
    let has = |key: &str| secret["data"].get(key).is_some();
    let filled = |key: &str| secret["data"][key].as_str().is_some_and(|text| !text.is_empty());
    let required = |path: Path| FieldError::new(path, ErrorKind::Required, "");
    let missing = |keys: &[&str]| -> Vec<FieldError> {
        let missing = keys.iter().filter(|key| !has(key));
        missing.map(|key| required(data.key(key))).collect()
    };
    let json = |key: &str| match has(key) {
        false => missing(&[key]),
        true => {
            let wrong = not_a_map(&secret["data"][key]).into_iter();
            let shown = "<secret contents redacted>";
            wrong
                .map(|why| FieldError::invalid(data.key(key), shown, why))
                .collect()
        }
    };
    match secret["type"].as_str().unwrap_or("") {
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            let named = secret["metadata"]["annotations"][name]
                .as_str()
                .is_some_and(|n| !n.is_empty());
            let path = Path::root("metadata").child("annotations").key(name);
            if named { Vec::new() } else { vec![required(path)] }
        }
        "kubernetes.io/dockercfg" => json(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json(".dockerconfigjson"),
        "kubernetes.io/basic-auth" if has("username") || has("password") => Vec::new(),
        "kubernetes.io/basic-auth" => missing(&["username", "password"]),
        "kubernetes.io/ssh-auth" if !filled("ssh-privatekey") => vec![required(data.key("ssh-privatekey"))],
        "kubernetes.io/tls" => missing(&["tls.crt", "tls.key"]),
        _ => Vec::new(),
    }
}

/// Why a value, as base64, is not a JSON object: in the words of Go's decoder where those can be had.
fn not_a_map(encoded: &Value) -> Option<&'static str> {
    let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
    match decoded.map(|bytes| serde_json::from_slice::<Value>(&bytes)) {
        Some(Ok(Value::Object(_) | Value::Null)) => None,
        Some(Ok(Value::Array(_))) => Some("json: cannot unmarshal array into Go value of type map[string]interface {}"),
        Some(Ok(Value::String(_))) => {
            Some("json: cannot unmarshal string into Go value of type map[string]interface {}")
        }
        Some(Ok(Value::Number(_))) => {
            Some("json: cannot unmarshal number into Go value of type map[string]interface {}")
        }
        Some(Ok(Value::Bool(_))) => Some("json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        Some(Err(error)) if error.is_eof() => Some("unexpected end of JSON input"),
        Some(Err(_)) | None => Some("invalid character in what is to be JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_what_its_type_needs() {
        let errors =
            |secret: Value| -> Vec<String> { secret_errors(&secret, None).iter().map(ToString::to_string).collect() };
        assert_eq!(
            errors(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})),
            ["data[tls.key]: Required value"]
        );
        assert_eq!(errors(json!({"type": "kubernetes.io/basic-auth"})).len(), 2);
        assert!(errors(json!({"type": "kubernetes.io/basic-auth", "data": {"password": "eA=="}})).is_empty());
        assert_eq!(
            errors(json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}})).len(),
            1
        );
        assert!(
            errors(json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}})).is_empty()
        );
        assert_eq!(
            errors(json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "W10="}})),
            [
                "data[.dockercfg]: Invalid value: \"<secret contents redacted>\": json: cannot unmarshal array into Go value \
              of type map[string]interface {}"
            ]
        );
        assert_eq!(errors(json!({"type": "kubernetes.io/service-account-token"})).len(), 1);
        assert!(errors(json!({"type": "example.org/own"})).is_empty());
    }

    #[test]
    fn keys_are_told_where_they_stand() {
        let map = json!({"kind": "ConfigMap", "data": {"a/b": "", "x": ""}, "binaryData": {"x": "", "..": ""}});
        let errors: Vec<String> = config_map_errors(&map, None).iter().map(ToString::to_string).collect();
        assert!(
            errors
                .iter()
                .any(|e| e.starts_with("data[a/b]: Invalid value: \"a/b\": a valid config key")),
            "{errors:?}"
        );
        assert!(
            errors
                .iter()
                .any(|e| e.ends_with("duplicate of key present in binaryData")),
            "{errors:?}"
        );
        assert!(errors.iter().any(|e| e.ends_with("must not be '..'")), "{errors:?}");
    }

    #[test]
    fn a_large_map_is_too_long_as_a_whole() {
        let map = json!({"kind": "ConfigMap", "data": {"x": "y".repeat(MAX_DATA + 1)}});
        let errors = config_map_errors(&map, None);
        assert_eq!(
            errors[0].to_string(),
            "[]: Too long: may not be more than 1048576 bytes"
        );
    }

    #[test]
    fn a_namespace_is_active_until_it_is_deleted() {
        let namespace =
            |phase: &str| json!({"metadata": {}, "spec": {"finalizers": ["x y"]}, "status": {"phase": phase}});
        let errors = namespace_errors(&namespace("Terminating"), Some(&namespace("Active")));
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            errors[0].starts_with("spec.finalizers[0]: Invalid value: \"x y\": name part must consist"),
            "{errors:?}"
        );
        let words =
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty";
        assert_eq!(errors[2], words);
    }

    #[test]
    fn a_namespace_keeps_the_finalizers_it_comes_with() {
        let mut namespace = json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["e.org/x"]}});
        super::namespace(&mut namespace, None);
        assert_eq!(namespace["spec"]["finalizers"], json!(["e.org/x", "kubernetes"]));
        assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
    }
}
