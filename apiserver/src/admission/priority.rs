//! At most one PriorityClass is the default of all (the part of upstream's Priority that concerns the classes themselves).

use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Remarks, Request, Step};
use crate::registry::object;
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};

/// The step.
pub struct OneDefaultPriority;

#[async_trait]
impl Step for OneDefaultPriority {
    async fn validate(&self, objects: &Objects, request: &Request<'_>, _: &mut Remarks) -> ApiResult<()> {
        let resource = request.resource;
        let about = resource.group == "scheduling.k8s.io" && resource.plural == "priorityclasses";
        let Some(new) = request.new.filter(|_| about && request.operation != Operation::Delete) else {
            return Ok(());
        };
        if new["globalDefault"] != true {
            return Ok(());
        }
        objects.cacher.catch_up().await?;
        let classes = resource.storage.cache.list("", None, 0).entries;
        let other = classes.iter().map(|entry| entry.parsed()).find(|class: &Value| {
            class["globalDefault"] == true && object::meta(class, "name") != object::meta(new, "name")
        });
        let Some(other) = other else { return Ok(()) };
        let why = format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            object::meta(&other, "name")
        );
        Err(ApiError::forbidden(resource.target(request.name), why))
    }
}
