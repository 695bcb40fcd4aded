//! Objects as they are: JSON, YAML, or their names.

use serde_json::{Value, json};

use crate::failure::Failure;

/// `-o json|yaml|name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
}

/// An object as text. Bookkeeping that nobody reads (`managedFields`) is left out.
pub(crate) fn render(mut object: Value, form: Form) -> Result<String, Failure> {
    strip(&mut object);
    match form {
        Form::Json => serde_json::to_string_pretty(&object)
            .map(|text| text + "\n")
            .map_err(|e| Failure::said(e.to_string())),
        Form::Yaml => serde_saphyr::to_string(&object).map_err(|e| Failure::said(e.to_string())),
    }
}

/// Several objects as one list.
pub(crate) fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": items })
}

fn strip(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    for item in object
        .get_mut("items")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        strip(item);
    }
}
