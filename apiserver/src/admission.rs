//! Admission: may this object come to be here? For now one rule: a namespace must exist, and not be going away, before
//! something is created in it (upstream's NamespaceLifecycle).

use serde_json::Value;

use crate::registry::Resource;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};

/// Decides about creating an object of `resource` in `namespace`.
pub async fn admit_create(objects: &Objects, resource: &Resource, namespace: Option<&str>) -> ApiResult<()> {
    let Some(namespace) = namespace.filter(|_| resource.namespaced) else {
        return Ok(());
    };
    let Some(namespaces) = objects.registry.find("", "v1", "namespaces") else {
        return Ok(());
    };
    let found = match objects.cached(namespaces, None, namespace) {
        Some(entry) => entry.encoded.clone(),
        None => objects.get(namespaces, None, namespace).await?,
    };
    let object: Value = serde_json::from_slice(&found).unwrap_or(Value::Null);
    if object["status"]["phase"] != "Terminating" && !crate::registry::object::is_deleting(&object) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Err(ApiError::forbidden_because(
        resource.target(""),
        why,
        "NamespaceTerminating",
        "metadata.namespace",
    ))
}
