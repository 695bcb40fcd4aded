//! A namespace must exist, and not be going away, before something is created in it; and some namespaces stay (upstream's
//! NamespaceLifecycle).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Remarks, Request, Step, Touched};
use crate::registry::object;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};

/// Namespaces that stay.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// How long after a deletion the memory is not trusted to know of it.
const RECENT: Duration = Duration::from_secs(30);

/// The step. It remembers which namespaces were deleted of late: the memory of this server may not have heard of it yet.
#[derive(Default)]
pub struct NamespaceLifecycle {
    deleted: Mutex<HashMap<String, Instant>>,
}

impl NamespaceLifecycle {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_deleted_of_late(&self, namespace: &str) -> bool {
        self.lock().get(namespace).is_some_and(|at| at.elapsed() < RECENT)
    }

    fn remember(&self, namespace: &str) {
        let mut deleted = self.lock();
        deleted.retain(|_, at| at.elapsed() < RECENT);
        deleted.insert(namespace.to_owned(), Instant::now());
    }
}

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
            let fresh = request
                .namespace
                .is_some_and(|namespace| self.was_deleted_of_late(namespace));
            if fresh {
                objects.cacher.catch_up().await?;
            }
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
        if request.operation == Operation::Delete && namespace {
            self.remember(request.name);
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
