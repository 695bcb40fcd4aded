//! A namespace must exist, and not be going away, before something is created in it; and some namespaces stay (upstream's
//! NamespaceLifecycle).

use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Remarks, Request, Step, Touched};
use crate::registry::object;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};

/// Namespaces that stay.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The step.
pub struct NamespaceLifecycle;

#[async_trait]
impl Step for NamespaceLifecycle {
    async fn mutate(
        &self,
        objects: &Objects,
        request: &Request<'_>,
        _: &mut Value,
        _: &mut Remarks,
    ) -> ApiResult<Touched> {
        if request.operation == Operation::Create {
            may_create(objects, request).await?;
        }
        Ok(Touched::No)
    }

    async fn validate(&self, _: &Objects, request: &Request<'_>, _: &mut Remarks) -> ApiResult<()> {
        let namespace = request.resource.group.is_empty() && request.resource.plural == "namespaces";
        if request.operation == Operation::Delete && namespace && IMMORTAL.contains(&request.name) {
            let why = "this namespace may not be deleted";
            return Err(ApiError::forbidden(request.resource.target(request.name), why));
        }
        Ok(())
    }
}

async fn may_create(objects: &Objects, request: &Request<'_>) -> ApiResult<()> {
    let Some(namespace) = request.namespace.filter(|_| request.resource.namespaced) else {
        return Ok(());
    };
    let Some(namespaces) = objects.registry.find("", "v1", "namespaces") else {
        return Ok(());
    };
    let object = match objects.cached(&namespaces, None, namespace) {
        Some(entry) => entry.parsed(),
        None => objects.get_value(&namespaces, None, namespace).await?,
    };
    if object["status"]["phase"] != "Terminating" && !object::is_deleting(&object) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Err(ApiError::forbidden_because(
        request.resource.target(request.name),
        why,
        "NamespaceTerminating",
        "metadata.namespace",
    ))
}
